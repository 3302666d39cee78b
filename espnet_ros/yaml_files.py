"""Reads YAML files that users write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from espnet_ros.errors import one_line


def read_yaml(path: Path) -> Any:
    """Read a YAML file of one document.

    Raises:
        ValueError: the file cannot be read or is not YAML. The message names it.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # reading from a pipe would wait
            raise ValueError("not a regular file")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # no UTF-8, or a path with a null byte
        raise ValueError(f"cannot read {path}: {one_line(error)}") from error
    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise ValueError(f"{path} is not YAML: it is nested too deep") from error
    except (ValueError, yaml.YAMLError) as error:  # ValueError: a date that does not exist
        raise ValueError(f"{path} is not YAML: {one_line(error)}") from error
