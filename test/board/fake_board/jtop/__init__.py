"""Stands in for jetson-stats 4.2 to 7.2 at its border: the client, and a service behind it that runs nvpmodel.

`SERVICE` is the service. A client only sends it messages and reads the state that it tells every `PERIOD`.
What steers it is in files on the board, so that it can be steered from another process.
"""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

PERIOD = 0.05


class JtopException(Exception):  # noqa: N818
    def __init__(self, message):
        super().__init__(message)
        self.message = message


class Board:
    """The board around this process: the root folder that $ESPNET_HOST_ROOT names, with its programs beside it."""

    def __init__(self):
        self.root = Path(os.environ["ESPNET_HOST_ROOT"])
        self.nvpmodel = str(self.root.parent / "bin/nvpmodel")

    def mode(self):
        return int((self.root / "state/mode").read_text())


class InFile:
    """An attribute of the service that is a file in the board's folder state/."""

    def __init__(self, default):
        self._default = default

    def __set_name__(self, owner, name):
        self._name = f"service_{name}.json"

    def __get__(self, service, owner=None):
        try:
            value = json.loads((service.board.root / "state" / self._name).read_text())
        except FileNotFoundError:
            return self._default
        return {int(key): entry for key, entry in value.items()} if isinstance(value, dict) else value

    def __set__(self, service, value):
        path = service.board.root / "state" / self._name
        new = path.with_name(f"{path.name}.{threading.get_ident()}.new")  # clients have threads
        new.write_text(json.dumps(value))
        new.replace(path)


class Service:
    """The jtop service on a board.

    Attributes:
        state: "running", "absent", "forbidden" (the user is not in the group), "hangs".
        masks: id of a mode to the parts of the GPU it powers; another mask than the present one's needs a reboot.
        dies_on_set: it dies when it is asked for a mode.
        client_count: clients that are connected.
        forced: somebody set a mode by force, which may reboot the board.
        clocks: jetson_clocks are on.
        clocks_obey: they can be switched.
        milliwatts: what the module draws.
    """

    state = InFile("running")
    masks = InFile({})
    dies_on_set = InFile(False)
    client_count = InFile(0)
    forced = InFile(False)
    clocks = InFile(False)
    clocks_obey = InFile(True)
    milliwatts = InFile(7400)

    def __init__(self, board=None):
        self._board = board
        self._setting = None
        self._status = {}

    @property
    def board(self):
        if self._board is None:
            self._board = Board()
        return self._board

    @board.setter
    def board(self, board):
        self._board = board

    def names(self):
        lines = (self.board.root / "etc/nvpmodel.conf").read_text().splitlines()
        return [line.split("NAME=")[1].split()[0] for line in lines if line.startswith("< POWER_MODEL")]

    def default(self):
        return {"name": "MAXP_CORE_ARM", "id": 3}

    def running(self):
        return self._setting is not None and self._setting.is_alive()

    def query(self):
        printed = subprocess.run([self.board.nvpmodel, "-q"], stdout=subprocess.PIPE, check=True).stdout
        name, number = printed.decode().splitlines()
        return {"name": name.split(": ")[1], "id": int(number)}

    def status(self):
        now = self.masks.get(self.board.mode())
        return [self._status.get(i, True) and self.masks.get(i) == now for i in range(len(self.names()))]

    def set(self, mode_id, force):
        if self.dies_on_set:
            self.state = "absent"
        self.forced = self.forced or force
        if self.state != "running" or self.running():
            return
        if self.masks.get(mode_id) != self.masks.get(self.board.mode()):
            return
        self._setting = threading.Thread(target=self._run, args=(mode_id,))
        self._setting.start()

    def _run(self, mode_id):
        done = subprocess.run(
            [self.board.nvpmodel, "-m", str(mode_id)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self._status[mode_id] = b"NVPM ERROR" not in done.stdout

    def wait_while_hanging(self):
        while self.state == "hangs":
            time.sleep(0.01)


SERVICE = Service()


class NVPModel:
    def __init__(self):
        self._models = SERVICE.names()
        self._now = SERVICE.query()

    def _update(self):
        if not SERVICE.running():
            self._now = SERVICE.query()

    models = property(lambda self: self._models)
    id = property(lambda self: self._now["id"])
    name = property(lambda self: self._now["name"])
    status = property(lambda self: SERVICE.status())

    def is_running(self):
        return SERVICE.running()

    def get_default(self):
        return SERVICE.default()

    def set_nvpmodel_id(self, nvpmodel_id, force=False):
        if not isinstance(nvpmodel_id, int):
            raise ValueError("Use an int")
        if nvpmodel_id < 0 or nvpmodel_id > len(self._models) - 1:
            raise JtopException(f"NV Power Model ID {nvpmodel_id} does not exists! Range [0, {len(self._models) - 1}]")
        if nvpmodel_id == self._now["id"] and not force:
            return
        SERVICE.set(nvpmodel_id, force)


class JetsonClocks:
    def get_enable(self):
        return SERVICE.clocks

    def set_enable(self, enable):
        if not isinstance(enable, bool):
            raise ValueError("Use a boolean")
        if SERVICE.clocks_obey:
            SERVICE.clocks = enable


class jtop:  # noqa: N801
    def __init__(self, interval=1.0):
        self._nvpmodel = None
        self._jetson_clocks = None
        self._observers = []

    power = property(lambda self: {"rail": {}, "tot": {"name": "VDD_IN", "power": SERVICE.milliwatts}})
    temperature = property(lambda self: {"GPU": {"temp": 43.5, "online": True}})
    gpu = property(lambda self: {})

    def attach(self, observer):
        self._observers.append(observer)

    nvpmodel = property(lambda self: self._nvpmodel)
    jetson_clocks = property(lambda self: self._jetson_clocks)

    def start(self):
        if SERVICE.state == "absent":
            raise JtopException("The jtop.service is not active. Please run:\nsudo jtop --install-service")
        if SERVICE.state == "forbidden":
            raise JtopException("I can't access jtop.service.\nPlease logout or reboot this board.")
        SERVICE.wait_while_hanging()
        self._nvpmodel = NVPModel()
        self._jetson_clocks = JetsonClocks()
        SERVICE.client_count += 1

    def ok(self, spin=False):
        time.sleep(PERIOD)
        SERVICE.wait_while_hanging()
        if SERVICE.state == "absent":
            raise JtopException("Lost connection with jtop server")
        self._nvpmodel._update()
        for observer in self._observers:
            observer(self)
        return True

    def close(self):
        SERVICE.client_count -= 1
