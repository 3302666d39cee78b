"""The files of `espnet_ros segment`: images and videos to read, labels and overlays to write."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Optional

import cv2
import numpy as np

from espnet_ros.classes import ClassTable
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.images import IMAGE_SUFFIXES, VideoFile, opencv_name
from espnet_ros.image_encoding import ColorImage
from espnet_ros.overlay import blend_overlay

LABELS_FOLDER = "labels"
OVERLAYS_FOLDER = "overlays"
OVERVIEW_SIDE = 4096
"""Longest side of an overlay in pixels. Overlays are for viewing, and JPEG is limited to 65,535."""
_PIXEL_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"


class OutputFolders:
    """The folders of the output: labels and overlays."""

    def __init__(self, folder: Path, opacity: float) -> None:
        self.labels = folder / LABELS_FOLDER
        self.overlays = folder / OVERLAYS_FOLDER
        self._opacity = opacity

    def make_folders(self, source: Path) -> None:
        """Create the folders.

        Raises:
            DatasetError: a folder cannot be created, or contains the input, which would be overwritten.
        """
        read_from = (source if source.is_dir() else source.parent).resolve()
        for folder in (self.labels, self.overlays):
            if folder.resolve() == read_from:
                raise DatasetError(f"--out {folder.parent}: must not contain the input, but {source} is in {folder}")
            make_folder(folder)

    def write_labels(self, labels: np.ndarray, name: str) -> None:
        """Write (H, W) uint8 class ids as an 8-bit PNG."""
        _write(self.labels / f"{name}.png", labels)

    def blend(self, image: np.ndarray, labels: np.ndarray, table: ClassTable) -> np.ndarray:
        """Return the overlay, (h, w, 3) uint8 BGR, at most `OVERVIEW_SIDE` pixels on its longer side."""
        height, width = labels.shape
        scale = OVERVIEW_SIDE / max(height, width)
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST))
        overlay = blend_overlay(ColorImage(image, "bgr"), labels, table, self._opacity)
        return np.asarray(cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))

    def write_overlay(self, overlay: np.ndarray, name: str) -> None:
        """Write an overlay, (h, w, 3) uint8 BGR, as a JPEG."""
        _write(self.overlays / f"{name}.jpg", overlay)


class VideoWriter:
    """Writes an MP4 file, which takes its size from the first frame."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._writer: Optional[cv2.VideoWriter] = None

    def write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            name = opencv_name(self._path, f"video {self._path}")
            self._writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size)
            if not self._writer.isOpened():
                raise DatasetError(f"video {self._path}: cannot be written as MP4 of {size[1]}x{size[0]} pixels")
        self._writer.write(frame)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


def read_image(path: Path) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 BGR.

    Raises:
        DatasetError: the file is not an image or has more pixels than OpenCV reads.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)  # OpenCV opens no file whose name is not UTF-8
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except OSError as error:
        raise DatasetError(f"image {path}: cannot be read: {error.strerror}") from error
    except cv2.error as error:
        if "IO_MAX_IMAGE_PIXELS" not in str(error):
            raise DatasetError(f"image {path}: cannot be read: {error.err}") from error
        raise DatasetError(
            f"image {path}: must have at most 2^30 pixels, the limit of OpenCV; {_PIXEL_LIMIT} raises it"
        ) from error
    if pixels is None:
        raise DatasetError(f"image {path}: not an image that OpenCV can read")
    return np.asarray(pixels)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if they do not exist.

    Raises:
        DatasetError: a folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"folder {folder}: cannot be created: {error.strerror}") from error


def _write(path: Path, pixels: np.ndarray) -> None:
    try:
        is_encoded, data = cv2.imencode(path.suffix, pixels)
        if not is_encoded:
            raise DatasetError(f"image {path}: cannot be written as {path.suffix}")
        path.write_bytes(data.tobytes())
    except cv2.error as error:
        raise DatasetError(f"image {path}: cannot be written: {error.err}") from error
    except OSError as error:
        raise DatasetError(f"image {path}: cannot be written: {error.strerror}") from error


def open_video(path: Path) -> Optional[VideoFile]:
    """Return the input as a video, or None if it is a folder or an image."""
    if not path.exists():
        raise DatasetError(f"input {path}: no such file or folder")
    is_image = path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES
    is_image = is_image or cv2.haveImageReader(opencv_name(path, f"input {path}"))
    return None if is_image else VideoFile(path)


def list_images(path: Path) -> List[Path]:
    """Return an image file as a list, or the images of a folder sorted by name."""
    if not path.is_dir():
        return [path]
    paths = sorted(_image_files(path))
    if not paths:
        raise DatasetError(f"input {path}: must contain at least one image ({', '.join(IMAGE_SUFFIXES)})")
    by_stem: Dict[str, Path] = {}
    for image in paths:
        other = by_stem.setdefault(image.stem, image)
        if other is not image:
            raise DatasetError(
                f"input {path}: {other.name} and {image.name} have the same stem, so the same output name"
            )
    return paths


def _image_files(folder: Path) -> Iterator[Path]:
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                yield path
    except OSError as error:
        raise DatasetError(f"input {folder}: cannot be listed: {error.strerror}") from error
