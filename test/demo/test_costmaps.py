import math

import numpy as np
import pytest

from espnet_ros.classes import load_class_table
from espnet_ros.costmap.layers import layers_from_table
from espnet_ros.demo.costmaps import CostmapRecorder
from espnet_ros.demo.street import StreetDrive, StreetTruth, Track, ids_in_table
from espnet_ros.synthetic import Mount, SyntheticStreet, default_camera
from espnet_ros.synthetic.classes import CAR, PAVEMENT, PEDESTRIAN, ROAD, SKY, TREE, VOID
from espnet_ros.types import ImageSize

CAMVID, CITYSCAPES = load_class_table("camvid"), load_class_table("cityscapes")
SIZE = ImageSize(24, 32)
CELLS, RESOLUTION = 260, 0.1


@pytest.fixture(scope="module")
def street():
    return SyntheticStreet(3, 3, 10.0, 5.0, default_camera(SIZE))


@pytest.fixture(scope="module")
def drive(street):
    return StreetDrive(street, CAMVID)


def _percent(cells, num_layers):
    """Layers that are certain of the cells."""
    return np.where(cells == np.arange(num_layers)[:, None, None], 98, 2).astype(np.int8)


def _origin(pose):
    return tuple(math.floor(value / RESOLUTION) * RESOLUTION - 13.0 for value in pose[:2, 3])


def _played(drive, change=lambda cells: cells, answered=(0, 1, 2)):
    """A recorder that got the true costmaps, changed in some way."""
    recorder = CostmapRecorder(drive.track, drive.world, CAMVID)
    layers = layers_from_table(CAMVID)
    truth = StreetTruth(drive.world, layers, CAMVID)
    for index, frame in enumerate(drive):
        recorder.record_sent(frame.name, 100 + index)
        if index in answered:
            origin = _origin(drive.track.poses[index])
            cells = change(truth.cells(origin, RESOLUTION, CELLS, CELLS))
            recorder.record_layers(100 + index, _percent(cells, len(layers)), origin, RESOLUTION)
    return recorder


def test_true_costmaps_have_an_iou_of_one(drive):
    report = _played(drive).report(["frame 1"])
    assert (report.sent, report.answered) == (3, 3)
    assert report.layer_iou == {"road": 1.0, "pavement": 1.0}
    assert report.map_iou == {"road": 1.0, "pavement": 1.0}
    assert list(report.views) == ["frame 1"]
    view = report.views["frame 1"]
    assert view.costmap.shape == view.truth.shape == (480, 640, 3)
    assert np.array_equal(view.costmap, view.truth)
    assert report.route.shape == report.true_route.shape


def test_swapped_layers_have_an_iou_of_zero(drive):
    names = [layer.name for layer in layers_from_table(CAMVID)]
    road, pavement = names.index("road"), names.index("pavement")
    swap = np.arange(256, dtype=np.uint8)
    swap[[road, pavement]] = pavement, road
    assert _played(drive, lambda cells: swap[cells]).report([]).layer_iou == {"road": 0.0, "pavement": 0.0}


def test_cells_outside_of_two_to_twelve_metres_ahead_do_not_count(drive):
    def change(cells):
        rows, columns = (np.indices(cells.shape) - CELLS / 2 + 0.5) * RESOLUTION
        distance = np.hypot(rows, columns)
        # the first metres of this street run along x
        return np.where((columns > -0.2) & (distance > 1.8) & (distance < 12.2), cells, 0).astype(np.uint8)

    assert _played(drive, change).report([]).layer_iou == {"road": 1.0, "pavement": 1.0}
    assert _played(drive, change).report([]).map_iou["road"] < 1.0


def test_a_frame_without_a_costmap_is_shown_as_unseen(drive):
    report = _played(drive, answered=(0,)).report(["frame 2"])
    assert (report.sent, report.answered) == (3, 1)
    assert report.views["frame 2"].costmap[300, 200].tolist() == [172, 177, 185]


def test_a_costmap_of_an_unknown_stamp_is_not_counted(drive):
    recorder = _played(drive, answered=())
    recorder.record_layers(7, np.full((len(recorder.layer_names), 4, 4), -1, np.int8), (0.0, 0.0), 0.1)
    report = recorder.report([])
    assert recorder.answered == report.answered == 0
    assert report.route is None
    assert report.layer_iou == {"road": None, "pavement": None}


def test_the_node_is_told_the_mount():
    track = Track(default_camera(SIZE), Mount(1.2, 0.1, 0.2, 0.3, 0.4, 0.5), [np.eye(4)])
    assert track.mount_parameters() == {
        "camera_x": 0.4,
        "camera_y": 0.5,
        "camera_z": 1.2,
        "camera_roll": 0.2,
        "camera_pitch": 0.1,
        "camera_yaw": 0.3,
    }


def test_poses_on_the_way_are_between_those_of_the_frames():
    turned = np.eye(4)
    turned[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    turned[:3, 3] = 2.0, 4.0, 0.0
    track = Track(default_camera(SIZE), Mount(), [np.eye(4), turned])
    half = track.before(1, 0.5)
    assert half[:3, 3].tolist() == [1.0, 2.0, 0.0]
    assert half[:2, 0] == pytest.approx([math.sqrt(0.5), math.sqrt(0.5)])
    assert np.allclose(track.before(1, 1.0), turned)
    assert np.allclose(track.before(0, 0.3), np.eye(4))


def test_labels_of_the_street_are_told_in_the_ids_of_the_table(street):
    assert ids_in_table(CAMVID)[: VOID + 1].tolist() == list(range(12))
    ids = ids_in_table(CITYSCAPES)
    names = {street_id: CITYSCAPES.classes[ids[street_id]].name for street_id in (SKY, ROAD, PAVEMENT, TREE, CAR)}
    assert names == {SKY: "sky", ROAD: "road", PAVEMENT: "sidewalk", TREE: "vegetation", CAR: "car"}
    assert CITYSCAPES.classes[ids[PEDESTRIAN]].name == "person"
    frame = next(iter(StreetDrive(street, CITYSCAPES)))
    assert 0 in frame.labels  # Cityscapes' road


def test_a_drive_is_drawn_once(drive):
    assert len(drive) == len(list(drive)) == len(drive.track.poses) == 3
    assert [id(frame) for frame in drive] == [id(frame) for frame in drive]
