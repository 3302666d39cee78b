"""What the device draws and how hot it is, read in a thread of its own, from the best source there is."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from espnet_ros.errors import PowerError
from espnet_ros.telemetry.jetson import Ina3221Reader, JetsonStatsReader
from espnet_ros.telemetry.nvml import NvmlReader
from espnet_ros.telemetry.rapl import RaplReader
from espnet_ros.telemetry.reading import PowerReading, TelemetryReader

__all__ = [
    "Choice",
    "PowerReading",
    "Source",
    "Telemetry",
    "TelemetryReader",
    "TelemetrySampler",
    "choose_reader",
    "usual_sources",
]

DEFAULT_PERIOD = 1.0
"""Seconds between two readings."""

_PERIODS_TO_STALL = 3.0
_SECONDS_TO_START = 5.0
"""How long the first reading may take: jetson-stats has to connect to its service."""


class Source(NamedTuple):
    """A telemetry source that may be there. ``open`` raises PowerError, with the reason, where it is not."""

    name: str
    open: Callable[[], TelemetryReader]


class Choice(NamedTuple):
    """The reader of the first source that opened; why each one before it did not; the sources after it."""

    reader: Optional[TelemetryReader]
    refusals: Tuple[str, ...]
    rest: Tuple[Source, ...]


def usual_sources(period: float = DEFAULT_PERIOD, root: Path = Path("/")) -> Tuple[Source, ...]:
    """Every source there is, the one that knows most first.

    Args:
        period: seconds between two readings; jetson-stats' service has a rhythm of its own.
        root: folder that stands for ``/``.
    """
    return (
        Source("jetson-stats", lambda: JetsonStatsReader(period, root)),
        Source("ina3221", lambda: Ina3221Reader(root)),
        Source("nvml", lambda: NvmlReader(cpu=_rapl_or_none(root))),
        Source("rapl", lambda: RaplReader(root)),
    )


def choose_reader(sources: Sequence[Source]) -> Choice:
    """Open the first source that is there. This may take as long as that source likes: keep it off the images' way."""
    refusals: List[str] = []
    for number, source in enumerate(sources):
        try:
            return Choice(source.open(), tuple(refusals), tuple(sources[number + 1 :]))
        except PowerError as error:
            refusals.append(str(error))
        except Exception as error:  # other people's packages are behind it, and the next source may do
            refusals.append(f"{source.name}: {type(error).__name__}: {error}")
    return Choice(None, tuple(refusals), ())


@dataclass(frozen=True)
class Telemetry:
    """What is known now.

    Attributes:
        source: the source in use; "none" where there is none, "" while the first one is sought.
        reading: the newest reading; None before the first, and where there is no source. One that is ``stalled`` is
            the last that came.
        age: seconds since ``reading`` was measured; since the start where there is none yet.
        stalled: the source has not answered for three periods. It is still waited for.
        refusals: why each source before the one in use is not: it is not there, or it failed and was dropped.
        dropped: those among them that had been in use.
    """

    source: str
    reading: Optional[PowerReading]
    age: float
    stalled: bool
    refusals: Tuple[str, ...]
    dropped: Tuple[str, ...]


class TelemetrySampler:
    """Reads the best source in a thread of its own, which no caller ever waits for.

    A source that raises is dropped, and the next one takes over. One that hangs is told by the age of its reading.
    """

    def __init__(
        self,
        sources: Optional[Sequence[Source]] = None,
        period: float = DEFAULT_PERIOD,
        clock: Callable[[], float] = time.monotonic,
        start_time: float = _SECONDS_TO_START,
    ) -> None:
        """Start.

        Args:
            sources: what to try, in that order; ``usual_sources`` by default.
            period: seconds between two readings.
            clock: what stamps readings.
            start_time: seconds without a reading that are allowed while a source is opened.
        """
        if not (math.isfinite(period) and period > 0):
            raise PowerError(f"telemetry: the period must be above 0 s, not {period}")
        self._period = period
        self._clock = clock
        self._start_time = start_time
        self._lock = threading.Lock()  # guards what follows; nothing slow is done under it
        self._source = ""
        self._reading: Optional[PowerReading] = None
        self._opening_since = clock()
        self._refusals: Tuple[str, ...] = ()
        self._dropped: Tuple[str, ...] = ()
        self._closing = threading.Event()
        given = tuple(usual_sources(period) if sources is None else sources)
        # A daemon: a source that hangs does not keep the process from ending either.
        self._thread = threading.Thread(target=self._run, args=(given,), name="telemetry", daemon=True)
        self._thread.start()

    def latest(self) -> Telemetry:
        """What is known now, without waiting."""
        with self._lock:
            source, reading = self._source, self._reading
            age = self._clock() - (self._opening_since if reading is None else reading.stamp)
            limit = self._start_time if reading is None else _PERIODS_TO_STALL * self._period
            return Telemetry(source, reading, age, source != "none" and age > limit, self._refusals, self._dropped)

    def close(self, timeout: float = 1.0) -> bool:
        """Stop reading. A source that hangs is left behind after ``timeout`` seconds; then the answer is False."""
        self._closing.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, sources: Tuple[Source, ...]) -> None:
        while not self._closing.is_set():
            choice = choose_reader(sources)
            with self._lock:
                self._refusals += choice.refusals
                self._source = "none" if choice.reader is None else choice.reader.name
            if choice.reader is None:
                return
            sources = choice.rest
            failure = self._read_until_it_fails(choice.reader)
            if failure is None:
                _close(choice.reader)
                return
            # Closing may hang as well, and the next source is not to wait for it.
            threading.Thread(target=_close, args=(choice.reader,), name="telemetry end", daemon=True).start()
            with self._lock:
                self._source, self._reading, self._opening_since = "", None, self._clock()
                self._refusals += (failure,)
                self._dropped += (failure,)

    def _read_until_it_fails(self, reader: TelemetryReader) -> Optional[str]:
        """Why the reader failed; None when it is time to close."""
        try:
            while not self._closing.is_set():
                reading = reader.read()
                with self._lock:
                    self._reading = reading
                self._closing.wait(self._period)
        except PowerError as error:
            return str(error)
        except Exception as error:  # the thread's edge: a source must not end telemetry
            return f"{reader.name}: {type(error).__name__}: {error}"
        return None


def _close(reader: TelemetryReader) -> None:
    try:
        reader.close()
    except Exception:  # it is given up, and why has been said
        return


def _rapl_or_none(root: Path) -> Optional[RaplReader]:
    try:
        return RaplReader(root)
    except PowerError:
        return None
