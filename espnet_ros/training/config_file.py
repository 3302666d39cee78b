"""Read training configs strictly: unknown keys and wrong types are errors."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import reprlib
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple, Type, TypeVar, Union, cast, get_type_hints

import yaml
from typing_extensions import get_args, get_origin

from espnet_ros.config import Rule
from espnet_ros.errors import ParameterError
from espnet_ros.resources import expand_user
from espnet_ros.training.config import Augmentation, Source, TrainingConfig
from espnet_ros.types import ImageSize
from espnet_ros.yaml_files import read_yaml

_Section = TypeVar("_Section")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def read_config(path: Path, changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a config file. Relative paths become absolute.

    Args:
        path: YAML file.
        changes: ``key=value`` texts that override the file, with dots into sections and lists (``stages.0.epochs=5``);
            values are YAML.

    Raises:
        ParameterError: it cannot be read or a key breaks its rule; the message names the key, the rule and the value.
    """
    try:
        document = read_yaml(path)
    except ValueError as error:
        raise ParameterError(f"training config: {error}") from error
    for change in changes:
        _apply(document, change)
    return parse_config(document, path.resolve().parent)


def parse_config(document: Any, folder: Path) -> TrainingConfig:
    """Return the config of a parsed YAML document.

    Args:
        document: mapping with the keys of ``TrainingConfig``.
        folder: base of relative paths.

    Raises:
        ParameterError: see ``read_config``.
    """
    config = _section(TrainingConfig, document, "")
    _check_together(config)
    sources = dataclasses.replace(
        config.sources,
        train=tuple(_located(source, folder) for source in config.sources.train),
        validation=tuple(_located(source, folder) for source in config.sources.validation),
        cache=_absolute(config.sources.cache, folder, "sources.cache"),
    )
    classes = _absolute(config.classes, folder, "classes") if Path(config.classes).suffix else config.classes
    init = _absolute(config.init, folder, "init")
    return dataclasses.replace(config, sources=sources, classes=classes, init=init)


def as_document(config: Any) -> Any:
    """Return a config as mappings, lists and plain values, for YAML or JSON."""
    if dataclasses.is_dataclass(config):
        return {entry.name: as_document(getattr(config, entry.name)) for entry in dataclasses.fields(config)}
    return [as_document(value) for value in config] if isinstance(config, tuple) else config


def _apply(document: Any, change: str) -> None:
    path, equals, text = change.partition("=")
    keys = path.split(".")
    place = document
    try:
        value = yaml.safe_load(text)
        for key in keys[:-1]:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        if not equals or not isinstance(place, (dict, list)):
            raise ValueError("no such place")
        if isinstance(place, list):
            place[int(keys[-1])] = value
        else:
            place[keys[-1]] = value
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise ParameterError(f"change '{change}': must be key=value with an existing key of the config file") from error


def _section(kind: Type[_Section], document: Any, where: str) -> _Section:
    label = where or "training config"
    if not isinstance(document, Mapping):
        raise ParameterError(f"{label} must be a mapping of keys, is {reprlib.repr(document)}")
    hints = get_type_hints(kind)
    entries = {entry.name: entry for entry in dataclasses.fields(cast(Any, kind))}
    unknown = [str(key) for key in document if key not in entries]
    if unknown:
        raise ParameterError(f"{label} has no key '{unknown[0]}'; it has {', '.join(entries)}")
    values: Dict[str, Any] = {}
    for name, entry in entries.items():
        key = f"{where}.{name}" if where else name
        if name in document:
            values[name] = _value(hints[name], document[name], key, entry.metadata["rule"])
        elif entry.default is dataclasses.MISSING:
            raise ParameterError(f"{key} is missing: {entry.metadata['rule'].description}")
    return kind(**values)


def _value(hint: Any, value: Any, key: str, rule: Rule) -> Any:
    if get_origin(hint) is Union:
        return None if value is None else _value(get_args(hint)[0], value, key, rule)
    if dataclasses.is_dataclass(hint):
        return _section(cast(Any, hint), value, key)
    if hint is ImageSize:
        return ImageSize(*_items((int, int), value, key, rule))
    if get_origin(hint) is tuple:
        return _items(get_args(hint), value, key, rule)
    return _scalar(hint, value, key, rule)


