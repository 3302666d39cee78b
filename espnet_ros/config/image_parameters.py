"""Parameters of the images: what comes in, what goes out, and how the node starts."""

from __future__ import annotations

from dataclasses import dataclass

from espnet_ros.config.rules import parameter


@dataclass(frozen=True)
class ImageParameters:
    """What comes in, what goes out, and how the node starts."""

    max_rate: float = parameter(
        0.0, "Images answered a second at most; 0: as many as the engine can.", unit="Hz", minimum=0.0, maximum=1000.0,
        live=True,
    )  # fmt: skip
    min_confidence: float = parameter(
        0.0,
        "Pixels less certain than this are labelled 255; 0 labels every pixel.",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    overlay_opacity: float = parameter(
        0.5, "How much the class colours cover the image in ~/overlay.", minimum=0.0, maximum=1.0, live=True
    )
    image_transport: str = parameter(
        "raw",
        "What to subscribe to: raw (sensor_msgs/Image on image) or compressed (CompressedImage on image/compressed).",
        choices=("raw", "compressed"),
    )
    autostart: bool = parameter(False, "Configure and activate by itself, without a lifecycle manager.")
    engine_cache: str = parameter("", "Folder of built engines; empty: espnet_ros/engines in the user's cache folder.")
    weights_dir: str = parameter(
        "", "Folder searched first for registry weights; empty: $ESPNET_WEIGHTS_DIR, then the download cache."
    )
    image_timeout: float = parameter(
        2.0, "Without an image for this long the node warns on /diagnostics.", unit="s", minimum=0.1, maximum=3600.0,
        live=True,
    )  # fmt: skip
    diagnostics_period: float = parameter(
        1.0, "Time between two messages on /diagnostics.", unit="s", minimum=0.1, maximum=60.0
    )
