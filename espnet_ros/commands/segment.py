"""`espnet_ros segment`: label an image, a folder of images, a video, or a very large image."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from espnet_ros.classes import ClassTable
from espnet_ros.commands.options import ENGINE_OPTIONS, add_command, add_engine_options, config_from
from espnet_ros.commands.segment_files import (
    LABELS_FOLDER,
    OVERLAYS_FOLDER,
    OVERVIEW_SIDE,
    OutputFolders,
    VideoWriter,
    list_images,
    make_folder,
    open_video,
    read_image,
)
from espnet_ros.config import NodeConfig, default_of, rule_of
from espnet_ros.errors import ParameterError
from espnet_ros.evaluation.images import DEFAULT_RATE_HZ, VideoFile
from espnet_ros.loading import build_segmenter
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.segmenter import Segmenter, engine_summary
from espnet_ros.tiling import TILE_SIDE, default_overlap, fit_tile, label_large_image, plan_tiles
from espnet_ros.types import ImageSize

AUTO_TILED_PIXELS = 1 << 24
"""``--tiled auto`` tiles images with more pixels than this, far more than robot cameras have."""
_DESCRIPTION = f"""\
Label one image, a folder of images, a video, or a very large image.

Images:  DIR/{LABELS_FOLDER}/NAME.png (8-bit class ids, the image's size) and DIR/{OVERLAYS_FOLDER}/NAME.jpg.
Videos:  DIR/{OVERLAYS_FOLDER}/NAME.mp4; with --frame-labels also DIR/{LABELS_FOLDER}/NAME/frame_000000.png, ...
Existing files of the same name are replaced.

Images are resized to the network's input size, as in the node. Very large images are processed at full resolution in
overlapping tiles of --input-height x --input-width pixels (default {TILE_SIDE}x{TILE_SIDE}). Overlays are reduced to at
most {OVERVIEW_SIDE} pixels per side; labels always have the size of the image."""


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "segment",
        "Label images, videos and very large images; write label images and overlays.",
        "espnet_ros segment slide.tif --out result --weights my_weights.safetensors",
    )
    parser.description = _DESCRIPTION
    parser.add_argument("input", type=Path, metavar="INPUT", help="image, folder of images, or video")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--tiled",
        choices=("auto", "always", "never"),
        default="auto",
        help="process images in tiles at full resolution; auto tiles images with more than "
        f"{AUTO_TILED_PIXELS >> 20} Mi pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        metavar="PIXELS",
        help="overlap of neighbouring tiles (default: 896, 1072, 1280 for alpha 3, 5, 8, with which less than 0.1 %% "
        "of the labels differ from those of the untiled image)",
    )
    opacity = default_of("overlay_opacity")
    parser.add_argument(
        "--opacity", type=float, default=opacity, help="of the class colours, 0 to 1 (default: %(default)s)"
    )
    parser.add_argument("--frame-labels", action="store_true", help="also write the labels of each video frame")
    add_engine_options(parser, [name for name in ENGINE_OPTIONS if name != "precision"])
    parser.add_argument(
        "--precision",
        choices=rule_of("precision").choices,
        default="fp32",  # bf16 rounding depends on the input size, so tiles would differ from the untiled image
        help="arithmetic of the engine; bf16 (and auto, on CPUs that support bf16) is faster and changes about 1 %% of "
        "the labels (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label the input, write the files and print their folders.

    Raises:
        EspnetError: the input, the engine or an option cannot be used, or a file cannot be written.
    """
    config = replace(config_from(args), overlay_opacity=args.opacity)
    video = open_video(args.input)
    paths = [] if video is not None else list_images(args.input)
    labeller = _Labeller(config, args.tiled, args.overlap)
    output = OutputFolders(args.out, args.opacity)
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
    """Labels images whole or in tiles. Builds each engine when it is first needed."""

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
        """Label an image, (H, W, 3) uint8 BGR. Return (H, W) uint8 class ids and their class table."""
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
        return _Labelled(labels, segmenter.class_table)

    def close(self) -> None:
        """Free the engines."""
        for segmenter in (self._whole, *self._tiles.values()):
            if segmenter is not None:
                segmenter.close()

    def _segmenter_for(self, size: ImageSize) -> Segmenter:
        if size not in self._tiles:
            for segmenter in self._tiles.values():  # keep one at a time: each takes hundreds of megabytes
                segmenter.close()
            self._tiles.clear()
            self._tiles[size] = self._build(replace(self._config, input_height=size.height, input_width=size.width))
        return self._tiles[size]

    @staticmethod
    def _build(config: NodeConfig) -> Segmenter:
        segmenter = build_segmenter(config, show_progress=True)
        tqdm.write(f"using {engine_summary(segmenter.engine)}")
        return segmenter


def _segment_images(paths: List[Path], labeller: _Labeller, output: OutputFolders) -> None:
    for path in tqdm(paths, unit="image", desc="segment", disable=len(paths) == 1):
        image = read_image(path)
        labelled = labeller.label(image)
        output.write_labels(labelled.labels, path.stem)
        output.write_overlay(output.blend(image, labelled.labels, labelled.class_table), path.stem)


def _segment_video(video: VideoFile, name: str, labeller: _Labeller, output: OutputFolders, frame_labels: bool) -> int:
    frames = iter(video)
    start = list(itertools.islice(frames, 2))
    rate = 1e9 / (start[1].stamp_ns - start[0].stamp_ns) if len(start) == 2 else DEFAULT_RATE_HZ
    if frame_labels:
        make_folder(output.labels / name)
    writer = VideoWriter(output.overlays / f"{name}.mp4", rate)
    count = 0
    try:
        for frame in tqdm(itertools.chain(start, frames), total=len(video) or None, unit="frame", desc="segment"):
            labelled = labeller.label(frame.image)
            writer.write(output.blend(frame.image, labelled.labels, labelled.class_table))
            if frame_labels:
                output.write_labels(labelled.labels, f"{name}/frame_{count:06d}")
            count += 1
    finally:
        writer.close()
    return count
