"""Each source on a machine with many sensors. ``make bench-check`` measures what a reading costs."""

import pytest
from sensor_trees import MACHINES, reader_of
from waiting import wait_until

from espnet_ros.telemetry.sampler import TelemetrySampler, TelemetrySource


@pytest.mark.parametrize(
    ("name", "source", "watts", "temperatures", "throttled"),
    [
        ("a Jetson's power monitors", "ina3221", 7.4, 12, False),
        ("jetson-stats, without its own thread", "jetson-stats", 7.4, 2, False),
        ("a graphics card and the CPU", "nvml", 123.4, 3, False),
        ("the counters of a server", "rapl", 0.0, 2, False),
    ],
)
def test_every_sensor_is_read_and_the_reader_stays_in_use(tmp_path, name, source, watts, temperatures, throttled):
    machine = MACHINES[name]
    with reader_of(machine, tmp_path) as reader:
        sampler = TelemetrySampler([TelemetrySource(reader.name, lambda: reader)], 0.01)

        def latest():
            """The newest reading with all of its power: counters of energy tell it from the second reading on."""
            reading = sampler.latest().reading
            return reading if reading and reading.covers == machine.covers else None

        reading = wait_until(latest, f"power of the {machine.covers}")
        dropped = sampler.latest().dropped
        assert sampler.close(10)
    assert (reader.name, reading.throttled) == (source, throttled)
    assert reading.watts_total == pytest.approx(watts)
    assert len(reading.temperatures) == temperatures
    assert not dropped
