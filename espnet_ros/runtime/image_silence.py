"""Says why no image may arrive, from the topics that are published."""

from __future__ import annotations

from typing import Mapping, Sequence

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"

_TRANSPORTS = {IMAGE: "raw", COMPRESSED_IMAGE: "compressed"}
_MOST_NAMED = 5


def explain_silence(topic: str, message_type: str, published: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with the topic of the images, and which topics have images.

    Args:
        topic: full name of the topic that the node subscribes to.
        message_type: its type, `IMAGE` or `COMPRESSED_IMAGE`.
        published: the types of each topic that another node publishes.
    """
    types = published.get(topic, ())
    if message_type in types:
        return "its publisher sends nothing, or its images do not reach this machine"
    problem = f"it is published as {', '.join(types)}, not {message_type}" if types else "nobody publishes it"
    found = [(_list_topics(kind, published), transport) for kind, transport in _TRANSPORTS.items()]
    listed = " and ".join(f"{', '.join(topics)} (image_transport {transport})" for topics, transport in found if topics)
    return f"{problem}; images are on {listed}" if listed else f"{problem}, and no topic has images"


def _list_topics(message_type: str, published: Mapping[str, Sequence[str]]) -> Sequence[str]:
    suffix = "/compressed" if message_type == COMPRESSED_IMAGE else ""  # the transport adds it
    names = [
        name[: -len(suffix) or None]
        for name in sorted(published)
        if message_type in published[name] and name.endswith(suffix)
    ]
    more = len(names) - _MOST_NAMED
    return names if more <= 0 else [*names[:_MOST_NAMED], f"and {more} more"]
