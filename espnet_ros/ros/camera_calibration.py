"""The camera model from camera_info messages."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from sensor_msgs.msg import CameraInfo

from espnet_ros.costmap.camera import CameraModel, camera_from_info
from espnet_ros.errors import CameraError


def camera_from_msg(message: CameraInfo) -> CameraModel:
    """Return the camera model of a message.

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
    )


class CalibrationCache:
    """Keeps the newest CameraInfo, and builds a camera model only when it has changed."""

    def __init__(self) -> None:
        self._message: Optional[CameraInfo] = None
        self._key: Optional[Tuple[Any, ...]] = None
        self._camera: Optional[CameraModel] = None

    def take(self, message: CameraInfo) -> None:
        """Store a message; a subscription callback."""
        self._message = message

    def camera(self) -> CameraModel:
        """Return the camera model.

        Raises:
            CameraError: no message has been received, or the newest one is invalid.
        """
        message = self._message
        if message is None:
            raise CameraError("no camera_info received yet: is the topic remapped, and the camera calibrated?")
        key = _key_of(message)
        if key != self._key or self._camera is None:
            self._camera = camera_from_msg(message)
            self._key = key
        return self._camera


def _key_of(message: CameraInfo) -> Tuple[Any, ...]:
    roi = message.roi
    return (
        message.height,
        message.width,
        message.distortion_model,
        tuple(message.k),
        tuple(message.d),
        message.binning_x,
        message.binning_y,
        (roi.x_offset, roi.y_offset, roi.height, roi.width),
    )
