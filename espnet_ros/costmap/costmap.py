"""From labels to grids, image after image: the costmap of one camera."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Sequence, Tuple

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.grid import FusionRules, RollingGrid
from espnet_ros.costmap.layers import EvidenceExtractor, GroundEvidence, Layer
from espnet_ros.costmap.pose import NANOSECONDS
from espnet_ros.costmap.projection import GroundProjector
from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize


@dataclass(frozen=True)
class CostmapSettings:
    """How the costmap is made.

    Attributes:
        size: (width, height) along x and y, in metres.
        resolution: side of a cell, in metres.
        min_range: ground nearer to the camera's foot point is left out, in metres.
        max_range: ground further away is left out, in metres.
        min_confidence: pixels less certain than this, 0..1, say nothing.
        min_obstacle_height: what does not rise this high, in metres, is noise.
        rules: how evidence adds up.
    """

    size: Tuple[float, float] = (20.0, 20.0)
    resolution: float = 0.1
    min_range: float = 0.5
    max_range: float = 12.0
    min_confidence: float = 0.0
    min_obstacle_height: float = 0.15
    rules: FusionRules = field(default_factory=FusionRules)


class Costmap:
    """Evidence of one camera, fused over time in the odometry frame.

    Args:
        layers: the grids to keep.
        settings: how they are made.
    """

    def __init__(self, layers: Sequence[Layer], settings: CostmapSettings) -> None:
        self.layers = tuple(layers)
        self.settings = settings
        self.projector = GroundProjector(settings.resolution, settings.min_range, settings.max_range)
        self.grid = RollingGrid(self.layers, settings.size, settings.resolution, settings.rules)
        self._extractor = EvidenceExtractor(self.layers, settings.min_confidence, settings.min_obstacle_height)
        self._last_stamp: Optional[int] = None

    @property
    def needs_confidence(self) -> bool:
        """Whether ``update`` wants the confidence."""
        return self.settings.min_confidence > 0

    def clear(self) -> None:
        """Forget everything, as when the odometry has jumped."""
        self.grid.clear()
        self._last_stamp = None

    def update(
        self,
        labels: np.ndarray,
        confidence: Optional[np.ndarray],
        camera: CameraModel,
        base_from_camera: np.ndarray,
        odom_from_base: np.ndarray,
        stamp: int,
    ) -> GroundEvidence:
        """Add one image.

        Args:
            labels: (H, W) uint8 class ids.
            confidence: (H, W) uint8, or None.
            camera: intrinsics; scaled to the labels' size where that differs.
            base_from_camera: (4, 4) pose of the optical frame in the base frame, whose plane z = 0 is the ground.
            odom_from_base: (4, 4) pose of the base in the grid's frame.
            stamp: of the image, in nanoseconds.

        Returns:
            The image's evidence, in the base frame.

        Raises:
            CameraError: intrinsics or pose cannot be used, or the camera sees no ground; the grid only fades.
        """
        elapsed = 0.0 if self._last_stamp is None else (stamp - self._last_stamp) / NANOSECONDS
        if elapsed < 0:  # time went back: what the grid holds is from the future
            self.clear()
        self._last_stamp = stamp
        self.grid.decay(elapsed)
        height, width = labels.shape
        view = self.projector.view(camera.resized(ImageSize(height, width)), base_from_camera)
        if view.is_empty:
            raise CameraError(
                f"camera must see ground between {self.settings.min_range} and {self.settings.max_range} m, sees none: "
                "does it look at the sky, or is its pose wrong?"
            )
        evidence = self._extractor.extract(view, labels, confidence)
        self.grid.center_on(float(odom_from_base[0, 3]), float(odom_from_base[1, 3]))
        self.grid.add(evidence, odom_from_base)
        return evidence
