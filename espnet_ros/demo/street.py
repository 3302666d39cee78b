"""The default drive of the demo: through the synthetic street, rendered before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

import cv2
import numpy as np

from espnet_ros.classes import FLAT, ClassTable, load_class_table
from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.layers import Layer
from espnet_ros.demo.birdseye import UNSEEN
from espnet_ros.evaluation.frames import Frame
from espnet_ros.synthetic import Mount, StreetFrame, StreetWorld, SyntheticStreet
from espnet_ros.types import UNLABELLED

_STREET_TABLE = "camvid"
_CITYSCAPES_NAMES = {
    "pavement": "sidewalk",
    "tree": "vegetation",
    "sign symbol": "traffic sign",
    "pedestrian": "person",
    "bicyclist": "rider",
}


@dataclass(frozen=True)
class Track:
    """A camera and its path.

    Attributes:
        camera: intrinsics.
        mount: pose of the camera on the base.
        poses: (4, 4) pose of the base in the odometry frame at each frame.
    """

    camera: CameraModel
    mount: Mount
    poses: Sequence[np.ndarray]

    def before(self, index: int, share: float) -> np.ndarray:
        """Return the (4, 4) pose of the base before a frame: ``share`` 0 is at the previous frame, 1 at the frame."""
        start, end = self.poses[max(0, index - 1)], self.poses[index]
        turn, _ = cv2.Rodrigues(start[:3, :3].T @ end[:3, :3])
        pose = np.eye(4)
        pose[:3, :3] = start[:3, :3] @ cv2.Rodrigues(turn * share)[0]
        pose[:3, 3] = (1 - share) * start[:3, 3] + share * end[:3, 3]
        return pose

    def mount_parameters(self) -> Dict[str, float]:
        """Return the mount as parameters of the node."""
        mount = self.mount
        return {
            "camera_x": float(mount.x),
            "camera_y": float(mount.y),
            "camera_z": float(mount.height),
            "camera_roll": float(mount.roll),
            "camera_pitch": float(mount.pitch),
            "camera_yaw": float(mount.yaw),
        }


class StreetDrive:
    """Frames of a drive through the street, rendered before it starts, as rendering would slow the node down.

    Args:
        street: the drive.
        table: class table of the node; true labels have its ids, and 255 for classes that it lacks.
        show: wraps the frames while they are rendered, to show progress.

    Attributes:
        name, has_labels: see ``FrameSource``.
        track: path of the camera.
        world: the street.
    """

    def __init__(
        self,
        street: SyntheticStreet,
        table: ClassTable,
        show: Callable[[Iterable[StreetFrame]], Iterable[StreetFrame]] = iter,
    ) -> None:
        self.name = street.name
        self.has_labels = True
        self.world = street.world
        ids = ids_in_table(table)
        self._frames: List[Frame] = []
        poses: List[np.ndarray] = []
        for frame in show(street.frames()):
            self._frames.append(Frame(f"frame {frame.index}", frame.stamp_ns, frame.image, ids[frame.labels]))
            poses.append(frame.odom_from_base)
        self.track = Track(street.camera, street.mount, poses)

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``."""
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


class StreetTruth:
    """Ground truth of the street's costmaps.

    Args:
        world: the street.
        layers: of the node.
        table: of the node.
    """

    def __init__(self, world: StreetWorld, layers: Sequence[Layer], table: ClassTable) -> None:
        self._world = world
        ids = ids_in_table(table)
        # standing layers overwrite the ground
        order = sorted(enumerate(layers), key=lambda entry: entry[1].kind != FLAT)
        self._members: List[Tuple[int, List[int]]] = [
            (index, [street_id for street_id in range(len(ids)) if ids[street_id] in layer.class_ids])
            for index, layer in order
        ]

    def cells(self, origin: Tuple[float, float], resolution: float, rows: int, columns: int) -> np.ndarray:
        """Return (rows, columns) uint8 index of the true layer, ``UNSEEN`` if the node has none; see ``ClassGrid``."""
        grids = self._world.class_grids(origin, resolution, rows, columns)
        cells = np.full((rows, columns), UNSEEN, np.uint8)
        for index, street_ids in self._members:
            cells[grids[[street_id for street_id in street_ids if street_id < len(grids)]].any(axis=0)] = index
        return cells


def ids_in_table(table: ClassTable) -> np.ndarray:
    """Return a (256,) uint8 lookup from class ids of the street to those of a table; 255 for classes that it lacks.

    The street has the classes of CamVid. Cityscapes classes with another name for the same thing are matched, too.
    """
    ids = np.full(256, UNLABELLED, np.uint8)
    by_name = {row.name: row.id for row in table.classes}
    for row in load_class_table(_STREET_TABLE).classes:
        ids[row.id] = by_name.get(row.name, by_name.get(_CITYSCAPES_NAMES.get(row.name, ""), UNLABELLED))
    return ids
