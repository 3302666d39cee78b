import pytest

from espnet_ros.synthetic import StreetRenderer, StreetWorld, default_camera, drive
from espnet_ros.types import ImageSize


@pytest.fixture(scope="package")
def world():
    return StreetWorld(seed=3, length=60.0)


@pytest.fixture(scope="package")
def frames(world):
    return list(drive(world, default_camera(ImageSize(240, 320)), rate=0.5, speed=10.0))


@pytest.fixture(scope="package")
def renderer(world):
    return StreetRenderer(world, default_camera())
