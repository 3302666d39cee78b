"""Reads ROS parameter files without ROS, with the rules of ``rcl_yaml_param_parser``, which are not those of YAML."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, List, Tuple

import yaml

from espnet_ros.config import coerce
from espnet_ros.errors import ParameterError, one_line

_VALUES = "ros__parameters"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader with libyaml, which ROS uses; it takes some texts that PyYAML refuses, and the reverse."""
_PATTERN = re.compile(r"(/(\*\*?|[A-Za-z_][A-Za-z0-9_]*))+")
_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_HEX_FLOAT = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?[0-9]+)?")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPECIAL = re.compile(r"[+-]?(inf|infinity|nan(\(\w*\))?)", re.IGNORECASE)
_DOTTED_SPECIAL = re.compile(r"[+-]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SMALLEST = 2.0**-1022
"""Smallest number that a double stores with full precision; C refuses to read smaller ones."""
_Pairs = List[Tuple[yaml.ScalarEvent, Any]]


def read_params_file(path: Path, node: str, names: Collection[str]) -> Dict[str, Any]:
    """Return the parameters that a file sets for one node. If several sections match it, the last one wins, as in rcl.

    Args:
        path: ``{node name or pattern: {ros__parameters: {name: value}}}``.
        node: the node's name with its namespace, such as ``/rear/espnet``.
        names: parameters to return; others in the file are ignored.

    Raises:
        ParameterError: the file cannot be read or is not a parameter file.
    """
    sections: Dict[str, Dict[str, Any]] = {}
    try:
        if path.is_char_device():  # such as /dev/zero, which never ends
            raise _RuleError("must be a file, is a device")
        content = path.read_bytes()
        for document in _documents(yaml.parse(content, Loader=_LOADER)):
            for pattern, values in _sections("", document):
                sections.setdefault(pattern, {}).update(values)  # a repeated section keeps its place
    except OSError as error:
        raise ParameterError(f"parameter file {path}: cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ParameterError(f"parameter file {path}: cannot be read: {one_line(error)}") from error
    except RecursionError as error:
        raise ParameterError(f"parameter file {path}: cannot be read: it is nested too deep") from error
    except _RuleError as error:
        raise ParameterError(f"parameter file {path}: {error}") from error
    if not sections:
        raise ParameterError(f"parameter file {path}: must have a node name with '{_VALUES}' below it")
    found: Dict[str, Any] = {}
    for pattern, values in sections.items():
        if _matches(pattern, node):
            found.update({name: coerce(name, value) for name, value in values.items() if name in names})
    return found


class _RuleError(Exception):
    """A rule of parameter files is broken. The message is the end of the sentence."""


def _error(event: yaml.Event, rule: str) -> _RuleError:
    mark = event.start_mark
    return _RuleError(rule if mark is None else f"{rule}, at line {mark.line + 1}")


def _documents(events: Iterator[yaml.Event]) -> Iterator[_Pairs]:
    """Yield the mapping of each document. A file without a document has none."""
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            yield _read_mapping(events)
        elif isinstance(event, (yaml.ScalarEvent, yaml.SequenceStartEvent, yaml.AliasEvent)):
            raise _error(event, f"must have a node name with '{_VALUES}' below it")


def _read_mapping(events: Iterator[yaml.Event]) -> _Pairs:
    """Return the keys and values of a mapping, in the order of the file: scalars, lists of events, and mappings."""
    pairs: _Pairs = []
    for key in events:
        if isinstance(key, yaml.MappingEndEvent):
            break
        if not isinstance(key, yaml.ScalarEvent) or not key.value:
            raise _error(key, "a key must be a name")
        pairs.append((key, _read_value(next(events), events)))
    return pairs


def _read_value(event: yaml.Event, events: Iterator[yaml.Event]) -> Any:
    if isinstance(event, yaml.AliasEvent):
        raise _error(event, "ROS does not support aliases")
    if isinstance(event, yaml.MappingStartEvent):
        return _read_mapping(events)
    if not isinstance(event, yaml.SequenceStartEvent):
        return event
    elements = []
    for element in events:
        if isinstance(element, yaml.SequenceEndEvent):
            break
        if not isinstance(element, yaml.ScalarEvent):
            raise _error(element, "a list must have plain values only")
        elements.append(element)
    return tuple(elements)


def _sections(prefix: str, pairs: _Pairs) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield each node's name or pattern, starting with ``/``, and its values. Nodes may be nested in namespaces."""
    if [key.value for key, _ in pairs].count(_VALUES) > 1:
        raise _error(pairs[0][0], f"{prefix} must have '{_VALUES}' once")
    is_node = False
    for key, value in pairs:
        if key.value == _VALUES:
            is_node = True
            if not prefix:
                raise _error(key, f"must have a node name with '{_VALUES}' below it")
            if not _PATTERN.fullmatch(prefix):
                raise _error(key, f"'{prefix}' is not the name of a node")
            if not isinstance(value, list):
                shown = [each.value for each in value] if isinstance(value, tuple) else value.value
                raise _error(key, f"'{_VALUES}' of {prefix} must be a mapping, is {shown!r}")
            yield prefix, dict(_parameters("", value))
        elif isinstance(value, list):
            name = key.value if prefix else key.value[key.value.startswith("/") :]
            for section in _sections(f"{prefix}/{name}", value):
                if is_node:
                    raise _error(key, f"a node cannot be inside another one, but {section[0]} is")
                yield section
        else:
            raise _error(key, f"must have a node name with '{_VALUES}' below it")


def _parameters(prefix: str, pairs: _Pairs) -> Iterator[Tuple[str, Any]]:
    """Yield the names and values of parameters. Names of nested ones are joined with dots."""
    for key, value in pairs:
        name = f"{prefix}{key.value}"
        if not value and not isinstance(value, yaml.ScalarEvent):
            yield name, None  # ROS declares it without a value
        elif isinstance(value, list):
            yield from _parameters(f"{name}.", value)
        elif isinstance(value, tuple):
            elements = [_scalar(element, name) for element in value]
            if len({type(element) for element in elements}) > 1:
                raise _error(key, f"the elements of {name} must be of one type, are {elements}")
            yield name, elements
        else:
            yield name, _scalar(value, name)


def _scalar(event: yaml.ScalarEvent, name: str) -> Any:
    """Convert a value as ``get_value`` of rcl_yaml_param_parser does: with C's strtoll and strtod."""
    text: str = event.value.partition("\0")[0]  # where a string of C ends
    if event.style in ("'", '"') or event.tag == "tag:yaml.org,2002:str":
        return text
    if not text:
        raise _error(event, f"{name} has no value")
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        is_octal = digits.startswith("0") and digits[1:2].isdigit()
        number = int(digits, 8 if is_octal else 0) * (-1 if text.startswith("-") else 1)
        if -(2**63) <= number < 2**63:
            return number
    return _float(text)


def _float(text: str) -> Any:
    """Return the number that C's strtod reads; the text if it reads none or the number does not fit."""
    if _DOTTED_SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    if _SPECIAL.fullmatch(text):
        return float(text.partition("(")[0])
    try:
        number = float.fromhex(text) if _HEX_FLOAT.fullmatch(text) else float(text) if _FLOAT.fullmatch(text) else None
    except OverflowError:
        return text
    if number is None or math.isinf(number):
        return text
    is_zero = not re.search(r"[1-9a-fA-F]", re.split(r"[pP]" if "x" in text.lower() else r"[eE]", text)[0])
    return number if is_zero or abs(number) >= _SMALLEST else text


def _matches(pattern: str, node: str) -> bool:
    """``*`` matches one part of a name, ``**`` any number of parts (ROS 2 design, parameter files)."""
    parts = re.split(r"(/\*\*|/\*)", pattern)
    expression = "".join({"/**": r"(/\w+)*", "/*": r"/\w+"}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(expression, node) is not None
