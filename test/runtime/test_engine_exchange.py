"""The exchange of engines, without a node around it. Fake engines are built when the test says so."""

import threading

import numpy as np
import pytest
from waiting import TIMEOUT, wait_until

from espnet_ros.config import NodeConfig
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.errors import EngineError
from espnet_ros.runtime import engine_exchange, ready_engines
from espnet_ros.runtime.engine_exchange import EngineExchange, EngineState

CONFIG = NodeConfig(weights="street", backend="fake", input_height=48, input_width=64)
READY = CONFIG.changed({"keep_alphas_ready": True})
IMAGE = np.full((48, 64, 3), 100, np.uint8)
BACKENDS = ("first", "second", "third")


class Engine(FakeEngine):
    def __init__(self, spec, backend):
        super().__init__(spec)
        self.backend = backend
        self.calls = []
        self.is_closed = False
        self.error = None

    @property
    def alpha(self):
        return self.spec.checkpoint.alpha

    def infer(self, pixels, with_confidence=False):
        assert not self.is_closed
        self.calls.append((str(pixels.dtype), with_confidence))
        if self.error is not None:
            raise EngineError(self.error)
        return super().infer(pixels, with_confidence)

    def close(self):
        assert not self.is_closed, "closed twice"
        self.is_closed = True


class Workshop:
    """Builds engines for an EngineExchange; ``auto`` is the first of BACKENDS that is not excluded."""

    def __init__(self):
        self.built = []
        self.unbuildable = {}
        self.may_build = threading.Event()
        self.may_build.set()
        self.at_change = lambda: None
        self.control = EngineExchange(lambda: self.at_change())

    def build(self, spec, excluded=()):
        assert self.may_build.wait(TIMEOUT)
        usable = [backend for backend in BACKENDS if backend not in excluded]
        if spec.backend == "auto" and not usable:
            raise EngineError("nothing is left")
        if spec.checkpoint.alpha in self.unbuildable:
            raise EngineError(self.unbuildable[spec.checkpoint.alpha])
        self.built.append(Engine(spec, usable[0] if spec.backend == "auto" else spec.backend))
        return self.built[-1]

    def start(self, config):
        self.build_first(config)
        self.rest()

    def build_first(self, config):
        self.config = config
        self.control.build_first(config)

    def rest(self):
        """Wait until nothing is left to do in the background."""
        self.control.join(TIMEOUT)

    def change(self, **values):
        self.control.apply(self.config.changed(values))
        self.config = self.config.changed(values)

    def ask(self, with_confidence=False, image=IMAGE):
        return self.control.segment(image, "bgr", with_confidence)

    @property
    def alive(self):
        return sorted((engine.alpha, engine.spec.checkpoint.name) for engine in self.built if not engine.is_closed)

    @property
    def alphas_alive(self):
        return [alpha for alpha, _ in self.alive]

    @property
    def state(self):
        return self.control.report().state


@pytest.fixture
def workshop(monkeypatch):
    workshop = Workshop()
    monkeypatch.setattr(engine_exchange, "build_engine", workshop.build)
    yield workshop
    workshop.may_build.set()
    workshop.control.release()
    workshop.rest()
    assert workshop.alive == []


def test_without_ready_engines_the_old_one_is_freed(workshop):
    workshop.start(CONFIG)
    workshop.change(alpha=3)
    workshop.rest()
    assert workshop.control.engine.alpha == 3
    assert workshop.alphas_alive == [3]
    assert workshop.control.report().ready_alphas == (3,)


def test_a_change_to_a_ready_alpha_is_immediate_and_builds_nothing(workshop):
    workshop.start(READY)
    workshop.ask()
    workshop.rest()
    assert [engine.alpha for engine in workshop.built] == [8, 3, 5]
    assert workshop.control.report().ready_alphas == (3, 5, 8)
    workshop.may_build.clear()
    for alpha in (3, 5, 8, 3):
        workshop.change(alpha=alpha)
        assert (workshop.control.engine.alpha, workshop.state) == (alpha, EngineState.ACTIVE)
        assert workshop.ask().engine_number > 0
    workshop.rest()
    assert workshop.alphas_alive == [3, 5, 8]
    assert len(workshop.built) == 3


