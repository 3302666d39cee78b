import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.errors import ParameterError
from espnet_ros.model.loading import build_network
from espnet_ros.training.compute import choose_compute, guard_convolutions

pytestmark = pytest.mark.slow


def test_a_cpu_computes_in_bf16_where_it_has_it(make_config, monkeypatch):
    with pytest.raises(ParameterError, match="precision must be fp32 or bf16 on a CPU, is 'fp16'"):
        choose_compute(make_config(precision="fp16"), "cpu")
    for has_bf16, kind in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has_bf16=has_bf16: has_bf16, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
        assert choose_compute(make_config(), "cpu").autocast is kind
    assert choose_compute(make_config(precision="bf16"), "cpu").memory_format == torch.channels_last
    assert choose_compute(make_config(memory_format="contiguous"), "cpu").memory_format == torch.contiguous_format


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
@pytest.mark.parametrize("size", [(40, 56), (240, 320)])
def test_bf16_gradients_on_a_cpu_are_those_of_fp32(make_config, memory_format, size):
    """oneDNN has wrong ones, for some sizes only, which the guard keeps away."""
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 12, (2, *size), generator=torch.Generator().manual_seed(1))
    gradients = {}
    for precision in ("fp32", "bf16"):
        compute = choose_compute(make_config(precision=precision, memory_format=memory_format), "cpu")
        torch.manual_seed(2)
        network = build_network("espnet", 3, 12).to(memory_format=compute.memory_format)
        guard_convolutions(network, compute)
        with torch.autocast("cpu", dtype=compute.autocast or torch.bfloat16, enabled=compute.autocast is not None):
            logits = network(images.contiguous(memory_format=compute.memory_format))
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        gradients[precision] = {name: value.grad for name, value in network.named_parameters()}
    for name in gradients["fp32"]:
        if ".d" in name:  # of the pyramids; some scales that the next normalisation undoes have gradients of mere noise
            a, b = gradients["fp32"][name].flatten(), gradients["bf16"][name].flatten()
            assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.95, name


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_a_gpu_that_is_not_there_is_refused(make_config):
    with pytest.raises(ParameterError, match="torch finds no GPU"):
        choose_compute(make_config(), "cuda")
