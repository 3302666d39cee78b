import pytest

from espnet_ros.loading import input_size
from espnet_ros.types import ImageSize

TRAINED = ImageSize(512, 1024)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (0, 0, TRAINED),
        (256, 0, ImageSize(256, 512)),
        (0, 256, ImageSize(128, 256)),
        (360, 480, ImageSize(360, 480)),
        (0, 8, ImageSize(8, 8)),  # half of 8 is no multiple of 8, and nothing is no size
    ],
)
def test_a_side_left_at_0_follows_from_the_other(height, width, expected):
    assert input_size(height, width, TRAINED) == expected


def test_a_side_that_follows_is_a_multiple_of_8():
    assert input_size(256, 0, ImageSize(360, 480)) == ImageSize(256, 344)  # 341.3
