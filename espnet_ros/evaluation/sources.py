"""Opens recorded images by their path, whatever holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag_files import has_manifest, is_recording
from espnet_ros.evaluation.frames import FrameSource
from espnet_ros.evaluation.images import VideoFile, has_images, open_folder
from espnet_ros.resources import expand_user


def open_frames(path: Union[str, Path], labels: Union[str, Path, None] = None) -> FrameSource:
    """Open a folder of images, a bag or a video file.

    Args:
        path: folder of images, in the order of their names; rosbag2 folder or file, or ROS 1 ``.bag`` file, with one
            topic of images; or a video file. ``~`` is expanded.
        labels: folder of label images with the same stems as the images: 8-bit class ids, 255 unlabelled. None uses
            the folder ``labels`` next to the folder of images, if it exists. A bag's labels are in its topic
            ``.../label_image``; a video has none.

    Raises:
        DatasetError: the source does not exist or cannot be read, or labels were given for a source other than a folder
            of images.
    """
    path = expand_user(path)
    if not path.exists():
        raise DatasetError(f"images {path}: no such file or folder")
    if path.is_dir() and not is_bag(path):
        return open_folder(path, None if labels is None else Path(labels))
    if labels is not None:
        raise DatasetError(
            f"labels {labels}: only a folder of images takes a folder of labels, but {path} is not a folder of images"
        )
    return open_bag(path) if is_bag(path) else VideoFile(path)


def is_bag(path: Path) -> bool:
    """Return whether a path is a bag: by its suffix, its manifest, or the recordings and no images in the folder."""
    if not path.is_dir():
        return is_recording(path)
    try:
        return has_manifest(path) or (any(map(is_recording, path.iterdir())) and not has_images(path))
    except OSError:  # whoever opens the folder says why
        return False


def open_bag(path: Path) -> FrameSource:
    """Open a bag with one topic of images. Imports rosbags, which takes long.

    Raises:
        DatasetError: the bag cannot be read, or has more than one topic of images.
    """
    from espnet_ros.evaluation.bag import BagFrames

    return BagFrames(path)
