"""Conversion of the node's health to /diagnostics and EngineStatus messages."""

from __future__ import annotations

from typing import List

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from espnet_ros.msg import EngineStatus
from espnet_ros.ros.power_output import power_diagnostic
from espnet_ros.runtime.engine_exchange import EngineState
from espnet_ros.runtime.health import CostmapHealth, NodeHealth

MISSING_WARNING = 0.05
"""Share of missing images from which /diagnostics warns."""


def diagnostic_array(health: NodeHealth, node_name: str, stamp: Time) -> DiagnosticArray:
    """Return the message for /diagnostics (REP 107).

    Args:
        health: the node's health.
        node_name: fully qualified name of the node; several nodes share the topic.
        stamp: current time.
    """
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [_engine_diagnostic(health), _image_diagnostic(health)]
    if health.costmap is not None:
        array.status.append(_costmap_diagnostic(health.costmap, health.is_active))
    if health.power is not None:
        array.status.append(power_diagnostic(health.power))
    for status in array.status:
        status.name = f"{node_name.lstrip('/')}: {status.name}"
    return array


def _engine_diagnostic(health: NodeHealth) -> DiagnosticStatus:
    report = health.report
    status = DiagnosticStatus(name="engine", level=DiagnosticStatus.OK, message=report.message)
    if report.state is EngineState.FAILED or report.is_broken:
        status.level = DiagnosticStatus.ERROR
    elif health.new_failures:
        status.level = DiagnosticStatus.ERROR
        status.message = f"{health.new_failures} images failed: {health.last_failure}"
    elif report.takeover:
        status.level, status.message = DiagnosticStatus.WARN, report.takeover
    status.values = _key_values(
        state=report.state.name.lower(),
        building=report.building or "nothing",
        ready_alphas=", ".join(map(str, report.ready_alphas)) or "none",
    )
    engine = report.engine
    if engine is not None:
        status.hardware_id = engine.device
        checkpoint = engine.spec.checkpoint
        status.values += _key_values(
            network=checkpoint.network,
            alpha=str(checkpoint.alpha),
            weights=checkpoint.name,
            classes=engine.spec.class_table.name,
            backend=f"{engine.backend} ({engine.reason})",
            device=engine.device,
            precision=engine.precision,
            input_size=str(engine.spec.input_size),
        )
    counts = health.counts
    status.values += _key_values(
        inference_time=f"{counts.inference_time * 1e3:.1f} ms",
        latency_p50=f"{counts.latency_p50 * 1e3:.1f} ms",
        latency_p95=f"{counts.latency_p95 * 1e3:.1f} ms",
        failed=str(counts.failed),
    )
    return status


def _image_diagnostic(health: NodeHealth) -> DiagnosticStatus:
    counts = health.counts
    status = DiagnosticStatus(name="images", level=DiagnosticStatus.OK, hardware_id=health.image_topic)
    if not health.is_active:
        status.message = "not active"
    elif health.silence_reason:
        status.level = DiagnosticStatus.WARN
        status.message = f"no image on {health.image_topic} for {counts.silence:.1f} s: {health.silence_reason}"
    elif health.new_refusals:
        status.level = DiagnosticStatus.WARN
        status.message = f"{health.new_refusals} images refused: {health.last_refusal}"
    elif health.waits_for_clock:
        status.level = DiagnosticStatus.WARN
        status.message = "use_sim_time is set, but no time has come on /clock"
    elif health.transport_problem:
        status.level, status.message = DiagnosticStatus.WARN, health.transport_problem
    elif health.missing_share >= MISSING_WARNING:
        status.level = DiagnosticStatus.WARN
        status.message = (
            f"{health.missing_share:.0%} of the images on {health.image_topic} do not arrive, by the gaps in their "
            "stamps (docs/robot.md, large images)"
        )
    else:
        status.message = f"{counts.frame_rate:.1f} images/s"
    status.values = _key_values(
        received=str(counts.received),
        answered=str(counts.answered),
        dropped=str(counts.dropped),
        refused=str(counts.refused),
        frame_rate=f"{counts.frame_rate:.1f} Hz",
        missing=f"{health.missing_share:.0%}",
    )
    status.values += [KeyValue(key=f"dropped, {k}", value=str(v)) for k, v in sorted(counts.drop_reasons.items())]
    status.values += [KeyValue(key=f"refused, {k}", value=str(v)) for k, v in sorted(counts.refused_kinds.items())]
    return status


def _costmap_diagnostic(costmap: CostmapHealth, is_active: bool) -> DiagnosticStatus:
    status = DiagnosticStatus(name="costmap", level=DiagnosticStatus.OK)
    if costmap.new_jumps and is_active:
        status.level = DiagnosticStatus.WARN
        status.message = f"cleared after a jump: {costmap.last_jump}"
    elif costmap.is_wanted and is_active and costmap.problem:
        status.level = DiagnosticStatus.WARN
        status.message = costmap.problem
    elif costmap.cleared and costmap.is_wanted:
        status.level = DiagnosticStatus.WARN if is_active else DiagnosticStatus.OK
        status.message = costmap.cleared
    elif not costmap.is_wanted:
        status.message = "nobody listens"
    else:
        status.message = f"{costmap.updates} images added"
    status.values = _key_values(
        updates=str(costmap.updates),
        pose_jumps=str(costmap.jumps),
        last_pose_jump=costmap.last_jump or "none",
        pixels_without_ray="unknown" if costmap.blind_share is None else f"{costmap.blind_share:.1%}",
        image_is_rectified=str(costmap.image_is_rectified).lower(),
    )
    return status


def _key_values(**texts: str) -> List[KeyValue]:
    return [KeyValue(key=key, value=text) for key, text in texts.items()]


def engine_status(health: NodeHealth, stamp: Time) -> EngineStatus:
    """Return the message for ``~/engine_status``."""
    report = health.report
    status = EngineStatus(state=report.state, message=report.message)
    status.header.stamp = stamp
    status.building, status.progress = report.building, report.progress
    status.ready_alphas = report.ready_alphas
    engine, counts = report.engine, health.counts
    if engine is not None:
        checkpoint = engine.spec.checkpoint
        status.network, status.alpha = checkpoint.network, checkpoint.alpha
        status.weights, status.weights_sha256 = checkpoint.name, checkpoint.sha256
        status.class_table = engine.spec.class_table.name
        status.backend, status.device, status.precision = engine.backend, engine.device, engine.precision
        status.reason = engine.reason
        status.input_height, status.input_width = engine.spec.input_size
    status.received, status.answered, status.dropped = counts.received, counts.answered, counts.dropped
    status.refused, status.failed = counts.refused, counts.failed
    status.frame_rate, status.inference_time = counts.frame_rate, counts.inference_time
    status.latency_p50, status.latency_p95 = counts.latency_p50, counts.latency_p95
    return status
