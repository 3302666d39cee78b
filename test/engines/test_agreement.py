import numpy as np
import pytest

from espnet_ros.engines.agreement import LIMITS, measure_agreement
from espnet_ros.engines.agreement_result import AgreementResult
from espnet_ros.errors import EngineError


def _constant(label):
    return lambda image: np.full(image.shape[:2], label, np.uint8)


def test_agreement_counts_pixels_of_all_images_alike():
    """One of 4 x 5 pixels differs in the first image, and none of 2 x 5 in the second: 29 of 30."""

    def found(image):
        labels = np.full(image.shape[:2], 3, np.uint8)
        labels[3:, 4:] = 4
        return labels

    images = [np.zeros((4, 5, 3), np.uint8), np.zeros((2, 5, 3), np.uint8)]
    assert measure_agreement(found, _constant(3), images) == 29 / 30


def test_agreement_on_no_image_is_an_error():
    with pytest.raises(EngineError, match="at least one image, there is none"):
        measure_agreement(_constant(0), _constant(0), [])


def test_an_engine_may_reuse_its_buffer():
    buffer = np.empty((2, 2), np.uint8)

    def found(image):
        buffer[...] = image[0, 0, 0]
        return buffer

    images = [np.full((2, 2, 3), value, np.uint8) for value in (1, 2)]
    assert measure_agreement(found, lambda image: image[..., 0], images) == 1.0


@pytest.mark.parametrize(
    ("precision", "enough", "too_little", "limit"), [("fp16", 0.99, 0.9899, "99"), ("int8", 0.97, 0.9699, "97")]
)
def test_the_limits_of_a_precision_are_its_own(precision, enough, too_little, limit):
    assert AgreementResult(precision, enough, 8, LIMITS[precision]).refusal == ""
    assert AgreementResult(precision, too_little, 8, LIMITS[precision]).refusal == (
        f"in {precision} only {100 * too_little:.2f} % of the pixels have the same label as in torch, "
        f"must be at least {limit} %"
    )
