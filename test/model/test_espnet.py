import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.model.espnet import ESPNet, ESPNetC


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("alpha", "count"), [(3, 187_529), (5, 252_297), (8, 349_449)])
def test_espnet_c_has_the_published_number_of_parameters(alpha, count):
    assert _count(ESPNetC(20, alpha)) == count


@pytest.mark.parametrize(("alpha", "count"), [(3, 202_649), (5, 267_417), (8, 364_569)])
def test_espnet_has_the_published_number_of_parameters(alpha, count):
    assert _count(ESPNet(20, alpha)) == count


def test_espnet_c_answers_at_an_eighth_of_the_size():
    assert ESPNetC(12, 3).eval()(torch.zeros(1, 3, 40, 64)).shape == (1, 12, 5, 8)


@pytest.mark.parametrize("skip_channels", [16, 19])
def test_espnet_answers_at_the_size_of_the_image(skip_channels):
    assert ESPNet(12, 3, skip_channels).eval()(torch.zeros(2, 3, 40, 64)).shape == (2, 12, 40, 64)


def test_an_unknown_decoder_variant_is_refused():
    with pytest.raises(ValueError, match="skip_channels must be 16 or 19, is 17"):
        ESPNet(12, 3, 17)


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
@pytest.mark.parametrize("alpha", [3, 5, 8])
def test_few_classes_are_answered_at_the_size_of_the_image(alpha, classes):
    image = torch.rand(1, 3, 40, 64)
    assert ESPNetC(classes, alpha).eval()(image).shape == (1, classes, 5, 8)
    for skip_channels in (16, 19):
        assert ESPNet(classes, alpha, skip_channels).eval()(image).shape == (1, classes, 40, 64)


def test_from_five_classes_on_the_decoder_is_as_wide_as_published():
    state = ESPNet(5, 3, 16).state_dict()
    shapes = {key: tuple(state[key].shape) for key in ("level3_C.conv.weight", "conv.conv.weight", "classifier.weight")}
    assert shapes == {
        "level3_C.conv.weight": (5, 131, 1, 1),
        "conv.conv.weight": (5, 16 + 5, 3, 3),
        "classifier.weight": (5, 5, 2, 2),
    }
