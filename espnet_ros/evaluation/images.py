"""Frames from a folder of images, and from a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Optional

import cv2
import numpy as np

from espnet_ros.errors import DatasetError, one_line
from espnet_ros.evaluation.frames import FIRST_STAMP_NS, Frame, check_labels
from espnet_ros.evaluation.label_files import read_label_file
from espnet_ros.resources import expand_user

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
LABELS_FOLDER = "labels"
DEFAULT_RATE_HZ = 15.0


class ImageFolder:
    """Images of a folder in the order of their names, optionally with label images of the same stems.

    Args:
        images: folder of images.
        labels: folder of label images; None for images without labels.
        rate: frame rate in Hz that the stamps follow.

    Raises:
        DatasetError: a folder is missing or empty, two files have the same stem, or an image has no label image.
    """

    def __init__(self, images: Path, labels: Optional[Path] = None, rate: float = DEFAULT_RATE_HZ) -> None:
        self.name = str(images)
        self.has_labels = labels is not None
        self._rate = rate
        self._images = _list_images(images, "image folder")
        self._labels = _list_images(labels, "label folder") if labels is not None else {}
        if labels is not None:
            missing = [path.name for stem, path in self._images.items() if stem not in self._labels]
            if missing:
                more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                raise DatasetError(
                    f"image {missing[0]}{more}: every image needs a label image of the same stem, but {labels} has none"
                )

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``."""
        for index, (stem, path) in enumerate(self._images.items()):
            image = _read(path)
            stamp_ns = FIRST_STAMP_NS + round(index * 1e9 / self._rate)
            if not self.has_labels:
                yield Frame(stem, stamp_ns, image)
                continue
            labels_path = self._labels[stem]
            labels = read_label_file(labels_path)
            check_labels(labels, image, str(labels_path))
            yield Frame(stem, stamp_ns, image, labels, str(labels_path))


class VideoFile:
    """Frames of a video file, at the video's frame rate.

    Raises:
        DatasetError: the file is missing, is not a video, or has no frames.
    """

    has_labels = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        capture = self._open()
        self._rate = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE_HZ
        self._estimated_count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        has_frame, _ = capture.read()
        capture.release()
        if not has_frame:
            raise DatasetError(f"video {path}: must have at least one frame, has none")

    def __len__(self) -> int:
        return self._estimated_count

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``."""
        capture = self._open()
        try:
            index = 0
            while True:
                has_frame, image = capture.read()
                if not has_frame:
                    return
                yield Frame(f"frame {index:06d}", FIRST_STAMP_NS + round(index * 1e9 / self._rate), image)
                index += 1
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if not Path(self.name).is_file():
            raise DatasetError(f"video {self.name}: no such file")
        capture = cv2.VideoCapture(opencv_name(Path(self.name), f"video {self.name}"))
        if not capture.isOpened():
            raise DatasetError(f"video {self.name}: OpenCV cannot read it as a video")
        return capture


def opencv_name(path: Path, what: str) -> str:
    """Return the name under which OpenCV opens a file. A name that is not UTF-8 would end the process.

    Args:
        path: the file.
        what: how the error names it.

    Raises:
        DatasetError: the name is not UTF-8, or Python's encoding of file names is not.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{what}: OpenCV opens only files with a name in UTF-8; rename it, or set LC_ALL to a UTF-8 locale"
        ) from error
    return name


def open_folder(images: Path, labels: Optional[Path] = None, rate: float = DEFAULT_RATE_HZ) -> ImageFolder:
    """Open a folder of images with its labels.

    Args:
        images: folder of images.
        labels: folder of label images; None uses the folder ``labels`` next to the images, if it exists.
        rate: frame rate in Hz that the stamps follow.

    Raises:
        DatasetError: see ``ImageFolder``.
    """
    return ImageFolder(images, sibling_labels(images) if labels is None else labels, rate)


def sibling_labels(images: Path) -> Optional[Path]:
    """Return the folder ``labels`` next to a folder of images, or None if there is none."""
    folder = expand_user(images).resolve().parent / LABELS_FOLDER
    return folder if folder.is_dir() and folder != images.resolve() else None


def has_images(folder: Path) -> bool:
    """Return whether a folder has an image file."""
    return any(map(_is_image, folder.iterdir()))


def _list_images(folder: Path, what: str) -> Dict[str, Path]:
    """Return the path of each image by its stem, in the order of the names."""
    try:
        paths: List[Path] = sorted(path for path in expand_user(folder).iterdir() if _is_image(path))
    except OSError as error:
        raise DatasetError(f"{what} {folder}: cannot be listed: {error.strerror}") from error
    for path in paths:
        if path.exists() and not path.is_file():  # reading a named pipe would block
            raise DatasetError(f"{what} {folder}: {path.name} must be a file, is a folder, device, pipe or socket")
    if not paths:
        raise DatasetError(f"{what} {folder}: must contain at least one image ({', '.join(IMAGE_SUFFIXES)}), has none")
    by_stem: Dict[str, Path] = {}
    for path in paths:
        if path.stem in by_stem:
            other = by_stem[path.stem].name
            raise DatasetError(f"{what} {folder}: stems must differ, but {other} and {path.name} have the same")
        by_stem[path.stem] = path
    return by_stem


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _read(path: Path) -> np.ndarray:
    try:
        encoded = np.fromfile(str(path), np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except OSError as error:
        raise DatasetError(f"image {path}: cannot be read: {error.strerror}") from error
    except cv2.error as error:
        raise DatasetError(f"image {path}: OpenCV cannot read it as an image: {one_line(error)}") from error
    if pixels is None:
        raise DatasetError(f"image {path}: OpenCV cannot read it as an image")
    return np.asarray(pixels)