def _items(kinds: Tuple[Any, ...], value: Any, key: str, rule: Rule) -> Tuple[Any, ...]:
    if not isinstance(value, list):
        raise ParameterError(f"{key} must be a list, is {reprlib.repr(value)}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise ParameterError(f"{key} must have {len(kinds)} entries, has {len(value)}: {reprlib.repr(value)}")
    return tuple(_value(kind, item, f"{key}.{index}", rule) for index, (kind, item) in enumerate(zip(kinds, value)))


def _scalar(kind: Any, value: Any, key: str, rule: Rule) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        hint = "; YAML reads 1e-3 as text; write 1.0e-3" if kind is float and isinstance(value, str) else ""
        raise ParameterError(f"{key} must be of type {kind.__name__}, is {reprlib.repr(value)}{hint}")
    if rule.choices and value not in rule.choices:
        raise ParameterError(f"{key} must be one of {', '.join(map(str, rule.choices))}, is {value!r}")
    if kind is float and not math.isfinite(value):
        raise ParameterError(f"{key} must be a finite number, is {value!r}")
    unit = f" {rule.unit}" if rule.unit else ""
    if rule.minimum is not None and value < rule.minimum:
        raise ParameterError(f"{key} must be at least {rule.minimum}{unit}, is {value!r}")
    if rule.maximum is not None and value > rule.maximum:
        raise ParameterError(f"{key} must be at most {rule.maximum}{unit}, is {value!r}")
    if rule.multiple_of and value % rule.multiple_of:
        raise ParameterError(f"{key} must be a multiple of {rule.multiple_of}{unit}, is {value!r}")
    return value


def _check_together(config: TrainingConfig) -> None:
    """Check rules that involve several keys."""
    if not _NAME.fullmatch(config.name):
        raise ParameterError(f"name must be letters, digits, '_', '-' and '.', is {config.name!r}")
    for key, entries in (("sources.train", config.sources.train), ("stages", config.stages)):
        if not entries:
            raise ParameterError(f"{key} must have at least one entry, is []")
    for key, group in (("train", config.sources.train), ("validation", config.sources.validation)):
        for index, source in enumerate(group):
            if bool(source.folder) == (source.synthetic is not None):
                raise ParameterError(f"sources.{key}.{index} must have either folder or synthetic")
    shares = [source.share for source in config.sources.train]
    if any(shares) and not all(shares):
        raise ParameterError(f"sources.train: share must be above 0 for every source or for none, is {shares}")
    for index, stage in enumerate(config.stages):
        if bool(stage.epochs) == bool(stage.steps):
            raise ParameterError(
                f"stages.{index} must have either epochs or steps above 0, has {stage.epochs} and {stage.steps}"
            )
        if stage.network == "espnet_c" and index > 0:
            raise ParameterError(f"stages.{index}.network must be espnet: espnet_c can only be the first stage")
    _check_ranges(config.augmentation, "augmentation")
    for index, source in enumerate(config.sources.train):
        if source.augmentation is not None:
            _check_ranges(source.augmentation, f"sources.train.{index}.augmentation")
    for index, source in enumerate(config.sources.validation):
        if source.augmentation is not None:
            raise ParameterError(
                f"sources.validation.{index} must have no augmentation: validation images are not changed"
            )


def _check_ranges(augmentation: Augmentation, key: str) -> None:
    for name in ("scale", "blur_sigma"):
        low, high = getattr(augmentation, name)
        if low > high:
            raise ParameterError(f"{key}.{name} must be (least, most), is ({low}, {high})")


def _located(source: Source, folder: Path) -> Source:
    key = "folder of a source"
    return dataclasses.replace(source, folder=_absolute(source.folder, folder, key))


def _absolute(text: str, folder: Path, key: str) -> str:
    if not text:
        return ""
    filled = os.path.expandvars(text)
    if "$" in filled:
        raise ParameterError(f"{key} '{text}': its environment variable must be set, is not")
    return str((folder / expand_user(filled)).resolve())
