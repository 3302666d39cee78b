"""The one error tree of espnet_ros.

Every message names the thing, the rule it broke and the value it had, so that it can be shown to a user as it is.
"""

from __future__ import annotations

from typing import Any


class EspnetError(Exception):
    """Base of every error that espnet_ros raises on purpose."""


class ParameterError(EspnetError):
    """A parameter has a value that its rule does not allow."""


class ImageError(EspnetError):
    """An image cannot be used. ``kind`` groups errors of one sort, so that each is warned about once."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CameraError(EspnetError):
    """A camera's intrinsics or pose cannot be used."""


class PoseError(EspnetError):
    """Where the camera was when an image was taken cannot be known."""


class ClassTableError(EspnetError):
    """A class table is malformed or does not fit the network."""


class WeightsError(EspnetError):
    """Weights cannot be found, read, or do not fit the network."""


class EngineError(EspnetError):
    """An inference engine cannot be built or failed while it ran."""


class BrokenEngineError(EngineError):
    """An engine that has worked fails whatever the image. ``engine`` is that engine."""

    def __init__(self, message: str, engine: Any) -> None:
        super().__init__(message)
        self.engine = engine


class PowerError(EspnetError):
    """A power mode cannot be read or changed. The message says what was asked for, why not, and what helps."""


class DatasetError(EspnetError):
    """A folder of images, a video or a bag cannot be used as a data set."""


class NodeError(EspnetError):
    """The node that was started did not get ready, or ended on its own."""


class TrainingError(EspnetError):
    """Training cannot go on."""


def describe_error(error: Exception) -> str:
    """Return an error as a user should read it: our own messages say it all, others need their type."""
    return str(error) if isinstance(error, EspnetError) else f"{type(error).__name__}: {error}"
