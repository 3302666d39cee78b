"""An hour of a simulated TX2 under the governor, with random disturbances, evaluated second by second."""

import math
import random
from dataclasses import replace

from tx2_simulator import Deviation, SimulatedTx2

from espnet_ros.governor.governor import Governor
from espnet_ros.governor.tx2_cost_model import Tx2CostModel
from espnet_ros.governor.types import AllowedOptions, Goal, Option

HOUR = 3600
SETTLING = 5.0
LIMIT = 85.0
ALLOWED = AllowedOptions(
    alphas=(3, 5, 8),
    sizes=((256, 512), (384, 768), (512, 1024)),
    max_rates=(5.0, 10.0, math.inf),
    modes=("MAXQ", "MAXP_CORE_ARM", "MAXN"),
)
START = Option(8, (512, 1024), math.inf, "MAXP_CORE_ARM")
KINDS = ("rate", "power", "latency", "thermal")
TARGETS = {"rate": (9.0, 20.0), "power": (3.7, 5.5), "latency": (0.05, 0.15)}
ROOM = {"rate": 1.1, "power": 0.95, "latency": 0.9}
READING = {"rate": "frame_time", "power": "watts", "latency": "latency", "thermal": "temperature"}
EVENTS = ("contention", "heat", "budget", "camera", "stop", "watts", "missing", "stuck", "manual", "options")


def deviation(seed):
    """Draw a board that differs from the governor's model by up to 35 %."""
    chance = random.Random(1000 + seed)
    return Deviation(
        frame_time=chance.uniform(0.75, 1.3),
        alpha=chance.uniform(0.6, 1.4),
        watts=chance.uniform(0.75, 1.35),
        modes={mode: chance.uniform(0.7, 1.3) for mode in ALLOWED.modes},
        mode_watts={mode: chance.uniform(0.85, 1.15) for mode in ALLOWED.modes},
        engine_build_time=6.0,
    )


class Hour:
    """Runs the simulation and records what the tests check."""

    def __init__(self, kind, seed, eventful=True, governor=True, events=EVENTS):
        self.kind, self.eventful, self.choices, self.happened = kind, eventful, events, []
        self.chance = random.Random(seed)
        self.board, self.coolest = (SimulatedTx2(START, deviation(seed), seed) for _ in range(2))
        self.coolest.conditions = self.board.conditions
        self.allowed = ALLOWED
        self.options = ALLOWED.combinations()
        self.target = LIMIT if kind == "thermal" else self.chance.uniform(*TARGETS[kind])
        self.governor = Governor(self._goal(), ALLOWED, START, Tx2CostModel()) if governor else None
        self.judged = self.held = self.throttled = 0
        self.events, self.changes, self.log = [0.0], [], []
        self.unjudged_until = SETTLING
        self.ends = []
        self.best_seconds = 0

    def run(self, seconds=HOUR):
        next_event = 60.0
        for _ in range(seconds):
            if self.eventful and self.board.time >= next_event:
                self._event(self.chance.choice(self.choices))
                next_event = self.board.time + self.chance.uniform(20, 90)
            for end in [end for end in self.ends if end[0] <= self.board.time]:
                self.ends.remove(end)
                end[1]()
                self._disturbed()
            self._second()
        return self

    def _second(self):
        self.coolest.use(min(self.options, key=self.coolest.watts))
        self.coolest.step()
        observation = self.board.step()
        self.throttled += observation.throttled
        if observation.time > self.unjudged_until and self._readable() and self.possible():
            self.judged += 1
            self.held += self.board.meets_goal_now(self.kind, self.target)
        if self.governor is None:
            return
        decision = self.governor.decide(observation)
        assert decision.reason
        self.log.append((observation, decision))
        if decision.changed:
            assert decision.option in self.options
            self.changes.append(observation.time)
            self.board.use(decision.option)

    def _readable(self):
        conditions = self.board.conditions
        if READING[self.kind] in conditions.missing | conditions.stuck:
            self.unjudged_until = self.board.time + SETTLING
            return False
        return True

    def possible(self):
        """Return whether some allowed option meets the goal with room to spare, and the board is cool enough for it."""
        if self.kind == "thermal":
            return self.coolest.temperature <= self.target - 0.5
        if self.board.temperature > LIMIT - 8:
            return False
        cool = [option for option in self.options if self.board.settled_temperature(option) <= LIMIT - 5]
        return any(self._has_room(option) for option in cool)

    def _has_room(self, option):
        board, scale = self.board, ROOM[self.kind]
        if self.kind == "rate":
            needed = min(self.target, board.conditions.camera_rate)
            return option.max_rate >= needed and needed * scale * board.frame_time(option) <= 1
        return board.meets_goal(self.kind, self.target * scale, option)

    def quick_changes(self):
        """Return pairs of changes less than 10 s apart, neither within 5 s after an event."""
        return [
            (one, two)
            for one, two in zip(self.changes, self.changes[1:])
            if two - one < 10 and not any(one - SETTLING < event <= two for event in self.events)
        ]

    def _goal(self):
        return (
            Goal("thermal", max_temperature=self.target)
            if self.kind == "thermal"
            else Goal(self.kind, self.target, LIMIT)
        )

    def _disturbed(self):
        self.events.append(self.board.time)
        # From here on, compare with the coolest option started now: the governor cannot foresee events.
        self.coolest.temperature = self.board.temperature
        self.unjudged_until = max(self.unjudged_until, self.board.time + SETTLING)

    def _later(self, low, high, end):
        self.ends.append((self.board.time + self.chance.uniform(low, high), end))

    def _event(self, what):
        self.happened.append(what)
        self._disturbed()
        conditions, chance = self.board.conditions, self.chance
        if what == "contention":
            conditions.contention = chance.choice((0.0, 0.2, 0.5, 0.8))
        elif what == "heat":
            conditions.ambient = chance.uniform(10, 45)
        elif what == "camera":
            conditions.camera_rate = chance.uniform(4.0, 30.0)
        elif what == "stop":
            self._stop_the_camera()
        elif what == "watts":
            conditions.other_watts = chance.uniform(0.0, 0.5)
        elif what in ("missing", "stuck"):
            name = chance.choice(("watts", "temperature") if what == "stuck" else tuple(READING.values()))
            setattr(conditions, what, frozenset((name,)))
            self._later(3, 30, lambda: setattr(conditions, what, frozenset()))
        elif what == "manual":
            option = replace(chance.choice(self.options), alpha=chance.choice((1, 3, 5, 8)))
            self.board.use(option)
            if self.governor:
                self.governor.set_current(option, self.board.time)
        elif what == "options":
            self.allow(
                replace(
                    ALLOWED,
                    alphas=tuple(sorted(chance.sample(ALLOWED.alphas, 2))),
                    modes=tuple(chance.sample(ALLOWED.modes, 2)),
                    max_rates=chance.choice(((5.0, math.inf), (math.inf,))),
                )
            )
            self._later(30, 300, lambda: self.allow(ALLOWED))
        else:
            self.target = chance.uniform(*TARGETS.get(self.kind, (70.0, 88.0)))
            if self.governor:
                self.governor.set_goal(self._goal())

    def _stop_the_camera(self):
        conditions = self.board.conditions
        if conditions.camera_rate:
            rate, conditions.camera_rate = conditions.camera_rate, 0.0
            self._later(5, 30, lambda: setattr(conditions, "camera_rate", rate))

    def allow(self, allowed):
        """Change the allowed options."""
        self.allowed, self.options = allowed, allowed.combinations()
        if self.governor:
            self.governor.set_allowed(allowed)
