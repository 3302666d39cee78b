"""The node's health as plain data. `espnet_ros.ros.diagnostics` turns it into messages."""

from __future__ import annotations

from typing import NamedTuple, Optional

from espnet_ros.runtime.engine_exchange import EngineReport
from espnet_ros.runtime.image_worker import ImageCounts
from espnet_ros.runtime.power_control import PowerReport


class CostmapHealth(NamedTuple):
    """How the costmap is.

    Attributes:
        problem: why the newest image added nothing; "" where it did.
        cleared: why a cleared grid was published last; "" where the grid is in use.
        jumps: jumps of the odometry so far.
        last_jump: what the last one was.
        updates: images that added something.
        is_wanted: somebody listens.
    """

    problem: str
    cleared: str
    jumps: int
    last_jump: str
    updates: int
    is_wanted: bool


class NodeHealth(NamedTuple):
    """What there is to say about the node at one moment.

    Attributes:
        report: how the engine is.
        is_active: images are being answered.
        counts: the images since activation.
        last_refusal, last_failure: the newest of each error's message.
        image_topic: where the images come from.
        image_timeout: silence, in seconds, that is worth a warning.
        costmap: how the costmap is; None before the node is configured.
        power: the power mode, what is measured, and the governor.
        new_refusals, new_failures: images since the last message that could not be used, that the engine failed on.
    """

    report: EngineReport
    is_active: bool
    counts: ImageCounts
    last_refusal: str
    last_failure: str
    image_topic: str
    image_timeout: float
    costmap: Optional[CostmapHealth] = None
    power: Optional[PowerReport] = None
    new_refusals: int = 0
    new_failures: int = 0
