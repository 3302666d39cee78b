"""Optimizers, learning rates and averages."""

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from espnet_ros.training.config import Stage  # noqa: E402
from espnet_ros.training.muon import Muon, orthogonalise  # noqa: E402
from espnet_ros.training.optimisation import average_weights, build_optimizer, learning_rate  # noqa: E402


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


def _closed_form(stage, step, total):
    """The schedules as written down, with the operations in this order: the weights of a run depend on every bit."""
    warmup = min(stage.warmup_steps, total)
    if step < warmup:
        return stage.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / (total - warmup)
    fall = {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "poly": (1 - progress) ** 0.9, "constant": 1.0}
    return stage.learning_rate * fall[stage.schedule]


@pytest.mark.parametrize("schedule", ["cosine", "poly", "constant"])
@pytest.mark.parametrize("warmup", [0, 7, 50])
def test_every_learning_rate_is_that_of_the_closed_form(schedule, warmup):
    stage = Stage(steps=50, warmup_steps=warmup, learning_rate=3e-3, schedule=schedule)
    rates = [learning_rate(stage, step, 50) for step in range(50)]
    assert rates == [_closed_form(stage, step, 50) for step in range(50)]


@pytest.mark.parametrize(("warmup", "total"), [(0, 60), (8, 60)])
def test_the_cosine_is_that_of_torchs_own_scheduler(warmup, total):
    stage = Stage(steps=total, warmup_steps=warmup, learning_rate=0.01, schedule="cosine")
    optimizer = torch.optim.SGD(_parameters((2,)), lr=0.01)
    schedulers = torch.optim.lr_scheduler
    theirs = schedulers.CosineAnnealingLR(optimizer, total - warmup)
    if warmup:
        rise = schedulers.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)
        theirs = schedulers.SequentialLR(optimizer, [rise, theirs], [warmup])
    for step in range(total):
        assert learning_rate(stage, step, total) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6, abs=1e-12)
        optimizer.step()
        theirs.step()


def _network(value):
    network = torch.nn.BatchNorm1d(1)
    _set(network, value)
    return network


def _set(network, value):
    """Give the weight, the running mean and the counter of batches one value."""
    with torch.no_grad():
        network.weight.fill_(value)
        network.running_mean.fill_(value)
        network.num_batches_tracked.fill_(int(value))


def _update(average, network, step):
    average.n_averaged.fill_(step + 1)
    average.update_parameters(network)
    return average.module.state_dict()


def test_the_average_follows_fast_at_first_and_slowly_later():
    network = _network(1.0)
    average = average_weights(network, 0.9)
    _set(network, 3.0)
    state = _update(average, network, 0)  # keeps 1/10 of 1.0
    assert state["weight"].item() == pytest.approx(0.1 * 1.0 + 0.9 * 3.0)
    assert state["running_mean"].item() == pytest.approx(2.8)
    _set(network, 7.0)
    state = _update(average, network, 1000)  # keeps 0.9
    assert state["weight"].item() == pytest.approx(0.9 * 2.8 + 0.1 * 7.0)
    assert state["num_batches_tracked"].item() == 7  # copied


def test_averages_have_the_bits_of_one_interpolation_per_tensor():
    torch.manual_seed(4)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4))
    average = average_weights(network, 0.8)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for step in range(12):
        network(torch.randn(2, 3, 5, 5))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        decay = min(0.8, (1.0 + step) / (10.0 + step))
        for name, value in network.state_dict().items():
            expected[name] = expected[name].lerp(value, 1 - decay) if value.is_floating_point() else value.clone()
        state = _update(average, network, step)
        assert all(torch.equal(state[name], value) for name, value in expected.items())
