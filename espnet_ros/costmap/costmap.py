"""The costmap of one camera: turns each label image into evidence and adds it to the grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Sequence, Tuple

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.grid import FusionRules, RollingGrid
from espnet_ros.costmap.layers import EvidenceExtractor, GroundEvidence, Layer
from espnet_ros.costmap.projection import GroundProjector
from espnet_ros.errors import CameraError
from espnet_ros.headers import NANOSECONDS, is_restart
from espnet_ros.types import ImageSize


@dataclass(frozen=True)
class CostmapSettings:
    """Settings of a costmap. Ranges are distances from the point on the ground below the camera.

    Attributes:
        size: (width, height) along x and y of the window around the robot that the grid covers, in metres.
        resolution: side length of a cell, in metres.
        origin_step: the grid moves in steps of this and is this much larger than the window, in metres (`RollingGrid`).
        min_range: ignore ground nearer than this, in metres.
        max_range: ignore ground further away than this, in metres.
        min_confidence: ignore pixels with a lower confidence, 0..1. Has no effect on images without confidence.
        min_obstacle_height: ignore obstacles lower than this, in metres.
        rules: how evidence is fused over time.
    """

    size: Tuple[float, float] = (20.0, 20.0)
    resolution: float = 0.1
    origin_step: float = 0.0
    min_range: float = 0.5
    max_range: float = 12.0
    min_confidence: float = 0.0
    min_obstacle_height: float = 0.15
    rules: FusionRules = field(default_factory=FusionRules)


class Costmap:
    """Fuses the label images of one camera over time, in the odometry frame.

    Args:
        layers: costmap layers, one grid each; ``layers_from_table`` has those of a class table.
        settings: geometry and fusion rules.

    Attributes:
        layers: the costmap layers.
        settings: geometry and fusion rules.
        grid: the fused evidence; its ``merged`` and ``occupancy`` return grids of costs and probabilities.
    """

    def __init__(self, layers: Sequence[Layer], settings: CostmapSettings = CostmapSettings()) -> None:
        self.layers = tuple(layers)
        self.settings = settings
        self.projector = GroundProjector(settings.resolution, settings.min_range, settings.max_range)
        self.grid = RollingGrid(self.layers, settings.size, settings.resolution, settings.rules, settings.origin_step)
        self._extractor = EvidenceExtractor(self.layers, settings.min_confidence, settings.min_obstacle_height)
        self._newest_stamp: Optional[int] = None

    @property
    def needs_confidence(self) -> bool:
        """Whether ``update`` needs the confidence image."""
        return self.settings.min_confidence > 0

    def clear(self) -> None:
        """Forget all evidence, for example after the odometry has jumped."""
        self.grid.clear()
        self._newest_stamp = None

    def update(
        self,
        labels: np.ndarray,
        confidence: Optional[np.ndarray],
        camera: CameraModel,
        base_from_camera: np.ndarray,
        odom_from_base: np.ndarray,
        stamp: int,
    ) -> GroundEvidence:
        """Add the labels of one image. A late image is added, too; a restart of time clears the grid (`headers`).

        Args:
            labels: (H, W) uint8 class ids.
            confidence: (H, W) uint8, 255 is 1.0; or None, with which ``min_confidence`` has no effect.
            camera: intrinsics; rescaled if their image size differs from that of the labels.
            base_from_camera: (4, 4) pose of the optical frame in the base frame. The ground is the base's plane z = 0.
            odom_from_base: (4, 4) pose of the base in the grid's frame.
            stamp: time of the image, in nanoseconds.

        Returns:
            The evidence of this image, in the base frame.

        Raises:
            CameraError: the pose is invalid, or no ground is in view. The grid has decayed but is otherwise unchanged.
        """
        if is_restart(stamp, self._newest_stamp):  # the grid's evidence is from another time
            self.clear()
        newest = stamp if self._newest_stamp is None else self._newest_stamp
        self._newest_stamp = max(stamp, newest)
        self.grid.decay((self._newest_stamp - newest) / NANOSECONDS)
        height, width = labels.shape
        view = self.projector.view(camera.resized(ImageSize(height, width)), base_from_camera)
        if view.is_empty:
            raise CameraError(
                f"camera must see ground between {self.settings.min_range} and {self.settings.max_range} m, sees none: "
                "it may be pointing at the sky, or its pose may be wrong"
            )
        evidence = self._extractor.extract(view, labels, confidence)
        self.grid.center_on(float(odom_from_base[0, 3]), float(odom_from_base[1, 3]))
        self.grid.add(evidence, odom_from_base)
        return evidence
