import threading
import time

import cv2
import numpy as np
import pytest

from espnet_ros.classes import load_class_table
from espnet_ros.engines import EngineSpec
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.errors import EngineError, ImageError
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.segmenter import Segmenter, engine_summary, resize_pixels
from espnet_ros.types import UNLABELLED, ImageSize


def _engine(size=(48, 64), **options):
    checkpoint = select_checkpoint("camvid", "espnet", 8)
    return FakeEngine(EngineSpec(checkpoint, load_class_table("camvid"), ImageSize(*size), "fake"), **options)


def test_labels_and_confidence_have_the_images_size_whatever_the_networks(color_image):
    segmentation = Segmenter(_engine((24, 16))).segment(color_image, with_confidence=True)
    assert segmentation.labels.shape == (48, 64)
    assert segmentation.confidence.shape == (48, 64)


def test_rgb_and_bgr_of_the_same_image_give_the_same_labels():
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = 255

    class BlueEngine(FakeEngine):
        def infer(self, pixels, with_confidence=False):
            return super().infer(np.repeat(pixels[..., :1], 3, axis=2), with_confidence)

    segmenter = Segmenter(BlueEngine(_engine().spec))
    assert (segmenter.segment(image, "bgr").labels == 11).all()
    assert (segmenter.segment(image, "rgb").labels == 0).all()
    assert (segmenter.segment(np.ascontiguousarray(image[..., ::-1]), "rgb").labels == 11).all()


def test_an_image_of_the_networks_size_is_not_copied(color_image):
    assert resize_pixels(color_image, ImageSize(48, 64)) is color_image


def test_resizing_keeps_fractions_of_pixel_values():
    image = np.array([[[0] * 3, [1] * 3]], np.uint8)
    assert resize_pixels(image, ImageSize(1, 1)).tolist() == [[[0.5, 0.5, 0.5]]]


def test_pixels_less_certain_than_asked_for_are_unlabelled():
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 32:, 0] = 200  # the fake engine is certain of grey and unsure of colour
    segmenter = Segmenter(_engine(), min_confidence=0.5)
    segmentation = segmenter.segment(image)
    assert (segmentation.labels[:, 32:] == UNLABELLED).all()
    assert (segmentation.labels[:, :32] == 0).all()
    assert segmentation.confidence is None


def test_an_image_with_any_strides_is_taken(color_image):
    padded = np.zeros((48, 80, 3), np.uint8)
    padded[:, :64] = color_image
    segmenter = Segmenter(_engine())
    assert np.array_equal(segmenter.segment(padded[:, :64]).labels, segmenter.segment(color_image).labels)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 6), np.uint8), r"must be \(H, W, 3\) uint8, is \(4, 6\) uint8"),
        (np.zeros((4, 6, 3), np.float32), r"is \(4, 6, 3\) float32"),
        (np.zeros((0, 6, 3), np.uint8), "must not be empty, is 0x6"),
    ],
)
def test_what_is_no_image_is_refused(image, reason):
    with pytest.raises(ImageError, match=reason):
        Segmenter(_engine()).segment(image)


def test_an_engine_is_replaced_while_images_flow(color_image):
    segmenter = Segmenter(_engine(latency=0.01))
    answers = []
    stop = threading.Event()

    def run():
        while not stop.is_set():
            answers.append(segmenter.segment(color_image))

    thread = threading.Thread(target=run)
    thread.start()
    for size in ((24, 32), (16, 16), (48, 64)):
        time.sleep(0.03)
        segmenter.replace_engine(_engine(size, latency=0.01))
    stop.set()
    thread.join()
    assert {answer.labels.shape for answer in answers} == {(48, 64)}
    assert [answer.engine_number for answer in answers] == sorted(answer.engine_number for answer in answers)
    assert segmenter.segment(color_image).engine_number == 3
    assert segmenter.engine.spec.input_size == (48, 64)


def test_an_engine_that_fails_its_first_image_does_not_replace_one_that_works(color_image):
    segmenter = Segmenter(_engine())
    segmenter.segment(color_image)
    with pytest.raises(EngineError, match="told to fail"):
        segmenter.replace_engine(_engine(fail_after=0))
    assert segmenter.segment(color_image).labels.shape == (48, 64)


def test_the_times_of_the_stages_add_up(color_image):
    times = Segmenter(_engine((24, 32), latency=0.02)).segment(cv2.resize(color_image, (96, 80))).times
    assert times.infer >= 0.02
    assert times.total == times.preprocess + times.infer + times.decode


def test_the_summary_names_network_size_and_backend():
    assert engine_summary(_engine()) == "espnet_alpha8_camvid (espnet, alpha 8) at 48x64 on fake fp32, none"
    assert engine_summary(None) == "no engine"
