"""Frames from a folder of images, and from a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Optional

import cv2
import numpy as np

from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import FIRST_STAMP_NS, Frame, check_labels

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
LABELS_FOLDER = "labels"
DEFAULT_RATE_HZ = 15.0


class ImageFolder:
    """Images of a folder in the order of their names, with labels of the same stem from another folder.

    Args:
        images: folder of images.
        labels: folder of label images, whatever their suffix; None for none.
        rate: the frames' stamps are ``1 / rate`` seconds apart.

    Raises:
        DatasetError: a folder is missing or empty, two files have one stem, or an image has no label image.
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
                    f"image {missing[0]}{more}: every image needs a label image of the same stem, none in {labels}"
                )

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``."""
        for index, (stem, path) in enumerate(self._images.items()):
            image = _read(path, cv2.IMREAD_COLOR, "image")
            labels = None
            if self.has_labels:
                labels = _read(self._labels[stem], cv2.IMREAD_UNCHANGED, "label image")
                check_labels(labels, image, str(self._labels[stem]))
            yield Frame(stem, FIRST_STAMP_NS + round(index * 1e9 / self._rate), image, labels)


class VideoFile:
    """Frames of a video file, at the video's own rate.

    Raises:
        DatasetError: the file is missing, is no video, or has no frame.
    """

    has_labels = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        capture = self._open()
        self._rate = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE_HZ
        self._claimed = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        has_frame, _ = capture.read()
        capture.release()
        if not has_frame:
            raise DatasetError(f"video {path}: must have at least one frame, has none")

    def __len__(self) -> int:
        return self._claimed

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
            raise DatasetError(f"video {self.name}: there is no such file")
        capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            raise DatasetError(f"video {self.name}: not a video that OpenCV can read")
        return capture


def sibling_labels(images: Path) -> Optional[Path]:
    """Folder ``labels`` beside a folder of images, or None."""
    folder = images.expanduser().resolve().parent / LABELS_FOLDER
    return folder if folder.is_dir() and folder != images.resolve() else None


def _list_images(folder: Path, what: str) -> Dict[str, Path]:
    """Stem to path, in the order of the names."""
    try:
        paths: List[Path] = sorted(path for path in folder.expanduser().iterdir() if _is_image(path))
    except OSError as error:
        raise DatasetError(f"{what} {folder}: cannot be listed: {error.strerror}") from error
    if not paths:
        raise DatasetError(f"{what} {folder}: must hold at least one image ({', '.join(IMAGE_SUFFIXES)}), holds none")
    by_stem: Dict[str, Path] = {}
    for path in paths:
        if path.stem in by_stem:
            other = by_stem[path.stem].name
            raise DatasetError(f"{what} {folder}: stems must differ, but those of {other} and {path.name} do not")
        by_stem[path.stem] = path
    return by_stem


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _read(path: Path, flags: int, what: str) -> np.ndarray:
    try:
        encoded = np.fromfile(str(path), np.uint8)
    except OSError as error:
        raise DatasetError(f"{what} {path}: cannot be read: {error.strerror}") from error
    pixels = cv2.imdecode(encoded, flags) if encoded.size else None
    if pixels is None:
        raise DatasetError(f"{what} {path}: not an image that OpenCV can read")
    return np.asarray(pixels)
