"""Costs that the governor reckons with on a TX2: predicted, or measured on a board and read from a table."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from espnet_ros.errors import PowerError
from espnet_ros.power import tx2

_COLUMNS = ("alpha", "height", "width", "mode", "frames_per_second", "watts", "idle_watts")
Key = Tuple[int, Tuple[int, int], str]


@dataclass(frozen=True)
class PredictedCosts:
    """What ``tx2.py`` predicts; a mode of ``None`` is the one the board boots in."""

    precision: str = "fp16"

    def seconds(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Seconds of inference a frame."""
        return tx2.predict_seconds(alpha, size, mode or tx2.BOOT_MODE, self.precision)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Watts of the board at ``rate`` frames a second asked."""
        return tx2.predict_watts(alpha, size, mode or tx2.BOOT_MODE, rate, self.precision)


@dataclass(frozen=True)
class Measurement:
    """One line of a measured table: the network runs all the time."""

    frames_per_second: float
    watts: float
    """Of the board, while the network runs all the time."""
    idle_watts: float
    """Of the board, before it runs."""


@dataclass(frozen=True)
class MeasuredCosts:
    """Measurements in place of the prediction. What the table lacks is predicted from the nearest measurement."""

    table: Mapping[Key, Measurement]
    precision: str = "fp16"

    def seconds(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Seconds of inference a frame."""
        key = (alpha, size, mode or tx2.BOOT_MODE)
        near = self._nearest(key)
        measured = 1 / self.table[near].frames_per_second
        if near == key:
            return measured
        return measured * self._predicted(key) / self._predicted(near)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Watts of the board at ``rate`` frames a second asked; half busy draws half above rest."""
        key = (alpha, size, mode or tx2.BOOT_MODE)
        near = self._nearest(key)
        measured = self.table[near]
        full = measured.watts - measured.idle_watts
        if near[2] != key[2]:
            full *= tx2.predict_full_watts(key[2]) / tx2.predict_full_watts(near[2])
        return measured.idle_watts + min(1.0, rate * self.seconds(alpha, size, mode)) * full

    def _predicted(self, key: Key) -> float:
        return tx2.predict_seconds(*key, self.precision)

    def _nearest(self, key: Key) -> Key:
        if key in self.table:
            return key
        asked = self._predicted(key)
        same_mode = [other for other in self.table if other[2] == key[2]]
        return min(same_mode or self.table, key=lambda other: abs(math.log(self._predicted(other) / asked)))


def read_measured_costs(path: Path, precision: str = "fp16") -> MeasuredCosts:
    """Read a table that ``espnet_ros benchmark power`` wrote on a board.

    The file is CSV with the columns alpha, height, width, mode, frames_per_second, watts, idle_watts.

    Raises:
        PowerError: the file cannot be read, lacks a column or a line, or a value is no positive number.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise PowerError(
                    f"measured costs {path} must have the columns {', '.join(_COLUMNS)}, lack {missing[0]}"
                )
            table = dict(_measurement(row, f"{path}, line {reader.line_num}") for row in reader)
    except (OSError, UnicodeDecodeError) as error:
        raise PowerError(f"measured costs {path} cannot be read: {error}") from error
    if not table:
        raise PowerError(f"measured costs {path} must have at least one measurement, has none")
    return MeasuredCosts(table, precision)


def _measurement(row: Dict[str, str], place: str) -> Tuple[Key, Measurement]:
    numbers = {column: _positive(row[column], column, place) for column in _COLUMNS if column != "mode"}
    if numbers["watts"] < numbers["idle_watts"]:
        raise PowerError(f"{place}: watts must be at least idle_watts {row['idle_watts']}, are {row['watts']}")
    tx2.power_mode(row["mode"])
    key = (int(numbers["alpha"]), (int(numbers["height"]), int(numbers["width"])), row["mode"])
    return key, Measurement(numbers["frames_per_second"], numbers["watts"], numbers["idle_watts"])


def _positive(text: Optional[str], column: str, place: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise PowerError(f"{place}: {column} must be a positive number, is '{text}'")
    return value
