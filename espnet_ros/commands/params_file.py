"""Reads ROS parameter files without ROS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, Mapping, Tuple

import yaml

from espnet_ros.config import coerce
from espnet_ros.errors import ParameterError

_VALUES = "ros__parameters"


def read_params_file(path: Path, node: str, names: Collection[str]) -> Dict[str, Any]:
    """Return the parameters that a file sets for one node. If several sections match it, the last one wins, as in rcl.

    Args:
        path: YAML, ``{node name or pattern: {ros__parameters: {name: value}}}``.
        node: the node's name with its namespace, such as ``/rear/espnet``.
        names: parameters to return; others in the file are ignored.

    Raises:
        ParameterError: the file cannot be read or is not a parameter file.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParameterError(f"parameter file {path}: cannot be read: {error}") from error
    sections = dict(_sections("", document)) if isinstance(document, Mapping) else {}
    if not sections:
        raise ParameterError(f"parameter file {path}: must have a node name with '{_VALUES}' below it")
    found: Dict[str, Any] = {}
    for pattern, values in sections.items():
        if not isinstance(values, Mapping):
            raise ParameterError(f"parameter file {path}: '{_VALUES}' of {pattern} must be a mapping, is {values!r}")
        if _matches(pattern, node):
            found.update({name: coerce(name, value) for name, value in values.items() if name in names})
    return found


def _sections(prefix: str, document: Mapping[Any, Any]) -> Iterator[Tuple[str, Any]]:
    """Yield each node's name or pattern, starting with ``/``, and its values. Nodes may be nested in namespaces."""
    for name, value in document.items():
        if name == _VALUES and prefix:
            yield prefix, value
        elif isinstance(value, Mapping):
            yield from _sections(f"{prefix}/{str(name).lstrip('/')}", value)


def _matches(pattern: str, node: str) -> bool:
    """``*`` matches one part of a name, ``**`` any number of parts (ROS 2 design, parameter files)."""
    parts = re.split(r"(/\*\*|/\*)", pattern)
    expression = "".join({"/**": r"(/\w+)*", "/*": r"/\w+"}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(expression, node) is not None