def test_ready_engines_have_answered_the_kind_of_image_that_flows(workshop):
    workshop.start(READY)
    assert [engine.calls for engine in workshop.built] == [[], [], []]
    workshop.ask()
    workshop.rest()
    assert [engine.calls for engine in workshop.built] == [[("uint8", False)]] * 3
    workshop.ask(with_confidence=True, image=np.zeros((30, 100, 3), np.uint8))
    workshop.rest()
    assert [engine.calls[1:] for engine in workshop.built] == [[("float32", True)]] * 3


def test_a_ready_engine_that_is_not_warm_is_warmed_up_before_it_is_used(workshop, monkeypatch):
    workshop.start(READY)
    monkeypatch.setattr(workshop.control.segmenter, "on_input_change", None)  # the background has no time yet
    workshop.ask()
    assert workshop.control.report().ready_alphas == (8,)
    workshop.change(alpha=3)
    workshop.rest()
    assert workshop.control.engine.alpha == 3
    assert workshop.control.engine.calls == [("uint8", False)]
    assert len(workshop.built) == 3


def test_other_weights_free_the_old_family_and_come_before_their_siblings(workshop):
    workshop.start(READY)
    workshop.ask()
    workshop.change(input_height=64, alpha=5)
    wait_until(lambda: workshop.control.engine.spec.input_size.height == 64, "the new size")
    workshop.rest()
    assert [(engine.alpha, engine.spec.input_size.height) for engine in workshop.built[3:]] == [
        (5, 64), (3, 64), (8, 64),
    ]  # fmt: skip
    assert workshop.alphas_alive == [3, 5, 8]
    assert all(engine.is_closed for engine in workshop.built[:3])
    assert all(engine.calls[0] == ("float32", False) for engine in workshop.built[3:])


def test_a_failed_change_keeps_the_old_engine_and_its_siblings(workshop):
    workshop.start(READY)
    workshop.unbuildable = {5: "out of memory"}
    workshop.change(precision="bf16", alpha=5)
    workshop.rest()
    assert workshop.control.take_error() == "out of memory"
    report = workshop.control.report()
    assert (report.state, report.message) == (EngineState.FAILED, "out of memory")
    assert (report.engine, report.ready_alphas) == (workshop.built[0], (3, 5, 8))
    workshop.change(precision="auto", alpha=3)
    assert (workshop.control.engine.alpha, workshop.state) == (3, EngineState.ACTIVE)


def test_an_engine_that_fails_its_first_image_is_not_used(workshop, monkeypatch):
    workshop.start(CONFIG)
    workshop.ask()
    monkeypatch.setattr(Engine, "infer", lambda *_: (_ for _ in ()).throw(EngineError("no such operation")))
    workshop.change(alpha=3)
    workshop.rest()
    assert workshop.control.take_error() == "no such operation"
    assert workshop.control.engine.alpha == 8
    assert workshop.alphas_alive == [8]


def test_the_newer_of_two_changes_wins(workshop):
    workshop.start(CONFIG)
    workshop.may_build.clear()
    for alpha in (3, 5, 3, 5):
        workshop.change(alpha=alpha)
    assert workshop.state == EngineState.REPLACING
    workshop.may_build.set()
    workshop.rest()
    assert workshop.control.engine.alpha == 5
    assert workshop.alphas_alive == [5]


def test_a_change_back_calls_the_building_off(workshop):
    workshop.start(CONFIG)
    workshop.may_build.clear()
    workshop.change(alpha=3)
    workshop.change(alpha=8)
    assert workshop.state == EngineState.ACTIVE
    workshop.may_build.set()
    workshop.rest()
    assert workshop.control.engine is workshop.built[0]
    assert workshop.alphas_alive == [8]


def test_a_change_to_a_ready_alpha_overtakes_a_building(workshop):
    workshop.start(READY)
    workshop.may_build.clear()
    workshop.change(precision="bf16")
    workshop.change(precision="auto", alpha=3)
    assert (workshop.control.engine.alpha, workshop.state) == (3, EngineState.ACTIVE)
    workshop.may_build.set()
    workshop.rest()
    assert workshop.control.engine is workshop.built[1]
    assert workshop.control.report().ready_alphas == (3, 5, 8)
    assert len(workshop.alive) == 3


