"""``espnet_ros segment``: overlays and label images of one image, a folder, a video, or a very large image."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import cv2
import numpy as np
from tqdm import tqdm

from espnet_ros.classes import ClassTable
from espnet_ros.commands.options import ENGINE_OPTIONS, add_command, add_engine_options, build_segmenter, config_from
from espnet_ros.config import NodeConfig, default_of, rule_of
from espnet_ros.errors import DatasetError, ParameterError
from espnet_ros.evaluation.images import DEFAULT_RATE_HZ, IMAGE_SUFFIXES, VideoFile
from espnet_ros.image_encoding import ColorImage
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.overlay import blend_overlay
from espnet_ros.segmenter import Segmenter, engine_summary
from espnet_ros.tiling import TILE_SIDE, default_overlap, fit_tile, label_large_image, plan_tiles
from espnet_ros.types import ImageSize

LABELS_FOLDER = "labels"
OVERLAYS_FOLDER = "overlays"
OVERVIEW_SIDE = 4096
"""Overlays have no longer side, in pixels. A picture is for looking at, and JPEG ends at 65,535."""
AUTO_TILED_PIXELS = 1 << 24
"""``--tiled auto`` tiles images with more pixels: far above what cameras on robots give."""
_PIXEL_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"
_DESCRIPTION = f"""\
Label one image, a folder of images, a video, or a very large image.

