"""Parameters of the images that the node receives and publishes."""

from __future__ import annotations

from dataclasses import dataclass

from espnet_ros.config.declaration import Section, parameter


@dataclass(frozen=True)
class ImageParameters:
    """Input transport, rate limit, and how labels and overlays are made."""

    image_transport: str = parameter(
        "raw",
        "Transport of the camera images: raw (sensor_msgs/Image on image) or compressed (sensor_msgs/CompressedImage "
        "on image/compressed).",
        choices=("raw", "compressed"),
        is_basic=True,
    )
    image_is_rectified: str = parameter(
        "auto",
        "Whether the images are rectified: true (the costmap uses P of camera_info and no distortion), false (K and "
        "D), or auto (true if the topic's name has the word rect, as in image_rect_color).",
        choices=("auto", "true", "false"),
        live=True,
        changes_costmap=True,
        is_plain_text=True,
    )
    max_rate: float = parameter(
        0.0,
        "Maximum frame rate in images per second, or 0 for no limit.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
        live=True,
        in_profile=True,
        is_basic=True,
    )
    min_confidence: float = parameter(
        0.0,
        "Pixels below this confidence are labelled 255 (unlabelled). 0 labels every pixel.",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    overlay_opacity: float = parameter(
        0.5, "Opacity of the class colours over the image in ~/overlay.", minimum=0.0, maximum=1.0, live=True
    )


SECTION = Section(
    "Images", "The camera images that the node processes, and the images that it publishes.", ImageParameters
)
