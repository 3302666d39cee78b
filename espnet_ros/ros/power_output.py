"""Conversion of the power report to ``~/power_status`` and /diagnostics."""

from __future__ import annotations

import math
from typing import Any, List, Tuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from espnet_ros.msg import PowerStatus
from espnet_ros.runtime.power_control import PowerReport
from espnet_ros.telemetry.reading import PowerReading

_UNKNOWN = PowerReading(stamp=math.nan)
_THROTTLED = {None: PowerStatus.UNKNOWN, False: PowerStatus.NOT_THROTTLED, True: PowerStatus.THROTTLED}


def power_status(report: PowerReport, stamp: Time) -> PowerStatus:
    """Return the message for ``~/power_status``."""
    modes, telemetry, frames, binding = report.modes, report.telemetry, report.frames, report.binding
    status = PowerStatus(power_mode=modes.name, mode=modes.board_mode, board=modes.board)
    status.header.stamp = stamp
    status.switching, status.trouble = modes.is_switching, modes.problem
    status.age = math.nan
    if telemetry is not None:
        status.source, status.refusals = telemetry.source, list(telemetry.refusals)
        status.age, status.stalled = telemetry.age, telemetry.stalled
    reading = _reading(report)
    for name in ("covers", "watts_total", "watts_gpu", "watts_cpu", "temperature", "hottest", "gpu_load", "gpu_clock"):
        setattr(status, name, getattr(reading, name))
    status.throttled = _THROTTLED[reading.throttled]
    for name in ("frame_rate", "latency_p50", "latency_p95", "latency_p99", "joules_per_frame", "frames_per_joule"):
        setattr(status, name, math.nan if frames is None else getattr(frames, name))
    status.dropped = report.dropped
    status.governor, status.governor_target = report.governor, binding.target
    status.governor_reason = report.governor_problem or ("" if binding.decision is None else binding.decision.reason)
    status.governor_change, status.governor_changes = binding.last_change, binding.changes
    return status


def power_diagnostic(report: PowerReport) -> DiagnosticStatus:
    """Return the status "power" for /diagnostics: all problems, errors first, and all measurements."""
    problems = _list_problems(report)
    status = DiagnosticStatus(name="power", level=DiagnosticStatus.OK, message=_summary(report))
    if problems:
        status.level = DiagnosticStatus.ERROR if any(is_error for is_error, _ in problems) else DiagnosticStatus.WARN
        status.message = "; ".join(text for _, text in sorted(problems, key=lambda problem: not problem[0]))
    modes, telemetry, frames, binding = report.modes, report.telemetry, report.frames, report.binding
    reading = _reading(report)
    status.hardware_id = modes.board
    values = {
        "power_mode": modes.name or "none",
        "mode": modes.board_mode or "none",
        "board": modes.board,
        "source": "off" if telemetry is None else telemetry.source or "searching",
        "covers": reading.covers or "nothing",
        "watts": _number(reading.watts_total, "W"),
        "watts, GPU": _number(reading.watts_gpu, "W"),
        "watts, CPU": _number(reading.watts_cpu, "W"),
        "temperature": _number(reading.temperature, "°C") + (f" ({reading.hottest})" if reading.hottest else ""),
        "GPU load": _number(reading.gpu_load * 100, "%"),
        "GPU clock": _number(reading.gpu_clock / 1e6, "MHz"),
        "throttled": {None: "unknown", False: "no", True: "yes"}[reading.throttled],
        "governor": report.governor,
        "governor's reason": report.governor_problem or (binding.decision.reason if binding.decision else "none"),
        "governor's last change": binding.last_change or "none",
        "governor's changes": str(binding.changes),
    }
    if frames is not None:
        values.update(
            {
                "joules a frame": _number(frames.joules_per_frame, "J"),
                "frames a joule": _number(frames.frames_per_joule, "1/J"),
                "frame_rate": _number(frames.frame_rate, "Hz"),
                "latency_p50": _number(frames.latency_p50 * 1e3, "ms"),
                "latency_p95": _number(frames.latency_p95 * 1e3, "ms"),
                "latency_p99": _number(frames.latency_p99 * 1e3, "ms"),
                "dropped": f"{report.dropped}, {frames.dropped} of them in the last 10 s",
            }
        )
    status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    if telemetry is not None:
        status.values += [KeyValue(key="not in use", value=refusal) for refusal in telemetry.refusals]
    return status


def _reading(report: PowerReport) -> PowerReading:
    telemetry = report.telemetry
    return _UNKNOWN if telemetry is None or telemetry.stalled or telemetry.reading is None else telemetry.reading


def _list_problems(report: PowerReport) -> List[Tuple[bool, str]]:
    """Return pairs of whether it is an error (else a warning) and a text."""
    problems: List[Tuple[bool, str]] = [(violation.is_error, violation.text) for violation in report.violations]
    telemetry = report.telemetry
    if _reading(report).throttled:
        problems.append((False, "the device is throttling its clocks"))
    if report.modes.problem:
        problems.append((False, report.modes.problem))
    if telemetry is not None and telemetry.stalled:
        problems.append((False, f"{telemetry.source or 'telemetry'} has not answered for {telemetry.age:.0f} s"))
    if telemetry is not None:
        problems += [(False, f"telemetry source dropped: {reason}") for reason in telemetry.dropped]
    if report.governor_problem:
        problems.append((False, f"the governor cannot decide: {report.governor_problem}"))
    return problems


def _summary(report: PowerReport) -> str:
    reading, telemetry = _reading(report), report.telemetry
    if telemetry is None:
        return "telemetry is off"
    if telemetry.source == "none":
        return "no telemetry source"
    known = [(reading.watts_total, "W"), (reading.temperature, "°C")]
    texts = [_number(value, unit) for value, unit in known if math.isfinite(value)]
    if report.frames is not None and math.isfinite(report.frames.joules_per_frame):
        texts.append(_number(report.frames.joules_per_frame, "J/frame"))
    return ", ".join(texts) or "no reading yet"


def _number(value: Any, unit: str) -> str:
    """Format with three significant digits, or as an integer from 1000."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:.0f} {unit}" if abs(value) >= 1000 else f"{value:.3g} {unit}"
