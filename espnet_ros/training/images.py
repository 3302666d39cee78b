"""Labelled images in memory, read, checked and resized before training starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from espnet_ros.classes import ClassTable, load_class_table
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import check_label_ids, check_no_mask, present_ids
from espnet_ros.evaluation.images import LABELS_FOLDER, ImageFolder
from espnet_ros.training.config import Source, Sources, SyntheticSource
from espnet_ros.training.streets import draw_streets
from espnet_ros.types import UNLABELLED, ImageSize

HOLD_OUT = "hold_out"
IMAGES_FOLDER = "images"


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size with their labels.

    Attributes:
        name: in reports.
        images: (N, H, W, 3) uint8 BGR.
        labels: (N, H, W) uint8 class ids, 255 unlabelled.
        share: of each batch, relative to other sources; 0 uses the number of images.
    """

    name: str
    images: Tensor
    labels: Tensor
    share: float = 0.0

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> LabelledImages:
        """Return a copy on a device."""
        return LabelledImages(self.name, self.images.to(device), self.labels.to(device), self.share)


@dataclass(frozen=True)
class TrainingImages:
    """Training and validation images of a run.

    Attributes:
        train: one entry per source.
        validation: the first one selects the best weights; held-out training images come last.
    """

    train: Tuple[LabelledImages, ...]
    validation: Tuple[LabelledImages, ...]


def load_images(sources: Sources, table: ClassTable, size: ImageSize, show_progress: bool = False) -> TrainingImages:
    """Read every source into memory.

    Raises:
        DatasetError: a file is missing, cannot be read or breaks a rule; the message names it.
    """
    train: List[LabelledImages] = []
    held_out: List[LabelledImages] = []
    seen: Dict[Source, LabelledImages] = {}
    for source in sources.train:
        loaded, names = _load(source, sources, table, size, show_progress)
        is_held = np.array([name.startswith(sources.hold_out) for name in names])
        if is_held.any():
            held_out.append(_pick(loaded, is_held))
        if is_held.all():
            raise DatasetError(f"images of {loaded.name}: hold_out {list(sources.hold_out)} leaves no training image")
        train.append(_pick(loaded, ~is_held))
    if sources.hold_out and not held_out:
        raise DatasetError(f"hold_out {list(sources.hold_out)}: must be the prefix of a training image, matches none")
    for source in sources.validation:
        seen[source] = _load(source, sources, table, size, show_progress)[0]
    validation = list(seen.values())
    if held_out:
        images, labels = torch.cat([part.images for part in held_out]), torch.cat([part.labels for part in held_out])
        validation.append(LabelledImages(HOLD_OUT, images, labels))
    _require_different_names(validation)
    return TrainingImages(tuple(train), tuple(validation))


def _load(
    source: Source, sources: Sources, table: ClassTable, size: ImageSize, show_progress: bool
) -> Tuple[LabelledImages, List[str]]:
    if source.synthetic is not None:
        name = source.name or "synthetic"
        _require_camvid_classes(table)
        streets = draw_streets(source.synthetic, size, sources.cache, show_progress)
        images = np.concatenate([drawn.images for drawn in streets])
        labels = np.concatenate([drawn.labels for drawn in streets])
        names = _street_names(source.synthetic)
    else:
        name = source.name or Path(source.folder).name
        images, labels, names = _read_folder(Path(source.folder), table, size, name, show_progress)
    ids = present_ids(labels)
    check_no_mask(ids, table, f"{name} ({source.folder})")
    if ids == [UNLABELLED]:
        raise DatasetError(f"labels of {name}: must have at least one labelled pixel, have none")
    if all(label == UNLABELLED or table.classes[label].ignore for label in ids):
        ignored = ", ".join(f"'{row.name}'" for row in table.classes if row.ignore)
        raise DatasetError(
            f"labels of {name}: must have a pixel of a class that counts, have only ignored classes ({ignored})"
        )
    return LabelledImages(name, torch.from_numpy(images), torch.from_numpy(labels), source.share), names


def _read_folder(
    folder: Path, table: ClassTable, size: ImageSize, name: str, show_progress: bool
) -> Tuple[np.ndarray, np.ndarray, List[str]]:
    frames = ImageFolder(folder / IMAGES_FOLDER, folder / LABELS_FOLDER)
    images = np.empty((len(frames), *size, 3), np.uint8)
    labels = np.empty((len(frames), *size), np.uint8)
    names = []
    for index, frame in enumerate(tqdm(frames, desc=f"read {name}", unit="image", disable=not show_progress)):
        truth = frame.labels if frame.labels is not None else np.full(size, UNLABELLED, np.uint8)
        check_label_ids(truth, table, str(folder / LABELS_FOLDER / frame.name))
        images[index], labels[index] = _resize(frame.image, truth, size)
        names.append(frame.name)
    return images, labels, names


def _resize(image: np.ndarray, labels: np.ndarray, size: ImageSize) -> Tuple[np.ndarray, np.ndarray]:
    if image.shape[:2] == tuple(size):
        return image, labels
    shape = (size.width, size.height)
    is_smaller = size.height < image.shape[0]
    image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)
    return image, cv2.resize(labels, shape, interpolation=cv2.INTER_NEAREST)


def _street_names(source: SyntheticSource) -> List[str]:
    seeds = range(source.first_seed, source.first_seed + source.seeds)
    return [f"street{seed}_{index:06d}" for seed in seeds for index in range(source.frames)]


def _pick(images: LabelledImages, chosen: np.ndarray) -> LabelledImages:
    if chosen.all():
        return images
    index = torch.from_numpy(np.flatnonzero(chosen))
    return LabelledImages(images.name, images.images[index], images.labels[index], images.share)


def _require_camvid_classes(table: ClassTable) -> None:
    expected = load_class_table("camvid").names
    if table.names != expected:
        raise DatasetError(
            f"synthetic streets have the classes of table 'camvid' ({', '.join(expected)}), but the config's table "
            f"'{table.name}' has {', '.join(table.names)}"
        )


def _require_different_names(validation: Sequence[LabelledImages]) -> None:
    first: Optional[str] = None
    for name in sorted(part.name for part in validation):
        if name == first:
            raise DatasetError(f"validation sources must have different names, but two are named '{name}'")
        first = name
