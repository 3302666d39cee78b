"""A stand-in for Nav2's lifecycle manager, written from nav2_lifecycle_manager 1.3.13 (Jazzy) and bondcpp 4.1.

It has the manager's order of calls and its timeouts. Humble (1.1.20), Kilted (1.4.2) and Lyrical (1.5.1) have the same,
except that Lyrical beats every 0.25 s. Here the 5 s of ``service_timeout`` also limit the answer to a transition, for
which the real managers wait as long as it takes.
"""

from __future__ import annotations

import threading
import time
import uuid

from bond.msg import Status
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

BOND_TIMEOUT = 4.0
SERVICE_TIMEOUT = 5.0
RESPAWN_DURATION = 10.0
HEARTBEAT_PERIOD = 0.1
DEAD_PUBLISH_PERIOD = 0.05
CONNECT_TIMEOUT = 10.0
REACHED = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
}
TABLE = {
    ("waiting", "sister alive"): "alive",
    ("waiting", "sister dead"): "dead",
    ("waiting", "connect timeout"): "dead",
    ("waiting", "die"): "dead",
    ("alive", "sister dead"): "dead",
    ("alive", "heartbeat timeout"): "dead",
    ("alive", "die"): "awaiting sister's death",
    ("awaiting sister's death", "sister dead"): "dead",
}
"""BondSM.sm; what is not listed changes nothing."""


class BondEnd:
    """One end of a bond: bondcpp's state machine on its topic."""

    def __init__(self, node, name):
        self.name = name
        self.instance = str(uuid.uuid4())
        self.state = "waiting"
        self.history = []
        self.sisters = set()
        self.beats = 0
        self._lock = threading.RLock()
        self._node = node
        self._born = time.monotonic()
        self._heard = None  # bondcpp's timer starts with the second message
        self._publisher = node.create_publisher(Status, "bond", 5)
        self._subscription = node.create_subscription(Status, "bond", self._hear, 100)
        self._timers = [
            node.create_timer(HEARTBEAT_PERIOD, self._beat),
            node.create_timer(DEAD_PUBLISH_PERIOD, self._beat_when_dying),
        ]

    def breaks(self):
        """Break the bond from this end."""
        self._receive("die")
        self._say(active=False)

    def close(self):
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)

    def _receive(self, event):
        with self._lock:
            after = TABLE.get((self.state, event), self.state)
            if after != self.state:
                self.history.append(event)
            self.state = after

    def _hear(self, message):
        if message.id != self.name or message.instance_id == self.instance:
            return
        self.sisters.add(message.instance_id)
        if message.active:
            self.beats += 1
            if self.state == "alive":
                self._heard = time.monotonic()
            self._receive("sister alive")
        else:
            self._receive("sister dead")
            if self.history[-1:] == ["sister dead"]:
                self._say(active=False)

    def _beat(self):
        now = time.monotonic()
        if now - self._born > CONNECT_TIMEOUT:
            self._receive("connect timeout")
        if self._heard is not None and now - self._heard > BOND_TIMEOUT:
            self._receive("heartbeat timeout")
        if self.state in ("waiting", "alive"):
            self._say(active=True)

    def _beat_when_dying(self):
        if self.state == "awaiting sister's death":
            self._say(active=False)

    def _say(self, active):
        message = Status(id=self.name, instance_id=self.instance, active=active)
        message.heartbeat_timeout, message.heartbeat_period = BOND_TIMEOUT, HEARTBEAT_PERIOD
        self._publisher.publish(message)


class LifecycleManager:
    """Nav2's manager of one node. Its methods run in the test's thread, its bond in the executor of ``node``."""

    def __init__(self, node, managed, bond_timeout=BOND_TIMEOUT):
        self.log = []
        self.bond = None
        self._node = node
        self._managed = managed
        self._bond_timeout = bond_timeout
        self._is_active = False
        self._change_state = node.create_client(ChangeState, f"{managed}/change_state")
        self._get_state = node.create_client(GetState, f"{managed}/get_state")

    def startup(self):
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            if not self._change(transition):
                self.log.append("Failed to bring up all requested nodes. Aborting bringup.")
                return False
        self._is_active = True
        return True

    def pause(self):
        self._is_active = False
        return self._change(Transition.TRANSITION_DEACTIVATE)

    def resume(self):
        self._is_active = self._change(Transition.TRANSITION_ACTIVATE)
        return self._is_active

    def check_bond(self):
        """What its timer does every 0.2 s. Returns whether the node was found dead, and then resets."""
        if not self._is_active or self.bond is None or self.bond.state != "dead":
            return False
        self.log.append("CRITICAL FAILURE: the server is down")
        self._is_active = False
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):  # a hard reset
            self._change(transition)
        self._drop_bond()
        return True

    def reconnect(self):
        """Wait for the node to be there again, for as long as the manager does, and start it up."""
        deadline = time.monotonic() + RESPAWN_DURATION
        while time.monotonic() < deadline:
            if self._state() is not None:
                return self.startup()
            time.sleep(1.0)
        self.log.append("Failed to re-establish connection from a server crash after maximum timeout.")
        return False

    def close(self):
        self._drop_bond()

    def _change(self, transition):
        request = ChangeState.Request()
        request.transition.id = transition
        answer = self._ask(self._change_state, request)
        if answer is None or not answer.success or self._state() != REACHED[transition]:
            self.log.append(f"Failed to change state for node: transition {transition}")
            return False
        if transition == Transition.TRANSITION_ACTIVATE:
            return self._make_bond()
        if transition == Transition.TRANSITION_DEACTIVATE:
            self._drop_bond()
        return True

    def _state(self):
        answer = self._ask(self._get_state, GetState.Request())
        return None if answer is None else answer.current_state.id

    def _ask(self, client, request):
        if not client.wait_for_service(SERVICE_TIMEOUT):
            return None
        future = client.call_async(request)
        deadline = time.monotonic() + SERVICE_TIMEOUT
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.005)
        if not future.done():
            client.remove_pending_request(future)
            return None
        return future.result()

    def _make_bond(self):
        if self.bond is not None or self._bond_timeout <= 0:
            return True
        self.bond = BondEnd(self._node, self._managed)
        deadline = time.monotonic() + self._bond_timeout / 2
        while self.bond.state == "waiting":
            if time.monotonic() > deadline:
                self.log.append(f"Server {self._managed} was unable to be reached by bond.")
                return False
            time.sleep(0.01)
        return True

    def _drop_bond(self):
        if self.bond is not None:
            self.bond.breaks()
            self.bond.close()
            self.bond = None
