"""Optimizers, learning rates and averages."""

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from espnet_ros.training.config import Stage  # noqa: E402
from espnet_ros.training.muon import Muon, orthogonalise  # noqa: E402
from espnet_ros.training.optimisation import AveragedWeights, build_optimizer, learning_rate  # noqa: E402


def _parameters(*shapes):
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def _set_gradients(*lists):
    """The same new gradient for the first of each list, for the second, ..."""
    for same in zip(*lists):
        gradient = torch.randn(same[0].shape)
        for parameter in same:
            parameter.grad = gradient.reshape(parameter.shape).clone()


@pytest.mark.parametrize(("rows", "columns"), [(5, 9), (9, 5), (25, 225)])
def test_orthogonalise_gives_singular_values_near_one_and_keeps_the_directions(rows, columns):
    torch.manual_seed(2)
    matrices = torch.randn(3, rows, columns)
    result = orthogonalise(matrices)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.transpose(1, 2) @ result @ vh.transpose(1, 2)  # diagonal where the directions are the same
    diagonal = torch.diagonal(inner, dim1=1, dim2=2)
    assert (inner - torch.diag_embed(diagonal)).abs().max() < 1e-3
    assert diagonal.min() > 0.6 and diagonal.max() < 1.3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
def test_muon_steps_as_torchs_own():
    ours, theirs = _parameters((6, 10), (6, 10), (12, 4)), _parameters((6, 10), (6, 10), (12, 4))
    vector = _parameters((3,))
    optimizer = Muon(ours, vector, 1e-2, 0.1)
    reference = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    before = [parameter.detach().clone() for parameter in ours]
    for _ in range(5):
        _set_gradients(ours, theirs)
        optimizer.step()
        reference.step()
    for mine, its, start in zip(ours, theirs, before):
        # torch iterates in bfloat16
        assert (mine - its).abs().max() < 0.02 * (its - start).abs().max()


@pytest.mark.parametrize("outputs", [4, 20])
def test_muon_moves_a_convolution_as_the_matrix_of_its_output_channels(outputs):
    (convolution,), (matrix,) = _parameters((outputs, 2, 3, 3)), _parameters((outputs, 18))
    with torch.no_grad():
        matrix.copy_(convolution.flatten(1))
    optimizers = [Muon([convolution], _parameters((2,)), 1e-2, 0.0), Muon([matrix], _parameters((2,)), 1e-2, 0.0)]
    _set_gradients([convolution], [matrix])
    for optimizer in optimizers:
        optimizer.step()
    torch.testing.assert_close(convolution.flatten(1), matrix)


def test_muon_moves_vectors_as_adamw_without_decay():
    ours, theirs = _parameters((7,)), _parameters((7,))
    optimizer = Muon(_parameters((2, 2)), ours, 1e-2, 0.5)
    reference = torch.optim.AdamW(theirs, lr=1e-2, weight_decay=0.0)
    for _ in range(3):
        _set_gradients(ours, theirs)
        optimizer.step()
        reference.step()
    assert torch.equal(ours[0], theirs[0])


def test_muon_goes_on_from_its_saved_state():
    def make():
        weights, vectors = _parameters((4, 6)), _parameters((3,))
        return weights + vectors, Muon(weights, vectors, 1e-2, 0.1)

    through, first = make()
    torch.manual_seed(3)
    gradients = [[torch.randn(parameter.shape) for parameter in through] for _ in range(4)]

    def advance(parameters, optimizer, steps):
        for values in steps:
            for parameter, value in zip(parameters, values):
                parameter.grad = value.clone()
            optimizer.step()

    advance(through, first, gradients[:2])
    resumed, second = make()
    with torch.no_grad():
        for target, source in zip(resumed, through):
            target.copy_(source)
    second.load_state_dict(copy.deepcopy(first.state_dict()))  # as from a file
    advance(through, first, gradients[2:])
    advance(resumed, second, gradients[2:])
    for one, other in zip(through, resumed):
        assert torch.equal(one, other)


def test_the_learning_rate_of_the_groups_drives_both_parts_of_muon():
    weights, vectors = _parameters((4, 6)), _parameters((3,))
    optimizer = Muon(weights, vectors, 1e-2, 0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.detach().clone() for parameter in weights + vectors]
    _set_gradients(weights + vectors)
    optimizer.step()
    assert all(torch.equal(now, then) for now, then in zip(weights + vectors, before))


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD"), ("muon", "Muon")])
def test_the_stage_names_its_optimizer_and_only_convolutions_decay(name, kind):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4))
    optimizer = build_optimizer(network, Stage(optimizer=name, steps=1, weight_decay=0.3))
    assert type(optimizer).__name__ == kind
    decays = {
        parameter.dim() > 1: group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]
    }
    assert decays == {True: 0.3, False: 0.0}


def test_cosine_rises_over_the_warm_up_and_falls_to_zero():
    stage = Stage(steps=110, warmup_steps=10, learning_rate=0.4, schedule="cosine")
    rates = [learning_rate(stage, step, 110) for step in range(110)]
    assert rates[0] == pytest.approx(0.04) and rates[9] == pytest.approx(0.4)
    assert rates[60] == pytest.approx(0.2)  # half way from step 10 to 110
    assert rates[109] == pytest.approx(0.2 * (1 + math.cos(math.pi * 0.99)))


def test_the_average_follows_at_once_at_first_and_slowly_later():
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0.0)
    average = AveragedWeights(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(1.0)
    average.update(0)
    assert average.state["weight"].item() == pytest.approx(0.9)  # decay (1 + 0) / (10 + 0)
    with torch.no_grad():
        network.weight.fill_(2.0)
    average.update(1000)
    assert average.state["weight"].item() == pytest.approx(0.9 * 0.9 + 2.0 * 0.1)
