"""A stand-in for ``pynvml``."""

from types import SimpleNamespace

NEWER, OLDER = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"


class NVMLError(Exception):
    pass


class Nvml:
    """As ``pynvml``: milliwatts, degrees Celsius, percent, MHz. ``refused`` are functions that the card lacks."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1

    def __init__(self, cards=1, reasons=0, reason_functions=(NEWER, OLDER)):
        self.cards = cards
        self.reasons = reasons
        self.refused = set()
        self.initialised = 0
        for name in reason_functions:
            setattr(self, name, lambda card, name=name: self._answer(name, self.reasons))

    def _answer(self, name, value):
        if name in self.refused:
            raise NVMLError("Not Supported")
        return value

    def nvmlInit(self):  # noqa: N802
        self._answer("nvmlInit", None)
        self.initialised += 1

    def nvmlShutdown(self):  # noqa: N802
        self.initialised -= 1

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        if index >= self.cards:
            raise NVMLError("Invalid Argument")
        return object()

    def nvmlDeviceGetPowerUsage(self, card):  # noqa: N802
        return self._answer("nvmlDeviceGetPowerUsage", 123_400)

    def nvmlDeviceGetTemperature(self, card, sensor):  # noqa: N802
        assert sensor == self.NVML_TEMPERATURE_GPU
        return self._answer("nvmlDeviceGetTemperature", 64)

    def nvmlDeviceGetUtilizationRates(self, card):  # noqa: N802
        return self._answer("nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=37, memory=12))

    def nvmlDeviceGetClockInfo(self, card, domain):  # noqa: N802
        assert domain == self.NVML_CLOCK_SM
        return self._answer("nvmlDeviceGetClockInfo", 1695)
