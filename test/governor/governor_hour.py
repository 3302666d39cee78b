"""An hour of a simulated TX2 under the governor, with whatever a robot's day brings; judged second by second."""

import math
import random
from dataclasses import replace

from tx2_simulator import Misfit, SimulatedTx2

from espnet_ros.governor.governor import Governor
from espnet_ros.governor.predicted_costs import PredictedCosts
from espnet_ros.governor.types import Allowed, Option, Promise

HOUR = 3600
SETTLING = 5.0
LIMIT = 85.0
ALLOWED = Allowed(
    alphas=(3, 5, 8),
    sizes=((256, 512), (384, 768), (512, 1024)),
    max_rates=(5.0, 10.0, math.inf),
    modes=("MAXQ", "MAXP_CORE_ARM", "MAXN"),
)
START = Option(8, (512, 1024), math.inf, "MAXP_CORE_ARM")
KINDS = ("rate", "power", "latency", "thermal")
TARGETS = {"rate": (9.0, 20.0), "power": (3.7, 5.5), "latency": (0.05, 0.15)}
ROOM = {"rate": 1.1, "power": 0.95, "latency": 0.9}
READING = {"rate": "seconds", "power": "watts", "latency": "latency", "thermal": "temperature"}
EVENTS = ("contention", "heat", "budget", "camera", "stop", "watts", "unread", "stuck", "hand", "rules")


def misfit(seed):
    """A board that differs from the governor's model by up to 30 % in each way."""
    chance = random.Random(1000 + seed)
    return Misfit(
        seconds=chance.uniform(0.75, 1.3),
        alpha=chance.uniform(0.6, 1.4),
        watts=chance.uniform(0.75, 1.35),
        modes={mode: chance.uniform(0.7, 1.3) for mode in ALLOWED.modes},
        mode_watts={mode: chance.uniform(0.85, 1.15) for mode in ALLOWED.modes},
        engine_seconds=6.0,
    )


class Hour:
    """Runs the simulation and keeps what the claims are about."""

    def __init__(self, kind, seed, eventful=True, governor=True, events=EVENTS):
        self.kind, self.eventful, self.choices, self.happened = kind, eventful, events, []
        self.chance = random.Random(seed)
        self.board, self.coolest = (SimulatedTx2(START, misfit(seed), seed) for _ in range(2))
        self.coolest.conditions = self.board.conditions
        self.allowed = ALLOWED
        self.options = ALLOWED.options()
        self.target = LIMIT if kind == "thermal" else self.chance.uniform(*TARGETS[kind])
        self.governor = Governor(self._promise(), ALLOWED, START, PredictedCosts()) if governor else None
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
            self.held += self.board.holds_now(self.kind, self.target)
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
        if READING[self.kind] in conditions.unread | conditions.stuck:
            self.unjudged_until = self.board.time + SETTLING
            return False
        return True

    def possible(self):
        """Whether some allowed option has room for the promise, and the board is cool enough for it."""
        if self.kind == "thermal":
            return self.coolest.temperature <= self.target - 0.5
        if self.board.temperature > LIMIT - 8:
            return False
        cool = [option for option in self.options if self.board.settled_temperature(option) <= LIMIT - 5]
        return any(self._has_room(option) for option in cool)

    def _has_room(self, option):
        board, scale = self.board, ROOM[self.kind]
        if self.kind == "rate":
            needed = min(self.target, board.conditions.asked_rate)
            return option.max_rate >= needed and needed * scale * board.seconds(option) <= 1
        return board.holds(self.kind, self.target * scale, option)

    def quick_changes(self):
        """Pairs of changes less than 10 s apart, neither within 5 s after something happened."""
        return [
            (one, two)
            for one, two in zip(self.changes, self.changes[1:])
            if two - one < 10 and not any(one - SETTLING < event <= two for event in self.events)
        ]

    def _promise(self):
        return (
            Promise("thermal", max_temperature=self.target)
            if self.kind == "thermal"
            else Promise(self.kind, self.target, LIMIT)
        )

    def _disturbed(self):
        self.events.append(self.board.time)
        # What the coolest option could have held is asked from here on: nobody knows what will happen next.
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
            conditions.asked_rate = chance.uniform(4.0, 30.0)
        elif what == "stop":
            self._stop_the_camera()
        elif what == "watts":
            conditions.other_watts = chance.uniform(0.0, 0.5)
        elif what in ("unread", "stuck"):
            name = chance.choice(("watts", "temperature") if what == "stuck" else tuple(READING.values()))
            setattr(conditions, what, frozenset((name,)))
            self._later(3, 30, lambda: setattr(conditions, what, frozenset()))
        elif what == "hand":
            option = replace(chance.choice(self.options), alpha=chance.choice((1, 3, 5, 8)))
            self.board.use(option)
            if self.governor:
                self.governor.set_current(option, self.board.time)
        elif what == "rules":
            self.rules(
                replace(
                    ALLOWED,
                    alphas=tuple(sorted(chance.sample(ALLOWED.alphas, 2))),
                    modes=tuple(chance.sample(ALLOWED.modes, 2)),
                    max_rates=chance.choice(((5.0, math.inf), (math.inf,))),
                )
            )
            self._later(30, 300, lambda: self.rules(ALLOWED))
        else:
            self.target = chance.uniform(*TARGETS.get(self.kind, (70.0, 88.0)))
            if self.governor:
                self.governor.set_promise(self._promise())

    def _stop_the_camera(self):
        conditions = self.board.conditions
        if conditions.asked_rate:
            rate, conditions.asked_rate = conditions.asked_rate, 0.0
            self._later(5, 30, lambda: setattr(conditions, "asked_rate", rate))

    def rules(self, allowed):
        """Allow other options from now on."""
        self.allowed, self.options = allowed, allowed.options()
        if self.governor:
            self.governor.set_allowed(allowed)