Images:  DIR/{LABELS_FOLDER}/NAME.png (8-bit class ids, the image's size) and DIR/{OVERLAYS_FOLDER}/NAME.jpg.
Videos:  DIR/{OVERLAYS_FOLDER}/NAME.mp4; with --frame-labels also DIR/{LABELS_FOLDER}/NAME/frame_000000.png, ...
Files of the same name are replaced, others stay.

An image is resized to the network's input, as the node does it. A very large one goes through in overlapping tiles
at its own resolution, of --input-height x --input-width pixels (default {TILE_SIDE}x{TILE_SIDE}). Overlays have at most
{OVERVIEW_SIDE} pixels a side: of a larger image they are a smaller overview, its labels are in full size."""


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "segment",
        "Label images, videos and very large images: overlays and label images.",
        "espnet_ros segment slide.tif --out result --weights my_weights.safetensors",
    )
    parser.description = _DESCRIPTION
    parser.add_argument("input", type=Path, metavar="INPUT", help="image, folder of images, or video")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--tiled",
        choices=("auto", "always", "never"),
        default="auto",
        help=f"tiles at the image's own resolution: auto is above {AUTO_TILED_PIXELS >> 20} Mi pixels (default: auto)",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        metavar="PIXELS",
        help="that neighbouring tiles share (default: 896, 1072, 1280 for alpha 3, 5, 8: less than 0.1 %% of labels "
        "differ from those of the image in one piece)",
    )
    opacity = default_of("overlay_opacity")
    parser.add_argument("--opacity", type=float, default=opacity, help="of the colours, 0 to 1 (default: %(default)s)")
    parser.add_argument("--frame-labels", action="store_true", help="of a video, write the labels of each frame too")
    add_engine_options(parser, [name for name in ENGINE_OPTIONS if name != "precision"])
    parser.add_argument(
        "--precision",
        choices=rule_of("precision").choices,
        default="fp32",  # bf16 rounds otherwise at another input size: tiles would differ from the image in one piece
        help="arithmetic of the engine; bf16, and auto where the CPU has it, are faster and change about 1 %% of the "
        "labels (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label the input, write the files, and say where they are.

    Raises:
        EspnetError: the input, the engine or an option cannot be used, or a file cannot be written.
    """
    config = replace(config_from(args), overlay_opacity=args.opacity)
    video = _open_video(args.input)
    paths = [] if video is not None else _list_images(args.input)
    labeller = _Labeller(config, args.tiled, args.overlap)
    output = _Output(args.out, args.opacity)
    output.make_folders(args.input)
    try:
        if video is not None:
            count = _segment_video(video, args.input.stem, labeller, output, args.frame_labels)
            print(f"wrote {output.overlays / args.input.stem}.mp4: {count} frames")
        else:
            _segment_images(paths, labeller, output)
            print(f"wrote {len(paths)} images to {output.overlays} and {output.labels}")
    finally:
        labeller.close()
    return 0


class _Labelled(NamedTuple):
    labels: np.ndarray
    class_table: ClassTable


class _Labeller:
    """Labels images whole or in tiles, and builds the engines that this takes when they are first needed."""

    def __init__(self, config: NodeConfig, tiled: str, overlap: Optional[int]) -> None:
        if overlap is not None and overlap < 0:
            raise ParameterError(f"--overlap must be at least 0 pixels, is {overlap}")
        alpha = select_checkpoint(config.weights, config.network, config.alpha).alpha
        self._overlap = default_overlap(alpha) if overlap is None else overlap
        self._config = config
        self._tiled = tiled
        self._tile = ImageSize(config.input_height or TILE_SIDE, config.input_width or TILE_SIDE)
        self._whole: Optional[Segmenter] = None
        self._tiles: Dict[ImageSize, Segmenter] = {}

    def label(self, image: np.ndarray) -> _Labelled:
        """(H, W, 3) uint8 BGR to (H, W) uint8 class ids and what they mean."""
        height, width = image.shape[:2]
        is_tiled = self._tiled == "always" or (self._tiled == "auto" and height * width > AUTO_TILED_PIXELS)
        if not is_tiled:
            self._whole = self._whole or self._build(self._config)
            segmentation = self._whole.segment(image)
            return _Labelled(segmentation.labels, segmentation.class_table)
        size = fit_tile(height, width, self._tile)
        count = len(plan_tiles(height, width, size, self._overlap))
        segmenter = self._segmenter_for(size)
        with tqdm(total=count, unit="tile", desc=f"tiles of {size}", leave=False) as bar:
            labels = label_large_image(image, segmenter, self._overlap, bar.update)
        return _Labelled(labels, segmenter.engine.spec.class_table)

    def close(self) -> None:
        """Free the engines."""
        for segmenter in (self._whole, *self._tiles.values()):
            if segmenter is not None:
                segmenter.close()

    def _segmenter_for(self, size: ImageSize) -> Segmenter:
        if size not in self._tiles:
            for segmenter in self._tiles.values():  # one at a time, as each holds hundreds of megabytes
                segmenter.close()
            self._tiles.clear()
            self._tiles[size] = self._build(replace(self._config, input_height=size.height, input_width=size.width))
        return self._tiles[size]

    @staticmethod
    def _build(config: NodeConfig) -> Segmenter:
        segmenter = build_segmenter(config)
        tqdm.write(f"using {engine_summary(segmenter.engine)}")
        return segmenter


class _Output:
    """Where the files go."""

    def __init__(self, folder: Path, opacity: float) -> None:
        self.labels = folder / LABELS_FOLDER
        self.overlays = folder / OVERLAYS_FOLDER
        self._opacity = opacity

    def make_folders(self, source: Path) -> None:
        """Make them.

        Raises:
            DatasetError: they cannot be made, or the input lies in one of them and would be overwritten.
        """
        read_from = (source if source.is_dir() else source.parent).resolve()
        for folder in (self.labels, self.overlays):
            if folder.resolve() == read_from:
                raise DatasetError(f"--out {folder.parent}: must not hold the input, but {source} lies in {folder}")
            make_folder(folder)

    def write_labels(self, labels: np.ndarray, name: str) -> None:
        """(H, W) uint8 class ids to an 8-bit PNG."""
        _write(self.labels / f"{name}.png", labels)

    def blend(self, image: np.ndarray, labelled: _Labelled) -> np.ndarray:
        """(H, W, 3) uint8 BGR overlay, at most ``OVERVIEW_SIDE`` a side."""
        labels, table = labelled
        height, width = labels.shape
        scale = OVERVIEW_SIDE / max(height, width)
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST))
        overlay = blend_overlay(ColorImage(image, "bgr"), labels, table, self._opacity)
        return np.asarray(cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))

    def write_overlay(self, overlay: np.ndarray, name: str) -> None:
        """(h, w, 3) uint8 BGR to a JPEG."""
        _write(self.overlays / f"{name}.jpg", overlay)


