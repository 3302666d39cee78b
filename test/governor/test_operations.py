import pytest

from espnet_ros.errors import ParameterError
from espnet_ros.governor.operations import count_operations


@pytest.mark.parametrize(("alpha", "billions"), [(3, 3.40), (5, 3.92), (8, 4.71)])
def test_the_multiplications_at_512x1024_equal_the_real_network(alpha, billions):
    assert round(count_operations(alpha, (512, 1024)).multiplications / 1e9, 2) == billions


def test_one_esp_block_more_costs_its_seven_convolutions():
    # 128 to 25 by 1x1, then 25 to 28 and four times 25 to 25 by 3x3, at 2x3 pixels of a 16x24 image.
    one = (128 * 25 + 9 * 25 * 28 + 4 * 9 * 25 * 25) * 2 * 3
    difference = count_operations(4, (16, 24)).multiplications - count_operations(3, (16, 24)).multiplications
    assert difference == one


def test_one_esp_block_more_reads_and_writes_its_feature_maps():
    # 128 in, 25 out; then 25 read five times, 28 + 4 * 25 written; at 2x3 pixels.
    difference = count_operations(4, (16, 24)).traffic - count_operations(3, (16, 24)).traffic
    assert difference == (128 + 25 + 5 * 25 + 128) * 2 * 3


def test_twice_the_pixels_cost_twice_as_much():
    small, large = count_operations(5, (256, 512)), count_operations(5, (512, 512))
    assert large.multiplications == 2 * small.multiplications
    assert large.traffic_bytes(2) == 4 * small.traffic


@pytest.mark.parametrize(("network", "message"), [("enet", "network must be one of espnet, espnet_c, is 'enet'")])
def test_an_unknown_network_is_refused(network, message):
    with pytest.raises(ParameterError, match=message):
        count_operations(3, (512, 1024), network=network)


def test_a_size_that_is_no_multiple_of_8_is_refused():
    with pytest.raises(ParameterError, match="size must be positive multiples of 8, is 360x481"):
        count_operations(3, (360, 481))


@pytest.mark.parametrize("alpha", [3, 5, 8])
@pytest.mark.parametrize(("network", "skip"), [("espnet", 16), ("espnet", 19), ("espnet_c", 16)])
def test_the_counts_are_those_of_the_real_network(alpha, network, skip):
    torch = pytest.importorskip("torch", reason="torch is not installed, and the real network needs it")
    from espnet_ros.model.espnet import ESPNet, ESPNetC

    real = ESPNet(12, alpha, skip) if network == "espnet" else ESPNetC(12, alpha)
    multiplications = traffic = 0

    def on_convolution(layer, inputs, output):
        nonlocal multiplications, traffic
        pixels = inputs[0] if isinstance(layer, torch.nn.ConvTranspose2d) else output
        weights = layer.weight.numel()
        multiplications += weights * pixels.shape[2] * pixels.shape[3]
        traffic += inputs[0].numel() + output.numel()

    for layer in real.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(on_convolution)
    with torch.no_grad():
        real.eval()(torch.zeros(1, 3, 40, 64))

    counted = count_operations(alpha, (40, 64), 12, network, skip)
    assert (counted.multiplications, counted.traffic) == (multiplications, traffic)


@pytest.mark.parametrize(("alpha", "megabytes"), [(3, 150), (8, 183)])
def test_the_activations_at_512x1024_are_those_of_the_performance_page(alpha, megabytes):
    assert round(count_operations(alpha, (512, 1024)).traffic_bytes(2) / 1e6) == megabytes
