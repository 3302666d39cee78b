import cv2
import pytest

from espnet_ros.benchmark.engines import REFERENCE, compare_engines, format_table
from espnet_ros.benchmark.interleaved import measure_interleaved
from espnet_ros.config import NodeConfig
from espnet_ros.engines.resolve import resolve_spec


def test_contenders_are_called_in_turn_and_the_first_round_does_not_count():
    calls = []
    timings = measure_interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert len(timings["a"].seconds) == len(timings["b"].seconds) == 2
    assert timings["a"].best <= timings["a"].median


_TRIES = 3  # other programs on the machine can slow one measurement


@pytest.mark.parametrize("alpha", [3, 8])
def test_openvino_is_at_least_3_5_times_as_fast_as_the_published_pipeline(
    alpha, published_weights, cityscapes_samples, engine_cache
):
    config = NodeConfig(
        weights="cityscapes", alpha=alpha, weights_dir=str(published_weights), engine_cache=engine_cache
    )
    images = [cv2.resize(cv2.imread(str(path)), (1024, 512)) for path in sorted(cityscapes_samples.glob("*.png"))]
    for _ in range(_TRIES):
        rows = compare_engines(resolve_spec(config), ["openvino/auto"], images, rounds=8)
        ours = next(row for row in rows if row.name == "openvino/auto")
        print(format_table(rows))
        if ours.speedup >= 3.5:
            break
    assert {row.name for row in rows} == {REFERENCE, "openvino/auto"}
    assert ours.speedup >= 3.5
    assert ours.agreement >= 0.985
