"""The words of a decision: what was measured, what was promised, and what is waited for."""

from __future__ import annotations

import math

from espnet_ros.governor.types import Observation, Option, Promise

_NAMES = {"seconds": "time a frame takes", "watts": "power", "latency": "latency", "temperature": "temperature"}


def state(promise: Promise, observation: Observation, option: Option, load: float) -> str:
    """What was measured of what was promised, and the load where it is a number."""
    kind, target = promise.kind, promise.target
    if kind == "thermal":
        return f"thermal: {observation.temperature:.1f} °C, at most {promise.max_temperature:g} °C promised"
    if math.isinf(load):
        return f"rate: at most {option.max_rate:g} frames/s are taken, {_asked(promise, observation)}"
    share = f"load {load:.0%}"
    if kind == "rate":
        return f"rate: {1 / observation.seconds:.3g} frames/s possible, {_asked(promise, observation)}, {share}"
    if kind == "power":
        return f"power: {observation.watts:.3g} W, at most {target:.3g} W promised, {share}"
    return f"latency: {1000 * observation.latency:.3g} ms, at most {1000 * target:.3g} ms promised, {share}"


def unknown(promise: Promise, reading: str) -> str:
    """The reading that the promise is about is missing."""
    return f"{promise.kind}: the {_NAMES[reading]} is unknown, nothing changes"


def fits(option: Option, load: float) -> str:
    """An option that would hold the promise."""
    return f"{option} fits" + (f" at a load of {load:.0%}" if load > 0 else "")


def _asked(promise: Promise, observation: Observation) -> str:
    if observation.asked_rate < promise.target:
        return f"the camera gives {observation.asked_rate:.3g} of the {promise.target:.3g} promised"
    return f"{promise.target:.3g} promised"