def test_a_change_comes_before_the_rest_of_the_siblings(workshop):
    workshop.build_first(CONFIG)
    workshop.may_build.clear()
    workshop.change(keep_alphas_ready=True)
    wait_until(lambda: workshop.control.report().building, "alpha 3 is being built")
    assert workshop.state == EngineState.ACTIVE
    workshop.change(input_height=64)
    workshop.may_build.set()
    workshop.rest()
    built = [(engine.alpha, engine.spec.input_size.height) for engine in workshop.built]
    assert built == [(8, 48), (3, 48), (8, 64), (3, 64), (5, 64)]
    assert len(workshop.alive) == 3


def test_ready_engines_come_and_go_with_their_parameter(workshop):
    workshop.start(CONFIG)
    assert workshop.alphas_alive == [8]
    workshop.change(keep_alphas_ready=True)
    workshop.rest()
    assert workshop.alphas_alive == [3, 5, 8]
    workshop.change(keep_alphas_ready=False)
    workshop.rest()
    assert workshop.alphas_alive == [8]


def test_with_little_memory_the_engines_not_used_for_longest_go_first(workshop, monkeypatch):
    available = [1000, 1000, 1000]
    monkeypatch.setattr(ready_engines, "available_memory", lambda: available.pop(0) if available else 2000)
    workshop.start(READY.changed({"ready_min_memory": 2000}))
    available[:] = []
    workshop.change(alpha=3)
    workshop.rest()
    workshop.change(alpha=5)
    workshop.rest()
    assert workshop.alphas_alive == [3, 5, 8]
    available[:] = [1999, 2000]
    monkeypatch.setattr(workshop, "unbuildable", {8: "", 3: ""})  # nothing is built again in this test
    workshop.change(min_confidence=0.1)
    workshop.rest()
    assert workshop.alphas_alive == [3, 5]


def test_without_enough_memory_nothing_is_kept_ready(workshop, monkeypatch):
    monkeypatch.setattr(ready_engines, "available_memory", lambda: 100)
    workshop.start(READY)
    workshop.change(alpha=3)
    workshop.rest()
    assert workshop.alphas_alive == [3]


def test_an_alpha_that_cannot_be_built_is_warned_of_once_and_the_others_are_ready(workshop, caplog):
    workshop.unbuildable = {3: "no space left"}
    workshop.start(READY)
    workshop.ask()
    workshop.rest()
    assert workshop.control.report().ready_alphas == (5, 8)
    assert workshop.state == EngineState.ACTIVE
    assert [record.getMessage() for record in caplog.records] == [
        "cannot keep an engine for alpha 3 ready: no space left"
    ]


def test_weights_of_one_alpha_have_no_siblings(workshop):
    workshop.start(READY.changed({"weights": "espnet_alpha5_street", "alpha": 5}))
    assert workshop.alphas_alive == [5]
    assert workshop.control.report().ready_alphas == (5,)


def test_the_report_tells_what_is_being_built_and_how_far_it_is(workshop):
    told = []
    workshop.at_change = lambda: told.append(workshop.control.report())
    workshop.start(CONFIG)
    assert [(report.state, report.building, round(report.progress, 2)) for report in told if report.building] == [
        (EngineState.BUILDING, "street (alpha 8) for backend fake: looking for the weights", 0.0),
        (EngineState.BUILDING, "street (alpha 8) for backend fake: building", 0.33),
    ]
    workshop.ask()
    told.clear()
    workshop.change(alpha=3)
    workshop.rest()
    assert [(report.state, report.building[-12:], round(report.progress, 2)) for report in told if report.building] == [
        (EngineState.REPLACING, " the weights", 0.0),
        (EngineState.REPLACING, "ke: building", 0.33),
        (EngineState.REPLACING, ": warming up", 0.67),
    ]
    report = workshop.control.report()
    assert (report.state, report.building, report.progress) == (EngineState.ACTIVE, "", -1.0)


@pytest.fixture
def broken(workshop):
    """An engine of backend auto that worked and does so no more."""
    workshop.start(READY.changed({"backend": "auto"}))
    workshop.ask()
    workshop.rest()
    assert workshop.control.engine.backend == "first"
    workshop.control.engine.error = "device lost"
    return workshop


def test_the_next_backend_takes_over_from_one_that_fails(broken):
    broken.may_build.clear()
    with pytest.raises(EngineError, match="device lost"):
        broken.ask()
    report = broken.control.report()
    assert (report.is_broken, report.state) == (True, EngineState.REPLACING)
    assert report.message == "backend first failed (device lost); building a substitute"
    broken.may_build.set()
    broken.rest()
    broken.ask()
    report = broken.control.report()
    assert (report.is_broken, report.state, report.engine.backend) == (False, EngineState.ACTIVE, "second")
    assert report.takeover == report.engine.reason == "backend first failed (device lost); second took over"
    assert report.ready_alphas == (3, 5, 8)
    assert {engine.backend for engine in broken.built if not engine.is_closed} == {"second"}


