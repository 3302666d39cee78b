"""The camera's calibration as it comes on camera_info."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from sensor_msgs.msg import CameraInfo

from espnet_ros.costmap.camera import CameraModel, camera_from_info
from espnet_ros.errors import CameraError


def camera_from_msg(message: CameraInfo) -> CameraModel:
    """The camera of the published image.

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


class CalibrationInbox:
    """Keeps the newest CameraInfo; makes a camera of it only when it says something new."""

    def __init__(self) -> None:
        self._message: Optional[CameraInfo] = None
        self._key: Optional[Tuple[Any, ...]] = None
        self._camera: Optional[CameraModel] = None

    def take(self, message: CameraInfo) -> None:
        """Called for each message."""
        self._message = message

    def camera(self) -> CameraModel:
        """The camera.

        Raises:
            CameraError: no message has come, or the newest describes no camera.
        """
        message = self._message
        if message is None:
            raise CameraError("no camera_info has come yet: is the topic remapped, and the camera calibrated?")
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