def _segment_images(paths: List[Path], labeller: _Labeller, output: _Output) -> None:
    for path in tqdm(paths, unit="image", desc="segment", disable=len(paths) == 1):
        image = read_image(path)
        labelled = labeller.label(image)
        output.write_labels(labelled.labels, path.stem)
        output.write_overlay(output.blend(image, labelled), path.stem)


def _segment_video(video: VideoFile, name: str, labeller: _Labeller, output: _Output, frame_labels: bool) -> int:
    frames = iter(video)
    start = list(itertools.islice(frames, 2))
    rate = 1e9 / (start[1].stamp_ns - start[0].stamp_ns) if len(start) == 2 else DEFAULT_RATE_HZ
    if frame_labels:
        make_folder(output.labels / name)
    writer = _VideoWriter(output.overlays / f"{name}.mp4", rate)
    count = 0
    try:
        for frame in tqdm(itertools.chain(start, frames), total=len(video) or None, unit="frame", desc="segment"):
            labelled = labeller.label(frame.image)
            writer.write(output.blend(frame.image, labelled))
            if frame_labels:
                output.write_labels(labelled.labels, f"{name}/frame_{count:06d}")
            count += 1
    finally:
        writer.close()
    return count


class _VideoWriter:
    """An MP4 file, opened at the first frame, which gives the size."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._writer: Optional[cv2.VideoWriter] = None

    def write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size)
            if not self._writer.isOpened():
                raise DatasetError(f"video {self._path}: cannot be written as MP4 of {size[1]}x{size[0]} pixels")
        self._writer.write(frame)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 BGR.

    Raises:
        DatasetError: the file is no image, or has more pixels than OpenCV reads.
    """
    try:
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "IO_MAX_IMAGE_PIXELS" not in str(error):
            raise DatasetError(f"image {path}: cannot be read: {error.err}") from error
        raise DatasetError(
            f"image {path}: must have at most 2^30 pixels, which OpenCV reads, unless {_PIXEL_LIMIT} allows more"
        ) from error
    if pixels is None:
        raise DatasetError(f"image {path}: not an image that OpenCV can read")
    return np.asarray(pixels)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, if they are not there.

    Raises:
        DatasetError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"folder {folder}: cannot be made: {error.strerror}") from error


def _write(path: Path, pixels: np.ndarray) -> None:
    try:
        is_written = cv2.imwrite(str(path), pixels)
    except cv2.error as error:
        raise DatasetError(f"image {path}: cannot be written: {error.err}") from error
    if not is_written:
        raise DatasetError(f"image {path}: cannot be written")


def _open_video(path: Path) -> Optional[VideoFile]:
    """The input as a video; None where it is a folder or an image."""
    if not path.exists():
        raise DatasetError(f"input {path}: there is no such file or folder")
    is_image = path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or cv2.haveImageReader(str(path))
    return None if is_image else VideoFile(path)


def _list_images(path: Path) -> List[Path]:
    """An image file alone, or the images of a folder by name."""
    if not path.is_dir():
        return [path]
    paths = sorted(_image_files(path))
    if not paths:
        raise DatasetError(f"input {path}: must hold at least one image ({', '.join(IMAGE_SUFFIXES)}), holds none")
    by_stem: Dict[str, Path] = {}
    for image in paths:
        other = by_stem.setdefault(image.stem, image)
        if other is not image:
            raise DatasetError(f"input {path}: stems must differ, but those of {other.name} and {image.name} do not")
    return paths


def _image_files(folder: Path) -> Iterator[Path]:
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                yield path
    except OSError as error:
        raise DatasetError(f"input {folder}: cannot be listed: {error.strerror}") from error
