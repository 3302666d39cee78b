"""Where standing things touch the ground, and which edges only look as if they did."""

from __future__ import annotations

import numpy as np

from espnet_ros.costmap.projection import GroundView
from espnet_ros.types import UNLABELLED

_SOLID_SHARE = 0.7
"""Of the samples between a contact and the obstacle's least height, this many must show something standing."""
_BODY_HALF_WIDTH = 0.4  # m; how far aside two parts of one thing are looked for being one
_POCKET_DEPTH, _POCKET_HALF_WIDTH = 0.3, 0.15  # m


def find_contacts(
    view: GroundView, seen: np.ndarray, flat: np.ndarray, standing: np.ndarray, min_obstacle_height: float
) -> np.ndarray:
    """The first sample of each standing thing behind ground, along each line of the view.

    A thing that hides another's foot does not give the other a contact: between them there is no ground to see.

    Args:
        view: the ground as the camera sees it.
        seen: (S, A) uint8 labels.
        flat: (S, A) bool, which show ground.
        standing: (S, A) bool, which show a thing that stands on it.
        min_obstacle_height: what does not rise this high above its contact, in metres, is noise.

    Returns:
        (reach, A) bool.
    """
    contact = np.zeros((view.reach, flat.shape[1]), bool)
    if flat.shape[1] == 0 or view.reach < 2:
        return contact
    np.logical_and(standing[1 : view.reach], flat[: view.reach - 1], out=contact[1:])
    rows, columns = np.nonzero(contact)
    if not len(rows):
        return contact
    rise = _end_of_rise(view, min_obstacle_height)[rows]
    tall = np.zeros((flat.shape[0] + 1, flat.shape[1]), np.int32)
    np.cumsum(standing, axis=0, out=tall[1:])
    is_solid = (tall[rise, columns] - tall[rows, columns]) >= _SOLID_SHARE * (rise - rows)
    # Between two samples of one edge, rounding to whole pixels can show a little of the ground beside it.
    is_false = tall[rows, columns] > tall[view.rows_below[rows], columns]
    is_false |= _is_beside(view, seen, standing, rows, columns)
    is_false |= _is_enclosed(view, seen, rows, columns)
    is_false |= _is_overhead(view, seen, standing, tall, rows, columns)
    contact[rows, columns] = is_solid & ~is_false
    return contact


def _is_beside(
    view: GroundView, seen: np.ndarray, standing: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Which contacts are but the ragged upright edge of a thing that touches the ground nearer by.

    Such an edge runs along the line of sight: a little to one side, and further below than aside, the thing shows
    already. The foot of a wall beside the robot can run as steeply, but goes on to the other side further up, and ends
    far below.
    """
    aside = view.columns_aside
    below, far_below, above = view.rows_below[rows], view.rows_far_below[rows], view.rows_above[rows]
    last = standing.shape[1] - 1
    left, right = np.maximum(columns - aside, 0), np.minimum(columns + aside, last)
    label = seen[rows, columns]
    is_left_edge = standing[below, left] & ((seen[above, right] != label) | standing[far_below, left])
    is_right_edge = standing[below, right] & ((seen[above, left] != label) | standing[far_below, right])
    # so close to the image's lower border that what is below cannot be seen
    is_at_border = view.hidden[below, columns]
    return np.asarray(is_left_edge | is_right_edge | is_at_border)


def _is_enclosed(view: GroundView, seen: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Which contacts lie in a pocket too narrow to matter, with the same thing standing nearer by on both sides.

    Ground shows between a person's legs and through a bicycle; what closes such a gap above touches no ground there.
    """
    lowest = view.hidden.argmin(axis=0)  # (A,): where the image begins
    near = np.maximum(np.searchsorted(view.ranges, view.ranges[rows] - _POCKET_DEPTH), lowest[columns])
    reach = _POCKET_HALF_WIDTH / (view.ranges[rows] * view.azimuth_step)
    offsets = np.arange(1, int(np.ceil(reach.max())) + 1)
    within = offsets <= reach[:, None]
    last = seen.shape[1] - 1
    label = seen[rows, columns][:, None]
    left = seen[near[:, None], np.maximum(columns[:, None] - offsets, 0)]
    right = seen[near[:, None], np.minimum(columns[:, None] + offsets, last)]
    is_at_border = (near == lowest[columns])[:, None]
    on_left = ((left == label) | ((left == UNLABELLED) & is_at_border)) & within
    on_right = ((right == label) | ((right == UNLABELLED) & is_at_border)) & within
    return np.asarray(on_left.any(axis=1) & on_right.any(axis=1))


def _is_overhead(
    view: GroundView, seen: np.ndarray, standing: np.ndarray, tall: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Which contacts are but a higher part of the thing below, with ground showing in between.

    So it is between the shoulder and the chin of a person who is looked down upon, or between the arms and the wheel
    of a cyclist: a little aside, the two parts are one. ``tall`` counts the standing samples below each in the image.
    """
    is_overhead = np.zeros(len(rows), bool)
    behind = np.flatnonzero(tall[rows, columns])
    if not len(behind):
        return is_overhead
    row, column = rows[behind], columns[behind]
    index = np.arange(standing.shape[0])[:, None]
    below = standing[:, column]  # (S, K)
    top = np.where(below & (index < row), index, -1).max(axis=0)
    foot = np.where(~below & (index < top), index, -1).max(axis=0) + 1
    label = seen[row, column]
    reach = _BODY_HALF_WIDTH / (view.ranges[foot] * view.azimuth_step)
    offsets = np.arange(-int(reach.max()), int(reach.max()) + 1)
    beside = np.clip(column[:, None] + offsets, 0, seen.shape[1] - 1)  # (K, W)
    first, end = top[:, None], row[:, None] + 1
    is_joined = tall[end, beside] - tall[first, beside] == end - first
    is_joined &= (seen[first, beside] == label[:, None]) & (seen[end - 1, beside] == label[:, None])
    is_joined &= np.abs(offsets) <= reach[:, None]
    is_overhead[behind] = is_joined.any(axis=1) & (seen[top, column] == label)
    return is_overhead


def _end_of_rise(view: GroundView, obstacle_height: float) -> np.ndarray:
    """(S,) index of the sample whose line of sight passes over a thing of that height at each range.

    What stands at range r and is h high hides the ground up to ``r * H / (H - h)`` from a camera at height H.
    """
    height = min(obstacle_height, view.height / 2)
    hidden_until = view.ranges * view.height / (view.height - height)
    return np.clip(np.searchsorted(view.ranges, hidden_until), np.arange(len(view.ranges)) + 1, len(view.ranges))
