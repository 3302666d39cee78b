"""Texts that explain a decision: what was measured, what the goal is, and what the governor waits for."""

from __future__ import annotations

import math

from espnet_ros.governor.types import Goal, Observation, Option

_NAMES = {"frame_time": "frame time", "watts": "power", "latency": "latency", "temperature": "temperature"}


def describe_state(goal: Goal, observation: Observation, option: Option, load: float) -> str:
    """Describe the measurement next to the goal, with the load if it is finite."""
    kind, target = goal.kind, goal.target
    if kind == "thermal":
        return f"thermal: {observation.temperature:.1f} °C, limit {goal.max_temperature:g} °C"
    if math.isinf(load):
        return f"rate: limited to {option.max_rate:g} frames/s, {_rate_target(goal, observation)}"
    share = f"load {load:.0%}"
    if kind == "rate":
        return f"rate: {1 / observation.frame_time:.3g} frames/s possible, {_rate_target(goal, observation)}, {share}"
    if kind == "power":
        return f"power: {observation.watts:.3g} W, limit {target:.3g} W, {share}"
    return f"latency: {1000 * observation.latency:.3g} ms, limit {1000 * target:.3g} ms, {share}"


def missing_measurement(goal: Goal, field: str) -> str:
    """Name the measurement that the goal needs and that is unknown."""
    return f"{goal.kind}: the {_NAMES[field]} is unknown, keeping the current option"


def describe_fit(option: Option, load: float) -> str:
    """Describe an option that meets the goal, with its predicted load."""
    return f"{option} fits" + (f" at {load:.0%} load" if load > 0 else "")


def describe_step_up(waited: float, load: float) -> str:
    """Describe why a step up happens now: how long a better option has fitted, and its predicted load."""
    return f"a better option has fitted for {waited:.0f} s" + (f", predicted load {load:.0%}" if load > 0 else "")


def _rate_target(goal: Goal, observation: Observation) -> str:
    if observation.input_rate < goal.target:
        return f"the camera delivers {observation.input_rate:.3g} of the target {goal.target:.3g}"
    return f"target {goal.target:.3g}"
