import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
from torch import nn

from espnet_ros.engines.native.packing import fold_activation, pack_weights, quantise_weights, round_to_bf16
from espnet_ros.engines.native.program import BF16, EMPTY_SLOT, FP32, INT8, FeatureMap, Program
from espnet_ros.model.espnet import BatchNormAct


def make_map(slots, element, scales=(), zero_points=(), means=()):
    return FeatureMap(4, 20, tuple(slots), element, 1, 0, tuple(scales), tuple(zero_points), tuple(means))


def test_a_word_of_a_map_holds_neighbouring_columns_and_its_row_ends_with_the_next_words_zeros():
    fp32, bf16 = make_map([0, 1, 2], FP32), make_map([0, 1, 2, EMPTY_SLOT], BF16)
    assert (fp32.words, bf16.words) == (3, 2)
    assert fp32.pitch == 48  # 16 zeros, 20 columns, filled up to a multiple of 16
    assert make_map([0, 1, 2, 3], INT8, [1.0] * 4, [7] * 4).pitch == 64  # with 16 of its own zeros on the right
    assert bf16.size == ((4 + 2) * 2 * 48 + 64) * 4


def test_a_released_map_serves_another_of_its_shape_but_not_in_int8():
    program = Program(8, 160)
    first = program.add_map((1, 20), [0, 1], BF16)
    program.release(first)
    assert program.add_map((1, 20), [0, 1, 2, 3], BF16).offset != first.offset
    assert program.add_map((1, 20), [5, EMPTY_SLOT], BF16).offset == first.offset
    quantised = program.add_quantised_map(make_map([0, 1, 2, 3], INT8, [1.0] * 4, [7] * 4))
    program.release(quantised)
    assert program.add_quantised_map(quantised).offset > quantised.offset


def test_maps_do_not_overlap():
    program = Program(8, 160)
    maps = [program.add_map((3, width), range(4), BF16, border=2) for width in (20, 16, 33)]
    ends = [each.offset + each.size for each in maps]
    assert all(end <= following.offset for end, following in zip(ends, maps[1:]))
    assert ends[-1] <= program.arena
    assert all(each.offset % 64 == 0 for each in maps)


def test_bf16_is_rounded_as_torch_rounds_it():
    values = np.concatenate([np.random.default_rng(0).normal(size=1000), [0.0, -0.0, 1.00390625, 1.01171875, 3e38]])
    expected = torch.tensor(values, dtype=torch.float32).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(round_to_bf16(values), expected)


def test_weights_are_packed_by_words_with_zeros_where_a_slot_holds_no_channel():
    values = np.arange(2 * 3 * 1 * 2, dtype=float).reshape(2, 3, 1, 2)  # (row, in, column, out)
    packed = pack_weights(make_map([0, EMPTY_SLOT, 2, 1], FP32), values)
    assert packed.shape == (2, 4, 1, 2, 1)
    assert packed[0, :, 0, 1, 0].tolist() == [1.0, 0.0, 5.0, 3.0]
    in_pairs = pack_weights(make_map([0, EMPTY_SLOT, 2, 1], BF16), values)
    assert in_pairs.shape == (2, 2, 1, 2, 2)
    assert in_pairs[1, 1, 0, 0].tolist() == round_to_bf16(np.array([10.0, 8.0])).tolist()


def test_activations_are_batch_normalisation_and_prelu():
    layer = BatchNormAct(3).eval()
    with torch.no_grad():
        for values in (layer.bn.weight, layer.bn.bias, layer.bn.running_mean, layer.bn.running_var, layer.act.weight):
            values.uniform_(0.3, 2.0)
    x = np.array([-2.0, 0.1, 3.0])
    gain, bias, slope = fold_activation(layer)
    found = gain * x + bias
    found = np.where(found < 0, slope * found, found)
    expected = layer(torch.tensor(x, dtype=torch.float32).reshape(1, 3, 1, 1)).detach().numpy().ravel()
    assert found == pytest.approx(expected, rel=1e-5)


def test_quantised_convolutions_that_add_up_are_those_of_the_values():
    generator = np.random.default_rng(1)
    scales, zeros = generator.uniform(0.01, 0.1, 4), generator.integers(0, 256, 4)
    source = make_map([0, 1, 2, 3], INT8, scales, zeros, np.zeros(4))
    steps = generator.integers(0, 256, (4, 9, 9)).astype(float)  # (in, row, column)
    kernels = [generator.normal(size=(3, 4, 3, 5)) for _ in range(2)]  # (row, in, column, out)
    whole, gain, corrections = quantise_weights(source, kernels)
    assert all(np.array_equal(kernel, np.round(kernel)) and np.abs(kernel).max() <= 127 for kernel in whole)

    def convolve(image, kernel):
        weight = torch.tensor(kernel.transpose(3, 1, 0, 2))
        return nn.functional.conv2d(torch.tensor(image)[None], weight)[0].numpy()

    values = (steps - zeros[:, None, None]) * scales[:, None, None]
    total, expected = 0.0, 0.0
    for kernel, rounded, correction in zip(kernels, whole, corrections):
        total = total + convolve(steps, rounded)
        expected = expected + convolve(values, kernel)
        found = total * gain[:, None, None] + correction[:, None, None]
        # half a step of weight at most in each of 36 products
        assert np.abs(found - expected).max() < 36 * 0.5 * gain.max() * 256
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9999


def test_where_all_channels_are_at_their_means_rounded_weights_lose_nothing():
    generator = np.random.default_rng(2)
    scales, zeros, steps = np.full(4, 0.1), np.full(4, 100), np.array([3, 250, 100, 77])
    means = scales * (steps - zeros)
    kernels = [generator.normal(size=(3, 4, 3, 5)) for _ in range(2)]  # (row, in, column, out)
    whole, gain, corrections = quantise_weights(make_map([0, 1, 2, 3], INT8, scales, zeros, means), kernels)
    sums = np.cumsum([np.einsum("rico,i->o", kernel, steps) for kernel in whole], 0)
    expected = np.cumsum([np.einsum("rico,i->o", kernel, means) for kernel in kernels], 0)
    assert sums * gain + corrections == pytest.approx(expected)
