"""Changes of the power mode, step by step, on a TX2 with nvpmodel; what happens when they come across each other."""

import sys
import time

import pytest
from fake_board.tx2 import Tx2

from espnet_ros.config import NodeConfig
from espnet_ros.errors import PowerError
from espnet_ros.runtime.mode_control import ModeControl


class Node:
    """As much of the node as power modes know: its parameters, and ``advance`` whenever there is something to do."""

    def __init__(self):
        self.values = {}
        self.has_news = False
        self.modes = ModeControl(self.values.update, self._note)

    def _note(self):
        self.has_news = True

    @property
    def config(self):
        return NodeConfig(**self.values)

    def set(self, **changes):
        """As a person does it."""
        self.modes.accept(self.modes.plan(self.config, changes), changes)
        self.values.update(changes)
        self.has_news = True

    def advance(self):
        self.has_news = False
        self.modes.advance()

    def settle(self):
        """Until the board is not being switched any more."""
        end = time.monotonic() + 30.0
        while self.modes.is_switching or self.has_news:
            assert time.monotonic() < end
            self.advance()
            time.sleep(0.002)

    def engine_fails(self):
        """The node's engine stays the one with alpha 8."""
        self.modes.undo("no such engine")
        self.values["alpha"] = 8

    def get(self, *names):
        return [getattr(self.config, name) for name in names]


@pytest.fixture
def tx2(tmp_path, monkeypatch):
    tx2 = Tx2(tmp_path)
    monkeypatch.setitem(sys.modules, "jtop", None)
    monkeypatch.setenv("ESPNET_HOST_ROOT", str(tx2.root))
    monkeypatch.setenv("PATH", str(tx2.programs))
    return tx2


@pytest.fixture
def node(tx2):
    node = Node()
    node.modes.configure(node.config)
    node.modes.start()
    yield node
    node.modes.close()


def wait_for(condition):
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_before_it_is_configured_nothing_is_planned():
    assert ModeControl({}.update, lambda: None).plan(NodeConfig(), {"power_mode": "warp"}) is None


def test_the_profile_is_set_when_the_board_is_in_its_mode_and_not_before(node, tx2):
    tx2.hold_back()
    node.set(power_mode="max_q")
    node.advance()
    wait_for(lambda: tx2.mode() == 1)
    node.advance()
    assert (node.modes.name, node.get("alpha")) == ("", [8])
    tx2.release("slow")
    node.settle()
    assert (node.modes.name, node.modes.board_mode) == ("max_q", "MAXQ")
    assert node.get("power_mode", "alpha", "max_rate", "threads") == ["max_q", 3, 5.0, 2]


def test_an_engine_that_fails_undoes_board_rate_and_name(node, tx2):
    node.set(max_rate=9.0)
    node.set(power_mode="max_q")
    node.settle()
    node.engine_fails()
    node.settle()
    assert node.modes.trouble == "power_mode stays '', not 'max_q': no such engine"
    assert (node.get("power_mode", "max_rate"), node.modes.name, tx2.mode()) == (["", 9.0], "", 3)


def test_a_rate_that_was_set_meanwhile_stays_when_the_engine_fails(node, tx2):
    node.set(power_mode="max_q")
    node.settle()
    node.set(max_rate=2.0)
    node.engine_fails()
    node.settle()
    assert (node.get("power_mode", "max_rate"), tx2.mode()) == (["", 2.0], 3)


def test_an_engine_that_is_in_use_is_not_undone_by_a_later_failure(node, tx2):
    node.set(power_mode="max_q")
    node.settle()
    node.modes.note_engine_in_use()
    node.modes.undo("another engine failed")
    node.settle()
    assert (node.modes.name, node.modes.trouble, tx2.mode()) == ("max_q", "", 1)


def test_a_newer_mode_goes_on_when_the_engine_of_the_one_before_fails(node, tx2):
    node.set(power_mode="max_q")
    node.settle()
    tx2.hold_back()
    node.set(power_mode="max_n")
    node.advance()
    wait_for(lambda: tx2.mode() == 0)
    node.engine_fails()
    tx2.release("slow")
    node.settle()
    assert (node.modes.name, node.modes.trouble, tx2.mode(), tx2.clocks()) == ("max_n", "", 0, "held")
    node.engine_fails()  # that of the newer mode too
    node.settle()
    assert (node.get("power_mode", "max_rate"), tx2.mode(), tx2.clocks()) == (["", 0.0], 3, "scaling")


def test_a_newer_mode_that_is_refused_leaves_nothing_of_the_one_before_whose_engine_failed(node, tx2):
    node.set(power_mode="max_q")
    node.settle()
    tx2.steer("reboot", "2")
    node.set(power_mode="MAXP_CORE_ALL")
    node.engine_fails()
    node.settle()
    # The newer one took the place of the undo, which has to happen all the same.
    assert (node.get("power_mode", "max_rate"), tx2.mode()) == (["", 0.0], 3)
    assert node.modes.trouble.startswith("power_mode stays '', not 'MAXP_CORE_ALL': ")


def test_a_mode_that_the_governor_chooses_is_switched_without_another_change(node, tx2):
    node.has_news = False
    node.modes.accept(node.modes.plan_board_mode(node.config, "MAXN"), {})
    assert node.has_news
    node.settle()
    assert (node.get("power_mode", "alpha"), tx2.mode()) == (["MAXN", 8], 0)


def test_a_mode_of_the_governor_that_the_board_lacks_is_refused(node):
    with pytest.raises(PowerError, match="the board has no power mode 'MODE_15W', it has MAXN"):
        node.modes.plan_board_mode(node.config, "MODE_15W")


def test_the_governors_list_may_name_modes_ids_and_profiles(node):
    assert node.modes.list_board_modes("max_q, 0, MAXN, max_p") == ("MAXQ", "MAXN", "MAXP_CORE_ARM")
    assert node.modes.list_board_modes("") == ()
    with pytest.raises(PowerError, match="there is no power mode 'warp'"):
        node.modes.list_board_modes("max_q, warp")


def test_an_empty_mode_leaves_the_board_and_its_changes_to_others(node, tx2):
    node.set(power_mode="max_q")
    node.settle()
    node.set(power_mode="")
    node.settle()
    assert (node.modes.name, tx2.mode(), node.get("alpha")) == ("", 1, [3])
    tx2.set_by_hand(0)
    wait_for(lambda: node.modes.board_mode == "MAXN")
    assert node.modes.trouble == ""


def test_an_empty_mode_takes_back_one_that_is_being_switched(node, tx2):
    tx2.hold_back()
    node.set(power_mode="max_q")
    node.advance()
    wait_for(lambda: tx2.mode() == 1)
    node.set(power_mode="")
    node.advance()
    tx2.release("slow")
    node.settle()
    assert (node.modes.name, node.modes.trouble, tx2.mode(), node.get("alpha")) == ("", "", 3, [8])


def test_parameters_that_are_given_with_the_mode_win(node):
    node.set(power_mode="max_q", alpha=5)
    node.settle()
    assert node.get("power_mode", "alpha", "max_rate") == ["max_q", 5, 5.0]


def test_a_board_that_does_not_answer_is_nobodys_trouble_until_a_mode_is_wanted(tx2):
    tx2.steer("deaf")
    node = Node()
    node.modes.configure(node.config)
    assert node.modes.trouble == ""
    with pytest.raises(PowerError, match="nvpmodel -q did not print a power mode"):
        node.modes.configure(NodeConfig(power_mode="max_q"))
    assert node.values == {}
    node.modes.close()
