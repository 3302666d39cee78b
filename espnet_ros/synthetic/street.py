"""The street as a source of frames for the demo and the evaluation."""

from __future__ import annotations

from typing import Iterator, Optional

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.errors import ParameterError
from espnet_ros.evaluation.frames import Frame
from espnet_ros.synthetic.drive import Mount, StreetFrame, check_rate_and_speed, default_camera, drive
from espnet_ros.synthetic.world import StreetWorld


class SyntheticStreet:
    """Frames of a drive through a procedural street; implements ``FrameSource``.

    Args:
        seed: seed of the street, at least 0.
        num_frames: number of frames; it determines the length of the street.
        rate: frames per second.
        speed: metres per second.
        camera: intrinsics and size; None for the default.
        mount: pose of the camera on the base; None for the default.

    Attributes:
        world: the street.
        camera: intrinsics and size.
        mount: pose of the camera on the base.

    Raises:
        ParameterError: an argument is out of range.
    """

    has_labels = True

    def __init__(
        self,
        seed: int = 0,
        num_frames: int = 100,
        rate: float = 10.0,
        speed: float = 5.0,
        camera: Optional[CameraModel] = None,
        mount: Optional[Mount] = None,
    ) -> None:
        if num_frames < 1:
            raise ParameterError(f"num_frames must be at least 1, is {num_frames}")
        check_rate_and_speed(rate, speed)
        length = max(num_frames * speed / rate, 1.0)
        self.name = f"synthetic street {seed}"
        self.world = StreetWorld(seed, length)
        self.camera = camera or default_camera()
        self.mount = mount or Mount()
        self._count, self._rate, self._speed = num_frames, rate, speed

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over images and labels; see ``FrameSource``."""
        for frame in self.frames():
            yield Frame(f"{frame.index:06d}", frame.stamp_ns, frame.image, frame.labels)

    def frames(self) -> Iterator[StreetFrame]:
        """Iterate over the frames with all their ground truth."""
        for frame in drive(self.world, self.camera, self._rate, self._speed, self.mount):
            if frame.index >= self._count:
                return
            yield frame