def test_a_backend_that_takes_over_and_fails_too_is_replaced_in_turn(broken):
    for error in ("device lost", "out of memory"):
        broken.control.engine.error = error
        with pytest.raises(EngineError, match=error):
            broken.ask()
        broken.rest()
    assert broken.control.report().takeover == (
        "backend first failed (device lost); backend second failed (out of memory); third took over"
    )
    broken.ask()


def test_a_changed_parameter_gives_every_backend_another_chance(broken):
    with pytest.raises(EngineError):
        broken.ask()
    broken.rest()
    assert broken.control.engine.backend == "second"
    broken.change(precision="fp32")
    broken.rest()
    report = broken.control.report()
    assert (report.engine.backend, report.takeover) == ("first", "")


def test_an_image_that_an_engine_cannot_take_does_not_replace_it(broken, monkeypatch):
    engine = broken.control.engine
    engine.error = None
    infer = FakeEngine.infer

    def fail_on_white(self, pixels, with_confidence=False):
        if pixels.max() == 255:
            raise EngineError("too bright")
        return infer(self, pixels, with_confidence)

    monkeypatch.setattr(FakeEngine, "infer", fail_on_white)
    for _ in range(5):
        with pytest.raises(EngineError, match="too bright"):
            broken.ask(image=np.full((48, 64, 3), 255, np.uint8))
        broken.ask()
    assert (broken.control.engine, broken.state) == (engine, EngineState.ACTIVE)


def test_a_backend_that_was_asked_for_is_not_replaced(workshop):
    workshop.start(CONFIG)
    workshop.control.engine.error = "device lost"
    for _ in range(5):
        with pytest.raises(EngineError, match="device lost"):
            workshop.ask()
    assert (workshop.state, len(workshop.built)) == (EngineState.ACTIVE, 1)
    workshop.control.engine.error = None
    workshop.ask()


def test_an_engine_without_a_substitute_stays_and_may_recover(broken):
    for _ in BACKENDS:
        broken.control.engine.error = "device lost"
        with pytest.raises(EngineError):
            broken.ask()
        broken.rest()
    assert "nothing is left" in broken.control.take_error()
    report = broken.control.report()
    assert (report.state, report.is_broken, report.engine.backend) == (EngineState.FAILED, False, "third")
    assert report.message == "backend third failed, no other works: nothing is left"
    with pytest.raises(EngineError):
        broken.ask()
    assert broken.state == EngineState.FAILED  # nothing is tried again and again
    broken.control.engine.error = None
    broken.ask()
    broken.control.engine.error = "device lost"
    broken.change(alpha=5)
    broken.rest()
    assert (broken.control.engine.alpha, broken.control.engine.backend) == (5, "first")


def test_a_change_that_is_under_way_is_the_substitute(broken):
    broken.may_build.clear()
    broken.change(input_height=64)
    with pytest.raises(EngineError):
        broken.ask()
    assert broken.control.is_broken
    broken.may_build.set()
    broken.rest()
    report = broken.control.report()
    assert (report.engine.backend, report.engine.spec.input_size.height, report.takeover) == ("first", 64, "")
    broken.ask()


def test_a_change_back_to_the_engine_that_broke_tries_it_again(broken):
    broken.may_build.clear()
    with pytest.raises(EngineError):
        broken.ask()
    broken.change(input_height=64)
    broken.change(input_height=48)
    assert not broken.control.is_broken
    with pytest.raises(EngineError):
        broken.ask()
    broken.may_build.set()
    broken.rest()
    assert broken.control.engine.backend == "second"


def test_an_engine_that_is_ready_after_the_end_is_freed(workshop):
    workshop.build_first(CONFIG)
    workshop.may_build.clear()
    workshop.change(keep_alphas_ready=True)
    wait_until(lambda: workshop.control.report().building, "alpha 3 is being built")
    workshop.control.release()
    assert workshop.state == EngineState.NONE
    workshop.may_build.set()
    workshop.rest()
    assert workshop.alive == []
