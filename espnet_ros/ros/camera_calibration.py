"""The camera model from camera_info messages."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

from sensor_msgs.msg import CameraInfo

from espnet_ros.costmap.camera import CameraModel, camera_from_info
from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize


def camera_from_msg(message: CameraInfo, image_is_rectified: bool = False) -> CameraModel:
    """Return the camera model of a message, of the raw image or of the rectified one.

    Raises:
        CameraError: a field breaks its rule, as in the all-zero message of an uncalibrated camera.
    """
    roi = message.roi
    return camera_from_info(
        (message.height, message.width),
        message.k,
        message.d,
        message.distortion_model,
        (message.binning_x, message.binning_y),
        (roi.x_offset, roi.y_offset, roi.height, roi.width),
        message.p,
        message.r,
        image_is_rectified,
    )


class CalibrationCache:
    """Keeps the newest CameraInfo, and builds a camera model only when it has changed.

    Args:
        image_is_rectified: the models are those of rectified images.
        warn: called with a warning about a new calibration.

    Attributes:
        image_is_rectified: as given.
        blind_share: share of the pixels that the newest model has no ray for, 0..1; None before the first model.
    """

    def __init__(self, image_is_rectified: bool, warn: Callable[[str], None]) -> None:
        self.image_is_rectified = image_is_rectified
        self.blind_share: Optional[float] = None
        self._warn = warn
        self._message: Optional[CameraInfo] = None
        self._key: Optional[Tuple[Any, ...]] = None
        self._camera: Optional[CameraModel] = None

    def take(self, message: CameraInfo) -> None:
        """Store a message; a subscription callback."""
        self._message = message

    def camera(self, size: ImageSize) -> CameraModel:
        """Return the model of images of this size.

        Raises:
            CameraError: no message has been received, or the newest one is invalid or of another aspect ratio.
        """
        message = self._message
        if message is None:
            raise CameraError("no camera_info received yet: is the topic remapped, and the camera calibrated?")
        key = (size, *_key_of(message))
        if key != self._key or self._camera is None:
            camera = camera_from_msg(message, self.image_is_rectified).resized(size)
            self.blind_share = camera.blind_share()
            if self.blind_share:
                self._warn(
                    f"{self.blind_share:.1%} of the pixels see nothing: the distortion of camera_info ends before them"
                )
            self._camera, self._key = camera, key
        return self._camera


def _key_of(message: CameraInfo) -> Tuple[Any, ...]:
    roi = message.roi
    return (
        message.height,
        message.width,
        message.distortion_model,
        tuple(message.k),
        tuple(message.d),
        tuple(message.p),
        tuple(message.r),
        message.binning_x,
        message.binning_y,
        (roi.x_offset, roi.y_offset, roi.height, roi.width),
    )
