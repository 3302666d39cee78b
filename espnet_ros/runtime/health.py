"""The node's health as plain data. `espnet_ros.ros.diagnostics` turns it into messages."""

from __future__ import annotations

from typing import NamedTuple, Optional

from espnet_ros.runtime.engine_exchange import EngineReport
from espnet_ros.runtime.image_worker import ImageCounts
from espnet_ros.runtime.power_control import PowerReport


class CostmapHealth(NamedTuple):
    """Status of the costmap.

    Attributes:
        problem: why the newest image could not be added; "" if it was.
        cleared: why the costmap was cleared; "" if it has been updated since.
        jumps: number of jumps of the odometry and restarts of time.
        last_jump: description of the last jump.
        updates: number of images added.
        is_wanted: whether a costmap topic has a subscriber.
        blind_share: share of the pixels that see nothing, as the distortion is not valid there, 0..1; None before the
            first calibration.
        image_is_rectified: whether the images are taken to be rectified.
        new_jumps: jumps since the last snapshot was published.
    """

    problem: str
    cleared: str
    jumps: int
    last_jump: str
    updates: int
    is_wanted: bool
    blind_share: Optional[float] = None
    image_is_rectified: bool = False
    new_jumps: int = 0


class NodeHealth(NamedTuple):
    """Snapshot of the node for /diagnostics and ``~/engine_status``.

    Attributes:
        report: status of the engine.
        is_active: whether images are processed.
        counts: image counts since activation.
        last_refusal: message of the last image that could not be used.
        last_failure: message of the last engine failure.
        image_topic: full name of the input topic.
        silence_reason: why no image has come for image_timeout; "" if one has.
        missing_share: share of the camera's images that do not arrive, from 0 to 1; 0 if it is unknown.
        transport_problem: why images may not arrive; "" if nothing is known.
        costmap: status of the costmap; None before the node is configured.
        power: status of power mode, telemetry and governor.
        waits_for_clock: whether the node follows simulated time, but no /clock has come.
        new_refusals, new_failures: refused and failed images since the last snapshot was published.
    """

    report: EngineReport
    is_active: bool
    counts: ImageCounts
    last_refusal: str
    last_failure: str
    image_topic: str
    silence_reason: str = ""
    missing_share: float = 0.0
    transport_problem: str = ""
    costmap: Optional[CostmapHealth] = None
    power: Optional[PowerReport] = None
    waits_for_clock: bool = False
    new_refusals: int = 0
    new_failures: int = 0
