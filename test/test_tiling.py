"""Tiles of large images: where they lie, and that nobody sees it in the labels."""

import itertools

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.config import NodeConfig
from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.errors import EngineError, ImageError, ParameterError
from espnet_ros.loading import resolve_spec
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.model.loading import build_network
from espnet_ros.segmenter import Segmenter
from espnet_ros.tiling import (
    Tile,
    Window,
    default_overlap,
    fit_tile,
    label_large_image,
    plan_tiles,
    read_window,
    receptive_radius,
)
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.slow


def _fake(size, **options):
    checkpoint = select_checkpoint("camvid", "espnet", 8)
    return Segmenter(
        FakeEngine(EngineSpec(checkpoint, checkpoint.load_class_table(), ImageSize(*size), "fake"), **options)
    )


def _texture(height, width):
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


@pytest.fixture(scope="module")
def untrained(untrained_checkpoint, engine_cache):
    """Builds engines of the untrained ESPNet."""
    checkpoint = untrained_checkpoint

    def build(backend, *size):
        return build_engine(
            EngineSpec(checkpoint, checkpoint.load_class_table(), ImageSize(*size), backend, "fp32", cache=engine_cache)
        )

    return build


def test_tiles_lie_where_they_do_by_hand():
    # Rows: 40 - 32 = 8 pixels beyond the first tile, in steps of at most 32 - 16: starts 0 and 8, border (32 + 8) / 2.
    # Columns: 100 counts as 104; 56 beyond the first, in steps of at most 48 - 16: starts 0, 28 -> 24, 56.
    assert plan_tiles(40, 100, ImageSize(32, 48), 16) == [
        Tile(Window(0, 0, 32, 48), Window(0, 0, 20, 36)),
        Tile(Window(0, 24, 32, 72), Window(0, 36, 20, 64)),
        Tile(Window(0, 56, 32, 104), Window(0, 64, 20, 100)),
        Tile(Window(8, 0, 40, 48), Window(20, 0, 40, 36)),
        Tile(Window(8, 24, 40, 72), Window(20, 36, 40, 64)),
        Tile(Window(8, 56, 40, 104), Window(20, 64, 40, 100)),
    ]


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"),
    list(itertools.product([1, 31, 64, 333], [32, 47, 500], [ImageSize(32, 48), ImageSize(64, 40)], [0, 9, 24])),
)
def test_every_pixel_is_kept_once_and_far_enough_from_a_cut(height, width, tile, overlap):
    times_kept = np.zeros((height, width), int)
    for source, kept in plan_tiles(height, width, tile, overlap):
        times_kept[kept.slices] += 1
        assert source.top % 8 == 0 and source.left % 8 == 0
        assert (source.bottom - source.top, source.right - source.left) == tile
        for outer, inner, edge in ((source.top, kept.top, 0), (source.left, kept.left, 0)):
            assert outer == inner == edge or inner - outer >= overlap // 2
        for outer, inner, edge in ((source.bottom, kept.bottom, height), (source.right, kept.right, width)):
            assert inner == edge or outer - inner >= overlap // 2
        assert source.bottom < max(height + 8, tile.height + 1) and source.right < max(width + 8, tile.width + 1)
    assert (times_kept == 1).all()


def test_an_image_smaller_than_the_tile_takes_one():
    assert plan_tiles(20, 30, ImageSize(32, 48), 999) == [Tile(Window(0, 0, 32, 48), Window(0, 0, 20, 30))]


def test_a_tile_is_no_larger_than_the_image_needs():
    assert fit_tile(20, 4000, ImageSize(2048, 1024)) == (24, 1024)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((100, 200, ImageSize(32, 48), 32), "overlap must be at most 24 in tiles of height 32, is 32"),
        ((100, 200, ImageSize(32, 48), -1), "overlap must be at least 0 pixels, is -1"),
        ((100, 200, ImageSize(32, 44), 8), "tile width must be a positive multiple of 8, is 44"),
        ((0, 200, ImageSize(32, 48), 8), "image to tile must have at least 1x1 pixels, has 0x200"),
    ],
)
def test_what_cannot_be_tiled_is_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        plan_tiles(*arguments)


