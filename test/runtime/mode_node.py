"""As much of a node as power modes need, for the tests of `ModeControl`."""

import time

from waiting import TIMEOUT, wait_until

from espnet_ros.config import NodeConfig
from espnet_ros.runtime.mode_control import ModeControl


class Node:
    """Its parameters, and ``update`` whenever there is something to do."""

    def __init__(self):
        self.values = {}
        self.has_news = False
        self._changes = []
        self.modes = ModeControl(self, self._note)

    def _note(self):
        self.has_news = True

    def read(self):
        return NodeConfig(**self.values)

    def set(self, values):
        """As the node itself does it."""
        self.values.update(values)

    def user_sets(self, **changes):
        """As a person does it."""
        self.modes.validate(changes)
        self.values.update(changes)
        self._changes.append(changes)
        self.has_news = True

    def update(self, engine_error=""):
        self.has_news = False
        changes, self._changes = self._changes, []
        self.modes.update(changes, engine_error)

    def request(self, name):
        self.user_sets(power_mode=name)
        self.update()

    def settle(self):
        """Until the board is not being switched any more."""
        end = time.monotonic() + TIMEOUT
        while self.modes.is_switching or self.has_news:
            assert time.monotonic() < end
            self.update()
            time.sleep(0.002)

    def wait_for_board(self):
        """Until the board's thread has news, which is not processed yet."""
        wait_until(lambda: self.has_news, "the board's answer")

    def engine_fails(self, reason="no such engine"):
        """The node's engine stays the one with alpha 8."""
        self.values["alpha"] = 8
        self.update(reason)

    def get(self, *names):
        return [getattr(self.read(), name) for name in names]
