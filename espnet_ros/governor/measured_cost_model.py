"""The cost model of a measured board: the table written by ``espnet_ros benchmark power``."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from espnet_ros.errors import ParameterError, PowerError
from espnet_ros.governor.cost_model import CostModel

COLUMNS = ("alpha", "height", "width", "mode", "precision", "frames_per_second", "watts", "idle_watts")
"""Required columns. The optional column ``busy`` is read too; others are ignored."""

Key = Tuple[int, Tuple[int, int], str]
"""Alpha, (height, width), and the name of the power mode; "" on a machine without power modes."""


@dataclass(frozen=True)
class Measurement:
    """One line of the table. Unknown values are NaN."""

    frames_per_second: float
    """Frames labelled per second."""
    watts: float = math.nan
    """Power of the device during the measurement."""
    idle_watts: float = math.nan
    """Power of the device before the network ran."""
    busy: float = 1.0
    """Share of the time in which the network ran; below 1 if the frame rate was limited."""

    @property
    def frame_time(self) -> float:
        """Seconds of inference per frame."""
        return self.busy / self.frames_per_second

    @property
    def full_watts(self) -> float:
        """Watts above idle if the network ran continuously; assumed to be proportional to ``busy``."""
        return (self.watts - self.idle_watts) / self.busy


@dataclass(frozen=True)
class MeasuredCostModel:
    """Cost model of a measured board. A fallback model scales missing options from the nearest line of the table.

    If no line has both watts and idle watts, the watts come from the fallback alone.

    Attributes:
        table: at least one measurement.
        fallback: the model used for scaling. Modes that it does not know count as its mode ``None``.
        current_mode: the mode that ``None`` stands for; the first mode of the table if the table lacks it.
    """

    table: Mapping[Key, Measurement]
    fallback: CostModel
    current_mode: Optional[str] = None

    def frame_time(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Return the seconds of inference per frame."""
        key = self._key(alpha, size, mode)
        near = self._nearest(key, self.table)
        measured = self.table[near].frame_time
        return measured if near == key else measured * self._model_frame_time(key) / self._model_frame_time(near)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Return the watts of the device when frames are requested at ``rate`` Hz."""
        key = self._key(alpha, size, mode)
        busy = min(1.0, rate * self.frame_time(alpha, size, mode))
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
            mode = self.current_mode if self.current_mode in modes else modes[0]
        return alpha, (size[0], size[1]), mode or ""

    def _nearest(self, key: Key, lines: Iterable[Key]) -> Key:
        """Return the line with the most similar frame time by the model, of the same mode if possible."""
        others = list(lines)
        if key in others:
            return key
        wanted = self._model_frame_time(key)
        same_mode = [other for other in others if other[2] == key[2]]
        return min(same_mode or others, key=lambda other: abs(math.log(self._model_frame_time(other) / wanted)))

    def _model_frame_time(self, key: Key) -> float:
        alpha, size, mode = key
        try:
            return self.fallback.frame_time(alpha, size, mode or None)
        except ParameterError:  # the fallback does not know the mode
            return self.fallback.frame_time(alpha, size, None)

    def _model_watts(self, key: Key, rate: float) -> float:
        alpha, size, mode = key
        try:
            return self.fallback.watts(alpha, size, mode or None, rate)
        except ParameterError:
            return self.fallback.watts(alpha, size, None, rate)

    def _model_full_watts(self, key: Key) -> float:
        return self._model_watts(key, math.inf) - self._model_watts(key, 0.0)


def read_measured_costs(
    path: Path, fallback: CostModel, precision: Optional[str] = None, current_mode: Optional[str] = None
) -> MeasuredCostModel:
    """Read a table written by ``espnet_ros benchmark power``.

    The file is CSV with ``COLUMNS``. An empty mode means a machine without power modes; empty watts are unknown.

    Args:
        path: the file.
        fallback: model for options missing in the table: ``Tx2CostModel`` on a TX2, ``OperationCostModel`` elsewhere.
        precision: of the running engine, never "auto"; lines with another precision are ignored. None is allowed if
            the table has only one precision.
        current_mode: name of the board's power mode; None if unknown.

    Raises:
        PowerError: the file cannot be read, lacks a column, has no line of that precision, or has an invalid line.
    """
    lines = _read_lines(path)
    chosen = _choose_precision(sorted({line["precision"] or "" for _, line in lines}), precision, path)
    table: Dict[Key, Measurement] = {}
    for place, line in lines:
        if line["precision"] == chosen:
            key, measurement = _measurement(line, place)
            if key in table:
                raise PowerError(
                    f"{place}: each combination of alpha, size, mode and precision must occur only once, but alpha "
                    f"{key[0]}, {key[1][0]}x{key[1][1]}, mode '{key[2]}', {chosen} occurs twice"
                )
            table[key] = measurement
    return MeasuredCostModel(table, fallback, current_mode)


def _read_lines(path: Path) -> List[Tuple[str, Dict[str, Any]]]:
    """Return each line, by column, with its place in the file."""
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


def _choose_precision(available: List[str], wanted: Optional[str], path: Path) -> str:
    if wanted is None and len(available) == 1:
        return available[0]
    if wanted is None:
        raise PowerError(f"measured costs {path} have several precisions, one must be chosen: {', '.join(available)}")
    if wanted not in available:
        raise PowerError(f"measured costs {path} must have lines of precision {wanted}, have {', '.join(available)}")
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
    """Return a number above 0, or NaN for an empty text if ``optional``."""
    if optional and text == "":
        return math.nan
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise PowerError(f"{place}: {column} must be a positive number, is '{text}'")
    return value
