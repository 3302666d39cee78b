"""A stand-in for the readings of ``jtop`` from jetson-stats. ``fake_board.jtop`` stands in for its service."""


class JtopException(Exception):  # noqa: N818
    pass


def rail(milliwatts, kind="INA3221"):
    return {"type": kind, "online": True, "power": milliwatts, "avg": milliwatts}


class Jtop:
    """As ``jtop.jtop`` of jetson-stats 4.2 and newer, on a TX2 unless ``board`` says otherwise."""

    def __init__(self, board, start_error, interval):
        self.interval = interval
        self._board = board
        self._start_error = start_error
        self._observers = []
        self.error = None
        self.running = False

    def attach(self, observer):
        self._observers.append(observer)

    def start(self):
        if self._start_error is not None:
            raise self._start_error
        self.running = True
        self.fetch()

    def fetch(self):
        """Its own thread does this whenever the service has new data."""
        for observer in self._observers:
            observer(self)

    def ok(self, spin=False):
        assert spin, "ok() waits for new data"
        if self.error is not None:
            raise self.error
        return self.running

    def close(self):
        self.running = False

    @property
    def power(self):
        return self._board["power"]

    @property
    def temperature(self):
        return self._board["temperature"]

    @property
    def gpu(self):
        return self._board["gpu"]


TX2 = {
    "power": {
        "rail": {"VDD_SYS_GPU": rail(2210), "VDD_SYS_CPU": rail(980), "VDD_SYS_SOC": rail(760)},
        "tot": {**rail(7400), "name": "VDD_IN"},
    },
    "temperature": {
        "GPU": {"temp": 43.5, "online": True},
        "MCPU": {"temp": 45.0, "online": True},
        "wifi": {"temp": -256, "online": False},
    },
    "gpu": {
        "gp10b": {
            "type": "integrated",
            "status": {"railgate": False, "3d_scaling": True, "load": 87.5},
            "freq": {"governor": "nvhost_podgov", "cur": 1134750, "min": 114750, "max": 1300500},
        }
    },
}
