"""Class tables: the name, colour and costmap layer of each label id."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Tuple

import numpy as np
from typing_extensions import TypeGuard

from espnet_ros.errors import ClassTableError
from espnet_ros.resources import expand_user, share_folder
from espnet_ros.yaml_files import read_yaml

Color = Tuple[int, int, int]
_MAX_ID = 254  # 255 is UNLABELLED
FLAT, STANDING, NO_GROUND = "flat", "standing", "none"
"""Role of a class in a costmap: the ground itself, an object that stands on it, or neither (sky)."""
LETHAL_COST = 100
MAX_GRADED_COST = 98
"""Newer versions of Nav2 use 99 for cells in which the robot would touch an obstacle."""
_LAYER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class SemanticClass:
    """One row of a class table.

    Attributes:
        id: label value, 0..254.
        name: name in the data set.
        color: RGB, each 0..255.
        ignore: whether the class, such as "void", is excluded from mean IoU.
        ground: ``flat`` (ground), ``standing`` (an object on it) or ``none``.
        layer: costmap layer of the class; several classes can share a layer.
        cost: cost of driving there: 0 (free) to 98, or 100 (lethal).
    """

    id: int
    name: str
    color: Color
    ignore: bool = False
    ground: str = NO_GROUND
    layer: str = ""
    cost: int = 0


@dataclass(frozen=True)
class ClassTable:
    """The classes of a network's labels.

    Attributes:
        name: name of the table.
        classes: the classes in order of their ids, which are 0, 1, ... without gaps.
    """

    name: str
    classes: Tuple[SemanticClass, ...]

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> List[str]:
        """Class names in order of their ids."""
        return [row.name for row in self.classes]

    @property
    def palette(self) -> np.ndarray:
        """Colour of each label, (256, 3) uint8 RGB; labels outside the table are black."""
        palette = np.zeros((256, 3), np.uint8)
        for row in self.classes:
            palette[row.id] = row.color
        return palette

    def require_size(self, num_classes: int, owner: str) -> None:
        """Check that the table fits a network.

        Args:
            num_classes: number of the network's outputs.
            owner: name of the network, for the message.

        Raises:
            ClassTableError: the counts differ.
        """
        if len(self) != num_classes:
            raise ClassTableError(
                f"class table '{self.name}' has {len(self)} classes, but {owner} has {num_classes} outputs"
            )


def load_class_table(source: str) -> ClassTable:
    """Load a shipped table by name (``cityscapes``, ``camvid``), or a table from a YAML file by path.

    Raises:
        ClassTableError: the table does not exist or breaks a rule; the message names the rule.
    """
    path = expand_user(source)
    if not path.suffix:
        path = share_folder() / "config" / f"{source}.yaml"
    try:
        document = read_yaml(path)
    except ValueError as error:
        raise ClassTableError(f"class table '{source}': {error}") from error
    return parse_class_table(document, str(path))


def parse_class_table(document: Any, origin: str) -> ClassTable:
    """Validate a parsed YAML document and return its class table.

    Args:
        document: ``{name: str, classes: [{id: int, name: str, color: [r, g, b], ignore: bool, ground: str, layer: str,
            cost: int}]}``; the last four keys are optional.
        origin: path of the document, for messages.

    Raises:
        ClassTableError: the document breaks a rule.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("classes"), list):
        raise ClassTableError(f"class table {origin}: must be a mapping with a list 'classes'")
    if not document["classes"]:
        raise ClassTableError(f"class table {origin}: 'classes' is empty")
    rows: Dict[int, SemanticClass] = {}
    for position, entry in enumerate(document["classes"]):
        row = _parse_row(entry, f"class table {origin}, entry {position}")
        if row.id in rows:
            raise ClassTableError(
                f"class table {origin}: id {row.id} is used twice, by '{rows[row.id].name}' and '{row.name}'"
            )
        if any(other.name == row.name for other in rows.values()):
            raise ClassTableError(f"class table {origin}: name '{row.name}' is used twice")
        rows[row.id] = row
    _check_layers(rows.values(), origin)
    missing = sorted(set(range(len(rows))) - set(rows))
    if missing:
        raise ClassTableError(
            f"class table {origin}: ids must be 0..{len(rows) - 1} without gaps, but {missing} are missing"
        )
    name = document.get("name", Path(origin).stem)
    return ClassTable(str(name), tuple(rows[i] for i in range(len(rows))))


def _parse_row(entry: Any, where: str) -> SemanticClass:
    if not isinstance(entry, Mapping):
        raise ClassTableError(f"{where}: must be a mapping with id, name and color, is {reprlib.repr(entry)}")
    class_id, name, color = entry.get("id"), entry.get("name"), entry.get("color")
    if not _is_int(class_id) or not 0 <= class_id <= _MAX_ID:
        raise ClassTableError(f"{where}: id must be an integer 0..{_MAX_ID}, is {reprlib.repr(class_id)}")
    if not isinstance(name, str) or not name.strip():
        raise ClassTableError(f"{where} (id {class_id}): name must be a non-empty text, is {reprlib.repr(name)}")
    if (
        not isinstance(color, (list, tuple))
        or len(color) != 3
        or not all(_is_int(value) and 0 <= value <= 255 for value in color)
    ):
        raise ClassTableError(f"{where} ('{name}'): color must be three integers 0..255, is {reprlib.repr(color)}")
    ignore = entry.get("ignore", False)
    if not isinstance(ignore, bool):
        raise ClassTableError(f"{where} ('{name}'): ignore must be true or false, is {reprlib.repr(ignore)}")
    ground, layer, cost = _parse_ground(entry, f"{where} ('{name}')")
    return SemanticClass(class_id, name, (color[0], color[1], color[2]), ignore, ground, layer, cost)


def _parse_ground(entry: Mapping[str, Any], where: str) -> Tuple[str, str, int]:
    ground = entry.get("ground", NO_GROUND)
    if ground not in (FLAT, STANDING, NO_GROUND):
        raise ClassTableError(
            f"{where}: ground must be one of {FLAT}, {STANDING}, {NO_GROUND}, is {reprlib.repr(ground)}"
        )
    layer = entry.get("layer", str(entry["name"]).strip().replace(" ", "_"))
    if ground != NO_GROUND and (not isinstance(layer, str) or not _LAYER_NAME.fullmatch(layer)):
        raise ClassTableError(
            f"{where}: layer is part of a topic, so it must be a letter followed by letters, digits and _, is "
            f"{reprlib.repr(layer)}"
        )
    cost = entry.get("cost", LETHAL_COST if ground == STANDING else 0)
    if not _is_int(cost) or not (0 <= cost <= MAX_GRADED_COST or cost == LETHAL_COST):
        raise ClassTableError(
            f"{where}: cost must be an integer 0..{MAX_GRADED_COST} or {LETHAL_COST}, is {reprlib.repr(cost)}"
        )
    return ground, layer, cost


def _check_layers(rows: Iterable[SemanticClass], origin: str) -> None:
    """Check that classes which share a layer have the same ground and cost."""
    first: Dict[str, SemanticClass] = {}
    for row in rows:
        if row.ground == NO_GROUND:
            continue
        other = first.setdefault(row.layer, row)
        if (other.ground, other.cost) != (row.ground, row.cost):
            raise ClassTableError(
                f"class table {origin}: '{other.name}' and '{row.name}' share layer '{row.layer}', so they must have "
                f"the same ground and cost, have {other.ground} {other.cost} and {row.ground} {row.cost}"
            )


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
