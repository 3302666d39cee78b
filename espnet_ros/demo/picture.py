"""Write one frame of a drive as a picture: camera image, overlay and costmap side by side."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import cv2
import numpy as np

from espnet_ros.demo.costmaps import CostmapReport
from espnet_ros.demo.drive import DriveReport
from espnet_ros.errors import DatasetError

_WIDTH, _GAP = 1200, 6
_JPEG_QUALITY = 85


def write_picture(report: DriveReport, costmaps: Optional[CostmapReport], path: Path, share: float = 0.5) -> Path:
    """Write one sample of a drive: camera image, overlay and, if there is one, costmap side by side.

    Args:
        report: of the drive, with at least one sample.
        costmaps: of the drive; None if there are none.
        path: a .jpg or .png file.
        share: position of the sample in the drive, 0..1.

    Returns:
        The path.

    Raises:
        DatasetError: the file cannot be written.
    """
    sample = report.samples[round(share * (len(report.samples) - 1))]
    parts = [sample.image, sample.overlay]
    if costmaps is not None:
        parts.append(costmaps.views[sample.name].costmap)
    row = cv2.cvtColor(_side_by_side(parts), cv2.COLOR_RGB2BGR)
    try:
        # OpenCV raises its own error for an unknown suffix.
        _, encoded = cv2.imencode(path.suffix, row, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        path.write_bytes(encoded.tobytes())
    except (OSError, cv2.error) as error:
        raise DatasetError(f"picture {path}: must be a writable .jpg or .png file: {error}") from error
    return path


def _side_by_side(parts: List[np.ndarray]) -> np.ndarray:
    """Resize (h, w, 3) pictures of one shape to a row 1200 pixels wide, with white gaps."""
    width = (_WIDTH - _GAP * (len(parts) - 1)) // len(parts)
    height = round(width * parts[0].shape[0] / parts[0].shape[1])
    row: List[np.ndarray] = []
    for part in parts:
        row += [
            np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)),
            np.full((height, _GAP, 3), 255, np.uint8),
        ]
    return np.hstack(row[:-1])
