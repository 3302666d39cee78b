import numpy as np
import pytest

from espnet_ros.runtime.image_gaps import ImageGaps

PERIOD = 33_333_333  # ns
START = 1_700_000_000 * 10**9


def _missing(stamps):
    gaps = ImageGaps()
    for stamp in stamps:
        gaps.add(int(stamp))
    return gaps.missing_share()


def _regular(count, period=PERIOD):
    return START + np.arange(count) * period


def _arriving(random, stamps, lost):
    return stamps[random.random(len(stamps)) >= lost]


@pytest.mark.parametrize("lost", [0.15, 1 / 3, 0.5, 0.7])
def test_random_losses_are_measured_also_with_jitter(lost):
    for seed in range(30):
        random = np.random.default_rng(seed)
        stamps = _regular(600) + random.normal(0, 0.04 * PERIOD, 600)
        arrived = _arriving(random, stamps, lost)[:100]
        span = round((arrived[-1] - arrived[0]) / PERIOD)
        assert _missing(arrived) == pytest.approx(1 - 99 / span, abs=0.05)


@pytest.mark.parametrize("jitter", [0, 0.02, 0.1, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("period", [PERIOD, 4 * PERIOD, 30 * PERIOD])
def test_jitter_is_no_gap(jitter, period):
    for seed in range(50):
        noise = np.random.default_rng(seed).normal(0, jitter * period, 100)
        assert _missing(np.sort(_regular(100, period) + noise)) == 0


@pytest.mark.parametrize("draw", ["exponential", "uniform", "gamma"])
def test_irregular_triggers_are_no_gaps(draw):
    for seed in range(100):
        random = np.random.default_rng(seed)
        intervals = {
            "exponential": random.exponential(1.0, 99),
            "uniform": random.uniform(0.2, 3.0, 99),
            "gamma": random.gamma(2.0, 1.0, 99),
        }[draw]
        assert _missing(START + np.cumsum(intervals * PERIOD)) == 0


def _joined(*parts):
    """Stamps from (number of images, interval in periods)."""
    return START + np.cumsum(np.concatenate([np.full(count, interval * PERIOD) for count, interval in parts]))


@pytest.mark.parametrize(
    "parts",
    [
        [(50, 1), (1, 900), (49, 1)],  # switched off and on
        [(20, 1), (1, 40), (20, 1), (1, 90), (20, 1), (1, 30), (20, 1)],  # often
        [(50, 1), (50, 2)],  # a longer exposure at dusk
        [(50, 2), (50, 1)],
        [(40, 1), (20, 3), (40, 1)],
        [(50, 1), (1, 2), (49, 1)],  # one image lost
        [(2, 1), (1, 2)] * 33,  # throttled from 30 to 22.5 Hz
        [(1, 1), (1, 2)] * 50,
        [(100, 7)],
    ],
)
def test_pauses_changes_of_rate_and_throttling_are_no_gaps(parts):
    assert _missing(_joined(*parts)) == 0


def test_few_images_equal_stamps_and_zeros_tell_nothing():
    assert _missing([]) == 0
    assert _missing([0] * 200) == 0
    assert _missing(np.repeat(_regular(100), 2)) == 0
    assert _missing(_arriving(np.random.default_rng(0), _regular(30), 0.5)) == 0


def test_a_bag_that_starts_again_forgets_what_was_before():
    lossy = _arriving(np.random.default_rng(0), _regular(200), 0.5)
    assert _missing(lossy) > 0.3
    assert _missing([*lossy, *_regular(20)]) == 0
    assert _missing([*lossy, *_regular(100)]) == 0
