"""Reads power and temperature of the device in a background thread, from the best available source."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from espnet_ros.errors import PowerError, describe_error
from espnet_ros.telemetry.jetson import Ina3221Reader, JetsonStatsReader
from espnet_ros.telemetry.nvml import NvmlReader
from espnet_ros.telemetry.rapl import RaplReader
from espnet_ros.telemetry.reading import PowerReading, TelemetryReader

__all__ = [
    "OpenedSource",
    "PowerReading",
    "TelemetryReader",
    "TelemetrySampler",
    "TelemetrySnapshot",
    "TelemetrySource",
    "default_sources",
    "open_first_available",
]

DEFAULT_PERIOD = 1.0
"""Seconds between two readings."""

_PERIODS_TO_STALL = 3.0
_SECONDS_TO_START = 5.0
"""Allowed time until the first reading: jetson-stats has to connect to its service."""


class TelemetrySource(NamedTuple):
    """A telemetry source that may be available. If it is not, ``open`` raises PowerError with the reason."""

    name: str
    open: Callable[[], TelemetryReader]


class OpenedSource(NamedTuple):
    """Result of opening the first available source.

    Attributes:
        reader: reader of that source; None if no source is available.
        refusals: why each source before it could not be opened.
        rest: the sources after it.
    """

    reader: Optional[TelemetryReader]
    refusals: Tuple[str, ...]
    rest: Tuple[TelemetrySource, ...]


def default_sources(period: float = DEFAULT_PERIOD, root: Path = Path("/")) -> Tuple[TelemetrySource, ...]:
    """Return all sources, the most complete one first.

    Args:
        period: seconds between two readings, for the jetson-stats service.
        root: folder used instead of ``/``.
    """
    return (
        TelemetrySource("jetson-stats", lambda: JetsonStatsReader(period, root)),
        TelemetrySource("ina3221", lambda: Ina3221Reader(root)),
        TelemetrySource("nvml", lambda: NvmlReader(cpu=_rapl_or_none(root))),
        TelemetrySource("rapl", lambda: RaplReader(root)),
    )


def open_first_available(sources: Sequence[TelemetrySource]) -> OpenedSource:
    """Open the first available source. This may block for long; do not call it from the image worker."""
    refusals: List[str] = []
    for number, source in enumerate(sources):
        try:
            return OpenedSource(source.open(), tuple(refusals), tuple(sources[number + 1 :]))
        except PowerError as error:
            refusals.append(str(error))
        except Exception as error:  # raised by third-party packages; try the next source
            refusals.append(f"{source.name}: {describe_error(error)}")
    return OpenedSource(None, tuple(refusals), ())


@dataclass(frozen=True)
class TelemetrySnapshot:
    """State of the telemetry at one moment.

    Attributes:
        source: the source in use; "none" if no source is available, "" while a source is being opened.
        reading: the newest reading, also if ``stalled``; None before the first and without a source.
        age: seconds since ``reading`` was measured, or since the search for a source began if there is none yet.
        stalled: whether there has been no reading for three periods, or for ``start_time`` at the start. The sampler
            keeps waiting for the source.
        refusals: why the sources before the one in use are not used: not available, or dropped after a failure.
        dropped: those of them that were dropped after a failure.
    """

    source: str
    reading: Optional[PowerReading]
    age: float
    stalled: bool
    refusals: Tuple[str, ...]
    dropped: Tuple[str, ...]


class TelemetrySampler:
    """Reads the best available source in a background thread; callers never wait for it.

    A source that raises an exception is dropped, and the next one replaces it. A source that hangs is reported as
    stalled.
    """

    def __init__(
        self,
        sources: Optional[Sequence[TelemetrySource]] = None,
        period: float = DEFAULT_PERIOD,
        clock: Callable[[], float] = time.monotonic,
        start_time: float = _SECONDS_TO_START,
    ) -> None:
        """Start the thread.

        Args:
            sources: sources to try, in this order; ``default_sources`` by default.
            period: seconds between two readings.
            clock: source of the stamps.
            start_time: seconds that a source may take until its first reading.
        """
        if not (math.isfinite(period) and period > 0):
            raise PowerError(f"telemetry: the period must be above 0 s, is {period}")
        self._period = period
        self._clock = clock
        self._start_time = start_time
        self._lock = threading.Lock()  # guards the attributes below; held only briefly
        self._source = ""
        self._reading: Optional[PowerReading] = None
        self._opening_since = clock()
        self._refusals: Tuple[str, ...] = ()
        self._dropped: Tuple[str, ...] = ()
        self._closing = threading.Event()
        available = tuple(default_sources(period) if sources is None else sources)
        # A daemon thread: a source that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, args=(available,), name="telemetry", daemon=True)
        self._thread.start()

    def latest(self) -> TelemetrySnapshot:
        """Return the current state without waiting."""
        with self._lock:
            source, reading = self._source, self._reading
            age = self._clock() - (self._opening_since if reading is None else reading.stamp)
            limit = self._start_time if reading is None else _PERIODS_TO_STALL * self._period
            return TelemetrySnapshot(
                source, reading, age, source != "none" and age > limit, self._refusals, self._dropped
            )

    def close(self, timeout: float = 1.0) -> bool:
        """Stop reading. Returns False if the source hangs for more than ``timeout`` seconds; it is then abandoned."""
        self._closing.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, sources: Tuple[TelemetrySource, ...]) -> None:
        while not self._closing.is_set():
            opened = open_first_available(sources)
            with self._lock:
                self._refusals += opened.refusals
                self._source = "none" if opened.reader is None else opened.reader.name
            if opened.reader is None:
                return
            sources = opened.rest
            failure = self._read_until_failure(opened.reader)
            if failure is None:
                _close(opened.reader)
                return
            # Closing may hang as well, and must not delay the next source.
            threading.Thread(target=_close, args=(opened.reader,), name="telemetry close", daemon=True).start()
            with self._lock:
                self._source, self._reading, self._opening_since = "", None, self._clock()
                self._refusals += (failure,)
                self._dropped += (failure,)

    def _read_until_failure(self, reader: TelemetryReader) -> Optional[str]:
        """Read until the sampler is closed (return None) or the reader fails (return why)."""
        try:
            while not self._closing.is_set():
                reading = reader.read()
                with self._lock:
                    self._reading = reading
                self._closing.wait(self._period)
        except PowerError as error:
            return str(error)
        except Exception as error:  # top level of the thread: a source must not end the telemetry
            return f"{reader.name}: {describe_error(error)}"
        return None


def _close(reader: TelemetryReader) -> None:
    try:
        reader.close()
    except Exception:  # the failure that led here has been recorded
        return


def _rapl_or_none(root: Path) -> Optional[RaplReader]:
    try:
        return RaplReader(root)
    except PowerError:
        return None
