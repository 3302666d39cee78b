"""Finds where standing objects touch the ground, and rejects edges that only look like ground contacts."""

from __future__ import annotations

import numpy as np

from espnet_ros.costmap.projection import GroundView
from espnet_ros.types import UNLABELLED

_SOLID_FRACTION = 0.7
"""Minimum fraction of standing samples between a contact and the minimum obstacle height above it."""
_BODY_HALF_WIDTH = 0.4  # m; two parts of one object are joined within this lateral distance
_GAP_DEPTH, _GAP_HALF_WIDTH = 0.3, 0.15  # m


def find_contacts(
    view: GroundView, labels: np.ndarray, flat: np.ndarray, standing: np.ndarray, min_obstacle_height: float
) -> np.ndarray:
    """Find the ground contacts: along each azimuth, the first standing sample after a ground sample.

    An object whose foot is hidden by another has no contact, because no ground is visible between the two.

    Args:
        view: ground samples of the camera.
        labels: (S, A) uint8 class ids of the samples.
        flat: (S, A) bool: samples labelled as ground.
        standing: (S, A) bool: samples labelled as a standing object.
        min_obstacle_height: ignore obstacles that rise less than this above their contact, in metres.

    Returns:
        (``view.range_count``, A) bool: whether the sample is a ground contact.
    """
    contact = np.zeros((view.range_count, flat.shape[1]), bool)
    if flat.shape[1] == 0 or view.range_count < 2:
        return contact
    np.logical_and(standing[1 : view.range_count], flat[: view.range_count - 1], out=contact[1:])
    rows, columns = np.nonzero(contact)
    if not len(rows):
        return contact
    rise = _end_of_rise(view, min_obstacle_height)[rows]
    standing_below = np.zeros((flat.shape[0] + 1, flat.shape[1]), np.int32)  # cumulative, nearest range first
    np.cumsum(standing, axis=0, out=standing_below[1:])
    is_solid = (standing_below[rise, columns] - standing_below[rows, columns]) >= _SOLID_FRACTION * (rise - rows)
    # rounding to whole pixels can show ground next to an edge between two samples of that edge
    is_false = standing_below[rows, columns] > standing_below[view.rows_below[rows], columns]
    is_false |= _is_side_edge(view, labels, standing, rows, columns)
    is_false |= _is_in_gap(view, labels, rows, columns)
    is_false |= _is_upper_part(view, labels, standing, standing_below, rows, columns)
    contact[rows, columns] = is_solid & ~is_false
    return contact


def _is_side_edge(
    view: GroundView, labels: np.ndarray, standing: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return which contacts are on the ragged upright edge of an object whose foot is nearer to the camera.

    Such an edge runs along the line of sight: just over one pixel to the side, and slightly more than that below, the
    object is already visible. The foot of a wall beside the robot can be as steep in the image, but it continues on the
    other side further up, and has ended several pixels below.
    """
    aside = view.columns_aside
    below, far_below, above = view.rows_below[rows], view.rows_far_below[rows], view.rows_above[rows]
    last = standing.shape[1] - 1
    left, right = np.maximum(columns - aside, 0), np.minimum(columns + aside, last)
    label = labels[rows, columns]
    is_left_edge = standing[below, left] & ((labels[above, right] != label) | standing[far_below, left])
    is_right_edge = standing[below, right] & ((labels[above, left] != label) | standing[far_below, right])
    # too close to the lower border of the image to see what is below
    is_at_border = view.hidden[below, columns]
    return np.asarray(is_left_edge | is_right_edge | is_at_border)


def _is_in_gap(view: GroundView, labels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return which contacts are in a narrow gap, with the same class nearer to the camera on both sides.

    Ground is visible between a person's legs and through a bicycle. The part that closes such a gap at the top does not
    touch the ground there.
    """
    lowest = view.hidden.argmin(axis=0)  # (A,): first sample inside the image
    near = np.maximum(np.searchsorted(view.ranges, view.ranges[rows] - _GAP_DEPTH), lowest[columns])
    half_width = _GAP_HALF_WIDTH / (view.ranges[rows] * view.azimuth_step)
    offsets = np.arange(1, int(np.ceil(half_width.max())) + 1)
    within = offsets <= half_width[:, None]
    last = labels.shape[1] - 1
    label = labels[rows, columns][:, None]
    left = labels[near[:, None], np.maximum(columns[:, None] - offsets, 0)]
    right = labels[near[:, None], np.minimum(columns[:, None] + offsets, last)]
    is_at_border = (near == lowest[columns])[:, None]
    on_left = ((left == label) | ((left == UNLABELLED) & is_at_border)) & within
    on_right = ((right == label) | ((right == UNLABELLED) & is_at_border)) & within
    return np.asarray(on_left.any(axis=1) & on_right.any(axis=1))


def _is_upper_part(
    view: GroundView,
    labels: np.ndarray,
    standing: np.ndarray,
    standing_below: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """Return which contacts belong to a higher part of an object below, with ground visible in between.

    Examples are the space between shoulder and chin of a person seen from above, or between the arms and the wheel of a
    cyclist. A little to the side, the two parts are connected. ``standing_below`` is (S + 1, A) int32, the number of
    standing samples below each sample in the image.
    """
    is_upper_part = np.zeros(len(rows), bool)
    behind = np.flatnonzero(standing_below[rows, columns])
    if not len(behind):
        return is_upper_part
    row, column = rows[behind], columns[behind]
    index = np.arange(standing.shape[0])[:, None]
    below = standing[:, column]  # (S, K)
    top = np.where(below & (index < row), index, -1).max(axis=0)
    foot = np.where(~below & (index < top), index, -1).max(axis=0) + 1
    label = labels[row, column]
    half_width = _BODY_HALF_WIDTH / (view.ranges[foot] * view.azimuth_step)
    offsets = np.arange(-int(half_width.max()), int(half_width.max()) + 1)
    beside = np.clip(column[:, None] + offsets, 0, labels.shape[1] - 1)  # (K, W)
    first, end = top[:, None], row[:, None] + 1
    is_joined = standing_below[end, beside] - standing_below[first, beside] == end - first
    is_joined &= (labels[first, beside] == label[:, None]) & (labels[end - 1, beside] == label[:, None])
    is_joined &= np.abs(offsets) <= half_width[:, None]
    is_upper_part[behind] = is_joined.any(axis=1) & (labels[top, column] == label)
    return is_upper_part


def _end_of_rise(view: GroundView, obstacle_height: float) -> np.ndarray:
    """Return the (S,) row that an obstacle of this height, standing at each range, hides the ground up to.

    An obstacle of height h at range r hides the ground up to ``r * H / (H - h)`` from a camera at height H.
    """
    height = min(obstacle_height, view.height / 2)
    hidden_until = view.ranges * view.height / (view.height - height)
    return np.clip(np.searchsorted(view.ranges, hidden_until), np.arange(len(view.ranges)) + 1, len(view.ranges))
