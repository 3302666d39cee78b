"""An hour of a simulated TX2 under the governor, with changing load, heat and budget."""

import math
import random
from dataclasses import replace
from functools import lru_cache

import pytest

from espnet_ros.power.governor import Governor
from espnet_ros.power.governor_types import Allowed, Option, Promise
from espnet_ros.power.tx2_simulator import Misfit, SimulatedTx2
from espnet_ros.power.tx2_table import PredictedCosts

HOUR = 3600
SETTLING = 5.0
ALLOWED = Allowed(
    alphas=(3, 5, 8),
    sizes=((256, 512), (384, 768), (512, 1024)),
    max_rates=(5.0, 10.0, math.inf),
    modes=("MAXQ", "MAXP_CORE_ARM", "MAXN"),
)
START = Option(8, (512, 1024), math.inf, "MAXP_CORE_ARM")
TARGETS = {"rate": (9.0, 20.0), "power": (3.7, 5.5), "latency": (0.05, 0.15), "thermal": (math.nan, math.nan)}


def _misfit(seed):
    chance = random.Random(1000 + seed)
    return Misfit(chance.uniform(0.75, 1.3), chance.uniform(0.6, 1.4), chance.uniform(0.75, 1.35))


class Hour:
    """Runs the simulation and keeps what the claims are about."""

    def __init__(self, kind, seed, allowed=ALLOWED, eventful=True):
        self.kind, self.allowed = kind, allowed
        self.chance = random.Random(seed)
        self.board = SimulatedTx2(START, _misfit(seed), seed)
        self.target = sum(TARGETS[kind]) / 2
        self.promise = Promise(kind, self.target)
        self.governor = Governor(self.promise, allowed, START, PredictedCosts())
        self.eventful = eventful
        self.judged = self.held = self.impossible = self.throttled = 0
        self.changes, self.options = [], set()

    def run(self, seconds=HOUR):
        quiet_until = SETTLING
        next_event = 60.0
        for _ in range(seconds):
            if self.eventful and self.board.time >= next_event:
                self._event()
                quiet_until = self.board.time + SETTLING
                next_event = self.board.time + self.chance.uniform(20, 90)
            observation = self.board.step()
            self.throttled += observation.throttled
            if observation.time > quiet_until:
                self._judge()
            decision = self.governor.decide(observation)
            assert decision.reason
            if decision.changed:
                self.changes.append(observation.time)
                self.options.add(decision.option)
                self.board.use(decision.option)
        return self

    def _event(self):
        conditions = self.board.conditions
        what = self.chance.choice(("contention", "heat", "budget", "asked", "watts"))
        if what == "contention":
            conditions.contention = self.chance.choice((0.0, 0.2, 0.5, 0.8))
        elif what == "heat":
            conditions.ambient = self.chance.uniform(10, 45)
        elif what == "asked":
            conditions.asked_rate = self.chance.choice((10.0, 15.0, 30.0))
        elif what == "watts":
            conditions.other_watts = self.chance.uniform(0.0, 0.5)
        else:
            self.target = self.chance.uniform(*TARGETS[self.kind])
            self.promise = replace(self.promise, target=self.target)
            self.governor.set_promise(self.promise)

    def _judge(self):
        # The landing margin and the noise are not part of the question: 10 % of room must be there.
        if not any(self._has_room(option) for option in self.allowed.options()):
            self.impossible += 1
            return
        self.judged += 1
        self.held += self.board.holds_now(self.kind, self.target)

    def _has_room(self, option):
        scale = {"rate": 1.1, "power": 0.95, "latency": 0.9, "thermal": 1.0}[self.kind]
        if self.kind == "rate":
            needed = min(self.target, self.board.conditions.asked_rate)
            return option.max_rate >= needed and 1 / self.board.seconds(option) >= needed * scale
        return self.board.holds(self.kind, self.target * scale, option)


@lru_cache(maxsize=None)
def _eventful_hour(kind, seed):
    return Hour(kind, seed).run()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["rate", "power", "latency"])
def test_the_promise_holds_99_percent_of_an_eventful_hour(kind, seed):
    hour = _eventful_hour(kind, seed)
    assert hour.judged > 0.5 * HOUR
    assert hour.held >= 0.99 * hour.judged
    assert len(hour.changes) >= 5


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["rate", "power", "latency", "thermal"])
def test_the_board_never_throttles_under_the_governor(kind, seed):
    assert _eventful_hour(kind, seed).throttled == 0


@pytest.mark.parametrize("kind", ["rate", "power", "latency"])
def test_the_same_hour_without_a_governor_breaks_its_promise(kind):
    hour = Hour(kind, 1)
    hour.governor = Governor(Promise("off"), ALLOWED, START)
    hour.governor.set_promise = lambda promise: None
    hour.run()
    assert hour.held < 0.9 * hour.judged


def test_the_same_heat_throttles_a_board_without_a_governor():
    board = SimulatedTx2(replace(START, mode="MAXN"), Misfit(watts=1.35))
    board.conditions.ambient = 45.0
    assert any(board.step().throttled for _ in range(HOUR))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["rate", "power", "latency", "thermal"])
def test_a_steady_load_is_answered_by_at_most_one_change_in_10_seconds(kind, seed):
    hour = Hour(kind, seed, eventful=False).run(900)
    settled = [time for time in hour.changes if time > SETTLING]
    assert all(later - earlier >= 10 for earlier, later in zip(settled, settled[1:]))
    assert len([time for time in settled if time > 300]) <= 3


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", ["rate", "power", "latency", "thermal"])
def test_a_mode_the_rules_forbid_is_never_chosen(kind, seed):
    allowed = replace(ALLOWED, modes=("MAXQ", "MAXP_CORE_ARM"), alphas=(3, 8))
    hour = Hour(kind, seed, allowed).run()
    assert hour.options and {option.mode for option in hour.options} <= {"MAXQ", "MAXP_CORE_ARM"}
    assert {option.alpha for option in hour.options} <= {3, 8}
