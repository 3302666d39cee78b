"""Turn a folder of images into a costmap, without ROS.

The folder needs three things:

    images/*.png    the camera's images, in the order of their names
    camera.json     fx, fy, cx, cy in pixels; x, y, z in metres and roll, pitch, yaw in radians, on the robot
    poses.csv       one line per image: stamp in ns, and the robot's x, y in metres and heading in radians

The costmap is written as costmap.png (white is free, black is lethal) and as costmap.npz. Without a folder, the example
first records a drive through the synthetic street:

    python examples/folder_to_costmap.py
    python examples/folder_to_costmap.py my_drive --weights cityscapes --out result
"""

import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np

from espnet_ros import (
    CameraModel,
    Costmap,
    CostmapSettings,
    ImageSize,
    SyntheticStreet,
    layers_from_table,
    load_segmenter,
    mount_matrix,
    open_frames,
    pose_matrix,
)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="recorded drive (default: record the synthetic street)")
    parser.add_argument("--out", type=Path, default=Path("example_output"), help="folder to write to")
    parser.add_argument("--alpha", type=int, default=3, help="3 (fast), 5 or 8 (accurate)")
    parser.add_argument("--weights", default="street", help="family, checkpoint or file (see espnet_ros.list_weights)")
    parser.add_argument("--backend", default="auto", help="inference backend")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    folder = args.folder or record_street(args.out / "street")
    mount = json.loads((folder / "camera.json").read_text(encoding="utf-8"))
    poses = np.loadtxt(str(folder / "poses.csv"), delimiter=",", ndmin=2)
    base_from_camera = mount_matrix(*(mount[name] for name in ("x", "y", "z", "roll", "pitch", "yaw")))

    with load_segmenter(args.alpha, args.weights, args.backend) as segmenter:
        costmap = Costmap(layers_from_table(segmenter.class_table), CostmapSettings(size=(24.0, 24.0), resolution=0.1))
        for frame, (stamp, x, y, heading) in zip(open_frames(folder / "images"), poses):
            labels = segmenter.segment(frame.image).labels
            costmap.update(
                labels,
                confidence=None,
                camera=CameraModel(ImageSize(*labels.shape), mount["fx"], mount["fy"], mount["cx"], mount["cy"]),
                base_from_camera=base_from_camera,
                odom_from_base=pose_matrix((x, y, 0.0), (0.0, 0.0, math.sin(heading / 2), math.cos(heading / 2))),
                stamp=int(stamp),
            )

    cost = costmap.grid.merged()  # (rows, columns) int8: 0 free or unknown, 1..98 graded, 100 lethal
    cv2.imwrite(str(args.out / "costmap.png"), np.uint8(255 - 2.55 * cost[::-1]))  # row 0 has the smallest y
    np.savez_compressed(
        str(args.out / "costmap.npz"),
        cost=cost,
        layers=np.stack([costmap.grid.occupancy(index) for index in range(len(costmap.layers))]),  # percent, -1 unknown
        layer_names=[layer.name for layer in costmap.layers],
        origin=costmap.grid.origin,  # x, y of the corner of cell (0, 0) in metres
        resolution=costmap.grid.resolution,
    )
    print(f"wrote costmap.png and costmap.npz to {args.out}: {np.count_nonzero(cost == 100)} lethal cells")


def record_street(folder: Path, num_frames: int = 10) -> Path:
    """Record a drive through the synthetic street in the format of this example."""
    street = SyntheticStreet(seed=3, num_frames=num_frames, rate=5.0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    poses = []
    for frame in street.frames():
        cv2.imwrite(str(folder / "images" / f"{frame.index:06d}.png"), frame.image)
        pose = frame.odom_from_base
        poses.append(f"{frame.stamp_ns},{pose[0, 3]},{pose[1, 3]},{math.atan2(pose[1, 0], pose[0, 0])}")
    (folder / "poses.csv").write_text("\n".join(poses), encoding="utf-8")
    camera, mount = street.camera, street.mount
    values = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    values.update(x=mount.x, y=mount.y, z=mount.height, roll=mount.roll, pitch=mount.pitch, yaw=mount.yaw)
    (folder / "camera.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