def test_pixels_beyond_the_image_are_mirrored():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)
    window = read_window(image, Window(0, 1, 3, 5))
    assert window[..., 0].tolist() == [[1, 2, 2, 1], [4, 5, 5, 4], [4, 5, 5, 4]]
    assert np.shares_memory(read_window(image, Window(0, 1, 2, 3)), image)


@pytest.mark.parametrize(("height", "width"), [(97, 203), (1, 300), (8, 8), (32, 48)])
def test_tiles_of_a_pointwise_engine_join_exactly_whatever_the_size(height, width):
    image = _texture(height, width)
    expected = (image.astype(np.uint16).sum(axis=2) // 3 * 12 // 256).astype(np.uint8)
    assert np.array_equal(label_large_image(image, _fake((32, 48)), 16), expected)


def test_an_image_on_disk_is_read_window_by_window(tmp_path):
    image = _texture(97, 203)
    image.tofile(str(tmp_path / "pixels"))
    mapped = np.memmap(str(tmp_path / "pixels"), np.uint8, "r", shape=image.shape)
    expected = label_large_image(image, _fake((32, 48)), 16)
    assert np.array_equal(label_large_image(mapped, _fake((32, 48)), 16), expected)


def test_progress_is_told_after_each_tile():
    calls = []
    label_large_image(_texture(40, 100), _fake((32, 48)), 16, lambda: calls.append(1))
    assert len(calls) == 6


def test_a_failing_engine_and_a_grey_image_are_errors():
    with pytest.raises(EngineError, match="configured to fail"):
        label_large_image(_texture(40, 100), _fake((32, 48), fail_after=3), 16)
    with pytest.raises(ImageError, match="image must be"):
        label_large_image(np.zeros((40, 100), np.uint8), _fake((32, 48)), 16)


@pytest.mark.parametrize(("alpha", "radius"), [(3, 784), (8, 1424)])
def test_the_receptive_radius_is_what_the_gradient_reaches(alpha, radius):
    torch.manual_seed(0)
    network = build_network("espnet", alpha, 12, 16).double().eval()
    image = torch.randn(1, 3, 8, 4096, dtype=torch.float64, requires_grad=True)
    reach = {}
    for column in (2049, 2046):  # these see the farthest to the left and to the right
        logits = network(image)  # (1, 12, 8, 4096)
        (gradient,) = torch.autograd.grad(logits[0, :, 0, column].sum(), image)
        seen = gradient[0].abs().sum((0, 1)).nonzero().flatten()
        reach[column] = (column - int(seen.min()), int(seen.max()) - column)
    assert receptive_radius(alpha) == radius
    assert reach[2049][0] == radius
    assert reach[2046][1] == radius - 7


def test_overlaps_are_below_the_receptive_field():
    assert [default_overlap(alpha) for alpha in (3, 5, 8)] == [896, 1072, 1280]
    assert all(default_overlap(alpha) < 2 * receptive_radius(alpha) for alpha in (3, 5, 8))


def test_tiles_that_overlap_by_the_receptive_field_change_nothing(untrained):
    image = _texture(48, 3200)
    expected = untrained("torch", 48, 3200).infer(image).labels
    assert len(np.unique(expected)) > 3
    found = label_large_image(image, Segmenter(untrained("torch", 48, 2048)), 2 * receptive_radius(3))
    assert np.mean(found == expected) >= 0.99999  # other shapes may be summed in another order


@pytest.mark.parametrize(("alpha", "size", "tile"), [(3, (2048, 2048), (1536, 1536)), (8, (1024, 2048), (1024, 1664))])
def test_default_overlaps_keep_the_labels_of_streets(cityscapes_samples, published_weights, alpha, size, tile):
    config = NodeConfig(weights="cityscapes", alpha=alpha, backend="torch", weights_dir=str(published_weights))
    spec = resolve_spec(config).__dict__
    whole, tiles = (build_engine(EngineSpec(**{**spec, "input_size": ImageSize(*each)})) for each in (size, tile))
    image = np.concatenate([cv2.imread(str(path)) for path in sorted(cityscapes_samples.glob("*.png"))])[: size[0]]
    assert len(plan_tiles(*size, ImageSize(*tile), default_overlap(alpha))) > 1
    found = label_large_image(image, Segmenter(tiles), default_overlap(alpha))
    assert np.mean(found == whole.infer(image).labels) >= 0.999
