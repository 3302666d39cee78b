import threading
import time

import cv2
import numpy as np
import pytest
from waiting import TIMEOUT

from espnet_ros.classes import load_class_table
from espnet_ros.engines import EngineSpec
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.errors import BrokenEngineError, EngineError, ImageError
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
        engine = _engine(size, latency=0.01)
        segmenter.warm_up(engine)
        segmenter.retire(segmenter.use(engine))
    stop.set()
    thread.join()
    assert {answer.labels.shape for answer in answers} == {(48, 64)}
    assert [answer.engine_number for answer in answers] == sorted(answer.engine_number for answer in answers)
    assert segmenter.segment(color_image).engine_number == 3
    assert segmenter.engine.spec.input_size == (48, 64)


class RecordingEngine(FakeEngine):
    """Takes note of the kind of each call, and of when it was closed."""

    def __init__(self, spec):
        super().__init__(spec)
        self.calls = []
        self.is_closed = False

    def infer(self, pixels, with_confidence=False):
        self.calls.append((str(pixels.dtype), with_confidence))
        return super().infer(pixels, with_confidence)

    def close(self):
        self.is_closed = True


class WaitingEngine(RecordingEngine):
    """Answers when told to."""

    def __init__(self, spec):
        super().__init__(spec)
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def infer(self, pixels, with_confidence=False):
        self.is_asked.set()
        assert self.may_answer.wait(TIMEOUT)
        assert not self.is_closed, "closed while it had an image under way"
        return super().infer(pixels, with_confidence)


def test_an_engine_is_warmed_up_with_the_kind_of_call_that_it_will_get(color_image):
    segmenter = Segmenter(_engine((48, 64)))
    same_size, other_size = RecordingEngine(_engine((48, 64)).spec), RecordingEngine(_engine((24, 16)).spec)
    segmenter.warm_up(same_size)
    assert same_size.calls == []  # nothing flows yet
    assert segmenter.is_warm(same_size)

    segmenter.segment(color_image)
    assert not segmenter.is_warm(same_size)
    for engine, expected in ((same_size, ("uint8", False)), (other_size, ("float32", False))):
        segmenter.warm_up(engine)
        segmenter.warm_up(engine)
        assert engine.calls == [expected]
        assert segmenter.is_warm(engine)
        segmenter.use(engine)
        segmenter.segment(color_image)
        assert engine.calls == [expected, expected]

    segmenter.segment(color_image, with_confidence=True)
    assert not segmenter.is_warm(same_size)


def test_another_kind_of_image_is_told_of_once(color_image):
    changes = []
    segmenter = Segmenter(_engine(), on_input_change=lambda: changes.append(1))
    for image, with_confidence, expected in (
        (color_image, False, 1),
        (color_image, False, 1),
        (color_image, True, 2),
        (np.zeros((24, 16, 3), np.uint8), True, 3),
    ):
        segmenter.segment(image, with_confidence=with_confidence)
        assert len(changes) == expected


def test_an_engine_that_fails_its_first_image_is_not_warm(color_image):
    segmenter = Segmenter(_engine())
    segmenter.segment(color_image)
    failing = _engine(fail_after=0)
    with pytest.raises(EngineError, match="configured to fail"):
        segmenter.warm_up(failing)
    assert not segmenter.is_warm(failing)


def test_the_old_engine_is_freed_once_its_image_is_answered_even_if_the_next_engine_works(color_image):
    old, new = WaitingEngine(_engine().spec), WaitingEngine(_engine().spec)
    segmenter = Segmenter(old)
    stream = threading.Thread(target=lambda: [segmenter.segment(color_image) for _ in range(2)])
    stream.start()
    assert old.is_asked.wait(TIMEOUT)
    assert segmenter.use(new) is old  # at once, in spite of the image under way
    janitor = threading.Thread(target=segmenter.retire, args=(old,))
    janitor.start()
    janitor.join(0.1)
    assert not old.is_closed
    old.may_answer.set()
    assert new.is_asked.wait(TIMEOUT)
    janitor.join(5)
    assert old.is_closed
    assert (len(old.calls), len(new.calls)) == (1, 0)
    new.may_answer.set()
    stream.join(5)
    assert not new.is_closed


def test_a_closed_segmenter_labels_nothing(color_image):
    engine = RecordingEngine(_engine().spec)
    with Segmenter(engine) as segmenter:
        segmenter.segment(color_image)
    assert engine.is_closed
    segmenter.close()
    with pytest.raises(EngineError, match="^the segmenter is closed$") as caught:
        segmenter.segment(color_image)
    assert not isinstance(caught.value, BrokenEngineError)
    assert len(engine.calls) == 1


class FailingEngine(FakeEngine):
    """Fails on images with a pixel above a brightness."""

    limit = 255

    def infer(self, pixels, with_confidence=False):
        if pixels.max() > self.limit:
            raise EngineError(f"brighter than {self.limit}")
        return super().infer(pixels, with_confidence)


def test_an_engine_that_fails_on_a_black_image_too_is_broken():
    engine = FailingEngine(_engine().spec)
    segmenter = Segmenter(engine)
    image = np.full((48, 64, 3), 100, np.uint8)
    segmenter.segment(image)
    engine.limit = -1
    with pytest.raises(BrokenEngineError, match="brighter than -1") as caught:
        segmenter.segment(image)
    assert caught.value.engine is engine


def test_an_engine_that_fails_on_three_images_in_a_row_is_broken():
    segmenter = Segmenter(FailingEngine(_engine().spec))
    segmenter.engine.limit = 99
    dark, bright = (np.full((48, 64, 3), brightness, np.uint8) for brightness in (99, 100))
    outcomes = []
    for image in (bright, bright, dark, bright, bright, bright):
        try:
            segmenter.segment(image)
            outcomes.append("answered")
        except BrokenEngineError:
            outcomes.append("broken")
        except EngineError:
            outcomes.append("failed")
    assert outcomes == ["failed", "failed", "answered", "failed", "failed", "broken"]


def test_the_times_of_the_stages_add_up(color_image):
    times = Segmenter(_engine((24, 32), latency=0.02)).segment(cv2.resize(color_image, (96, 80))).times
    assert times.infer >= 0.02
    assert times.total == times.preprocess + times.infer + times.decode


def test_the_summary_names_network_size_and_backend():
    assert engine_summary(_engine()) == "espnet_alpha8_camvid (espnet, alpha 8) at 48x64 on fake fp32, none"
    assert engine_summary(None) == "no engine"
