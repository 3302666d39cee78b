"""Costs for the governor where they were measured: the table that ``espnet_ros benchmark power`` writes."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from espnet_ros.errors import ParameterError, PowerError
from espnet_ros.governor.costs import Costs

COLUMNS = ("alpha", "height", "width", "mode", "precision", "frames_per_second", "watts", "idle_watts")
"""Those that are read; a table may have more, of which ``busy`` is read where it is."""

Key = Tuple[int, Tuple[int, int], str]
"""Alpha, (height, width), and the mode's name in the board's own table; "" on a machine without modes."""


@dataclass(frozen=True)
class Measurement:
    """One line of a table. What was not known is NaN."""

    frames_per_second: float
    """That were answered."""
    watts: float = math.nan
    """Of the device, while they were."""
    idle_watts: float = math.nan
    """Of the device, before the network ran."""
    busy: float = 1.0
    """Share of the time in which the network ran; below 1 where fewer frames were asked for than it can answer."""

    @property
    def seconds(self) -> float:
        """Of inference a frame."""
        return self.busy / self.frames_per_second

    @property
    def full_watts(self) -> float:
        """Watts above rest if the network ran all the time: half busy draws half of them."""
        return (self.watts - self.idle_watts) / self.busy


@dataclass(frozen=True)
class MeasuredCosts:
    """``Costs`` of a board that was measured. What the table lacks is scaled from its nearest line by a model.

    Where no line has watts (and those at rest), the watts are the model's alone.

    Attributes:
        table: at least one measurement.
        fallback: the model. A mode that it does not know counts as the one it takes for ``None``.
        present_mode: what a mode of ``None`` is, where the table has it; else that is the table's first mode.
    """

    table: Mapping[Key, Measurement]
    fallback: Costs
    present_mode: Optional[str] = None

    def seconds(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Seconds of inference a frame."""
        key = self._key(alpha, size, mode)
        near = self._nearest(key, self.table)
        measured = self.table[near].seconds
        return measured if near == key else measured * self._model_seconds(key) / self._model_seconds(near)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Watts of the device at ``rate`` frames a second asked; half busy draws half above rest."""
        key = self._key(alpha, size, mode)
        busy = min(1.0, rate * self.seconds(alpha, size, mode))
        known = [other for other, line in self.table.items() if not math.isnan(line.full_watts)]
        if not known:
            return self._model_watts(key, 0.0) + busy * self._model_full_watts(key)
        near = self._nearest(key, known)
        line = self.table[near]
        ratio = 1.0 if near == key else self._model_full_watts(key) / self._model_full_watts(near)
        return line.idle_watts + busy * line.full_watts * ratio

    def _key(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> Key:
        if mode is None:
            modes = [key[2] for key in self.table]
            mode = self.present_mode if self.present_mode in modes else modes[0]
        return alpha, (size[0], size[1]), mode or ""

    def _nearest(self, key: Key, lines: Iterable[Key]) -> Key:
        """The line whose seconds are nearest by the model, of the same mode where there is one."""
        others = list(lines)
        if key in others:
            return key
        asked = self._model_seconds(key)
        same_mode = [other for other in others if other[2] == key[2]]
        return min(same_mode or others, key=lambda other: abs(math.log(self._model_seconds(other) / asked)))

    def _model_seconds(self, key: Key) -> float:
        alpha, size, mode = key
        try:
            return self.fallback.seconds(alpha, size, mode or None)
        except ParameterError:  # a mode that it does not know
            return self.fallback.seconds(alpha, size, None)

    def _model_watts(self, key: Key, rate: float) -> float:
        alpha, size, mode = key
        try:
            return self.fallback.watts(alpha, size, mode or None, rate)
        except ParameterError:
            return self.fallback.watts(alpha, size, None, rate)

    def _model_full_watts(self, key: Key) -> float:
        return self._model_watts(key, math.inf) - self._model_watts(key, 0.0)


def read_measured_costs(
    path: Path, fallback: Costs, precision: Optional[str] = None, present_mode: Optional[str] = None
) -> MeasuredCosts:
    """Read a table that ``espnet_ros benchmark power`` wrote.

    The file is CSV with ``COLUMNS``. An empty mode is that of a machine without modes; empty watts are not known.

    Args:
        path: the file.
        fallback: scales what the table lacks: ``PredictedCosts`` on a TX2, ``OperationCosts`` elsewhere.
        precision: of the engine that runs, never "auto"; lines of others are passed over. None where the table has
            one precision only.
        present_mode: name of the mode that the board is in, None where that is not known.

    Raises:
        PowerError: the file cannot be read, lacks a column, has no line of that precision, or a line breaks a rule.
    """
    lines = _read_lines(path)
    chosen = _choose_precision(sorted({line["precision"] or "" for _, line in lines}), precision, path)
    table: Dict[Key, Measurement] = {}
    for place, line in lines:
        if line["precision"] == chosen:
            key, measurement = _measurement(line, place)
            if key in table:
                raise PowerError(
                    f"{place}: every alpha, size and mode must occur once a precision, but alpha {key[0]}, "
                    f"{key[1][0]}x{key[1][1]}, mode '{key[2]}', {chosen} occurs twice"
                )
            table[key] = measurement
    return MeasuredCosts(table, fallback, present_mode)


def _read_lines(path: Path) -> List[Tuple[str, Dict[str, Any]]]:
    """Each line by column, with where it stands."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise PowerError(f"measured costs {path} must have the columns {', '.join(COLUMNS)}, lack {missing[0]}")
            lines = [(f"{path}, line {reader.line_num}", line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PowerError(f"measured costs {path} cannot be read: {error}") from error
    if not lines:
        raise PowerError(f"measured costs {path} must have at least one measurement, has none")
    return lines


def _choose_precision(present: List[str], wanted: Optional[str], path: Path) -> str:
    if wanted is None and len(present) == 1:
        return present[0]
    if wanted is None:
        raise PowerError(f"measured costs {path} have the precisions {', '.join(present)}: one must be chosen")
    if wanted not in present:
        raise PowerError(f"measured costs {path} must have lines of precision {wanted}, have {', '.join(present)}")
    return wanted


def _measurement(line: Dict[str, Any], place: str) -> Tuple[Key, Measurement]:
    alpha, height, width = (_whole_number(line[column], column, place) for column in ("alpha", "height", "width"))
    watts, idle = (_positive(line[column], column, place, optional=True) for column in ("watts", "idle_watts"))
    if watts < idle:
        raise PowerError(f"{place}: watts must be at least idle_watts {line['idle_watts']}, are {line['watts']}")
    busy = _positive(line.get("busy") or "1", "busy", place)
    if busy > 1:
        raise PowerError(f"{place}: busy must be above 0 and at most 1, is {line['busy']}")
    rate = _positive(line["frames_per_second"], "frames_per_second", place)
    return (alpha, (height, width), line["mode"] or ""), Measurement(rate, watts, idle, busy)


def _whole_number(text: Optional[str], column: str, place: str) -> int:
    if not (text or "").isdecimal() or not int(text or ""):
        raise PowerError(f"{place}: {column} must be a whole number above 0, is '{text}'")
    return int(text or "")


def _positive(text: Optional[str], column: str, place: str, optional: bool = False) -> float:
    """A number above 0; NaN for an empty text where that is allowed."""
    if optional and text == "":
        return math.nan
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise PowerError(f"{place}: {column} must be a positive number, is '{text}'")
    return value
