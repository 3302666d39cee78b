"""All errors of espnet_ros.

Every message names the thing, the rule that it breaks and its value, so that it can be shown to users unchanged.
"""

from __future__ import annotations

import re
from typing import Any

_TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])|[\x00-\x08\x0e-\x1f\x7f-\x9f]")
"""ANSI escape sequences and control characters; white space is not among them."""
MAX_LENGTH = 2000
"""Characters of an error's message."""


class EspnetError(Exception):
    """Base class of all errors that espnet_ros raises deliberately.

    Its text is one line without terminal codes, whatever names and values of a user's file it has, and no longer than
    ``MAX_LENGTH``.
    """

    def __str__(self) -> str:
        text = " ".join(_TERMINAL_CODES.sub("", super().__str__()).splitlines())
        return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 200]} ... {text[-190:]}"


class ParameterError(EspnetError):
    """A parameter's value breaks its rule."""


class PathError(EspnetError):
    """A path names a user or a home that does not exist, or no folder is writable."""


class ImageError(EspnetError):
    """An image cannot be used.

    Attributes:
        kind: groups similar errors, so that each kind is logged once.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CameraError(EspnetError):
    """A camera's intrinsics or pose cannot be used."""


class PoseError(EspnetError):
    """The pose of the camera at an image's stamp is unknown or invalid."""


class ClassTableError(EspnetError):
    """A class table is malformed or does not fit the network."""


class WeightsError(EspnetError):
    """Weights cannot be found, read or downloaded, or do not fit the network."""


class EngineError(EspnetError):
    """An inference engine cannot be built, or failed while running."""


class BrokenEngineError(EngineError):
    """An engine that worked before fails on every image.

    Attributes:
        engine: the broken engine.
    """

    def __init__(self, message: str, engine: Any) -> None:
        super().__init__(message)
        self.engine = engine


class PowerError(EspnetError):
    """A power mode cannot be read or changed. The message has the request, the reason and a remedy."""


class DatasetError(EspnetError):
    """A folder of images, a video or a bag cannot be used as a data set."""


class NodeError(EspnetError):
    """The node process did not become ready, or ended unexpectedly."""


class TrainingError(EspnetError):
    """Training cannot continue."""


def describe_error(error: BaseException) -> str:
    """Return the text of an error for users: the message, preceded by the type unless it is an ``EspnetError``."""
    if isinstance(error, EspnetError):
        return str(error)
    name, message = type(error).__name__, one_line(error)
    return name if message == name else f"{name}: {message}"


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks and terminal codes; its type if it has no message."""
    return " ".join(_TERMINAL_CODES.sub("", str(error)).split()) or type(error).__name__
