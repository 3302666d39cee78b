import pytest

from espnet_ros.runtime.image_silence import COMPRESSED_IMAGE, IMAGE, explain_silence


@pytest.mark.parametrize(
    ("topic", "message_type", "published", "reason"),
    [
        ("/image", IMAGE, {}, "nobody publishes it, and no topic has images"),
        ("/image", IMAGE, {"/image": []}, "nobody publishes it, and no topic has images"),
        ("/image", IMAGE, {"/image": [IMAGE]}, "its publisher sends nothing, or its images do not reach this machine"),
        (
            "/image",
            IMAGE,
            {"/rear/image_raw": [IMAGE], "/front/image_raw": [IMAGE], "/scan": ["sensor_msgs/msg/LaserScan"]},
            "nobody publishes it; images are on /front/image_raw, /rear/image_raw (image_transport raw)",
        ),
        (
            "/image",
            IMAGE,
            {"/cam/image_raw/compressed": [COMPRESSED_IMAGE], "/cam/image_raw": [IMAGE]},
            "nobody publishes it; images are on /cam/image_raw (image_transport raw) and /cam/image_raw "
            "(image_transport compressed)",
        ),
        (
            "/image/compressed",
            COMPRESSED_IMAGE,
            {"/image": [IMAGE]},
            "nobody publishes it; images are on /image (image_transport raw)",
        ),
        (
            "/image",
            IMAGE,
            {"/image": [COMPRESSED_IMAGE]},
            "it is published as sensor_msgs/msg/CompressedImage, not sensor_msgs/msg/Image, and no topic has images",
        ),
        (
            "/image",
            IMAGE,
            {f"/cam{number}": [IMAGE] for number in range(9)},
            "nobody publishes it; images are on /cam0, /cam1, /cam2, /cam3, /cam4, and 4 more (image_transport raw)",
        ),
    ],
)
def test_the_reason_names_what_is_wrong_and_where_images_are(topic, message_type, published, reason):
    assert explain_silence(topic, message_type, published) == reason
