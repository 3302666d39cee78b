import numpy as np
import pytest
from scene import BOX, GRASS, PERSON, ROAD, SKY, TABLE, Box, mount, render

from espnet_ros.classes import load_class_table
from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.layers import EvidenceExtractor, layers_from_table
from espnet_ros.costmap.projection import build_view
from espnet_ros.types import ImageSize

CAMERA = CameraModel(ImageSize(240, 320), 220.0, 220.0, 159.5, 119.5)
LAYERS = layers_from_table(TABLE)
ROAD_LAYER, GRASS_LAYER, BOX_LAYER, PERSON_LAYER = range(4)


def _extract(boxes=(), pose=None, change=None, confidence=None, **settings):
    pose = mount(pitch=10) if pose is None else pose
    view = build_view(CAMERA, pose, 0.1, 0.5, 12.0)
    labels = render(CAMERA, pose, boxes)
    if change is not None:
        change(labels)
    return EvidenceExtractor(LAYERS, **settings).extract(view, labels, confidence)


def test_layers_follow_the_class_table():
    assert [(layer.name, layer.class_ids, layer.kind, layer.cost) for layer in LAYERS] == [
        ("road", (ROAD,), "flat", 0),
        ("grass", (GRASS,), "flat", 50),
        ("box", (BOX,), "standing", 100),
        ("person", (PERSON,), "standing", 100),
    ]


def test_classes_of_one_layer_are_put_together():
    layers = {layer.name: layer for layer in layers_from_table(load_class_table("camvid"))}
    assert layers["person"].class_ids == (9, 10)
    assert layers["pole"].class_ids == (2, 6)
    assert "sky" not in layers


def test_ground_is_road_within_its_edges_and_grass_beyond():
    evidence = _extract()
    is_road = np.abs(evidence.y) < 3.0
    away_from_edges = np.abs(np.abs(evidence.y) - 3.0) > 0.1
    assert (evidence.layer[is_road & away_from_edges] == ROAD_LAYER).all()
    assert (evidence.layer[~is_road & away_from_edges] == GRASS_LAYER).all()
    assert len(evidence.contact_x) == 0


@pytest.mark.parametrize(("pitch", "roll", "height"), [(10, 0, 1.4), (0, 5, 1.4), (-5, -5, 0.6), (20, 5, 2.5)])
def test_a_box_touches_the_ground_along_its_front(pitch, roll, height):
    evidence = _extract([Box(6.0, 8.0, -1.0, 1.0, 1.5)], mount(height, pitch, roll))
    assert len(evidence.contact_x) > 10
    assert np.percentile(np.abs(evidence.contact_x - 6.0), 95) < 0.15
    assert evidence.contact_x.max() < 6.5
    assert evidence.contact_y.min() == pytest.approx(-1.0, abs=0.1)
    assert evidence.contact_y.max() == pytest.approx(1.0, abs=0.1)
    assert set(evidence.contact_layer) == {BOX_LAYER}
    assert set(evidence.contact_label) == {BOX}


def test_what_a_box_hides_is_not_seen():
    evidence = _extract([Box(5.0, 6.0, -1.0, 1.0, 3.0)])
    behind = (evidence.x > 5.3) & (np.abs(evidence.y / evidence.x) < 0.18)
    assert not behind.any()


def test_ground_behind_a_low_box_is_seen_again():
    # from 1.4 m, a box 0.5 m high from 4 m to 4.2 m hides the ground up to 4.2 * 1.4 / 0.9 = 6.53 m
    evidence = _extract([Box(4.0, 4.2, -1.0, 1.0, 0.5)])
    ahead = evidence.x[np.abs(evidence.y) < 0.5]
    assert not ((ahead > 4.15) & (ahead < 6.4)).any()
    assert ((ahead > 6.7) & (ahead < 7.0)).any()
    assert np.abs(evidence.contact_x - 4.0).max() < 0.1


def test_a_thing_whose_foot_is_hidden_by_another_has_no_contact():
    evidence = _extract([Box(5.0, 6.0, -1.0, 1.0, 1.0), Box(7.0, 7.5, -0.5, 0.5, 1.9, PERSON)])
    assert set(evidence.contact_label) == {BOX}


@pytest.mark.parametrize("height", [0.6, 1.4, 2.5])
def test_a_long_wall_close_beside_the_robot_touches_the_ground_all_along(height):
    evidence = _extract([Box(1.0, 12.0, -1.2, -1.0, 1.0)], mount(height, pitch=15, yaw=-20))
    assert np.median(np.abs(evidence.contact_y + 1.0)) < 0.06
    assert {2, 3, 4, 5, 6} <= set(np.floor(evidence.contact_x).astype(int).tolist())


def test_what_lies_outside_the_image_has_no_label():
    # as near as the image shows the ground: just in front of the box it ends
    def corner(labels):
        labels[0, 0] = BOX

    box = Box(1.95, 2.5, -0.6, 0.6, 1.2)
    plain, changed = _extract([box]), _extract([box], change=corner)
    assert len(plain.contact_x) > 10
    assert plain.contact_x.tolist() == changed.contact_x.tolist()


def test_a_thing_that_fills_the_bottom_of_the_image_has_no_contact_in_view():
    evidence = _extract([Box(0.8, 1.2, -4.0, 4.0, 1.3)])
    assert len(evidence.contact_x) == 0


def test_an_arm_held_out_touches_no_ground():
    # a person 3 m ahead, and an arm at 1 m height that reaches 0.3 m to the left, with ground showing under it
    foot = Box(3.0, 3.2, -0.6, -0.2, 1.3, PERSON)
    wheel = Box(3.0, 3.2, -0.2, 0.2, 0.4, PERSON)

    def arm(labels):
        labels[labels.shape[0] // 2 + 8 : labels.shape[0] // 2 + 16, 150:176] = PERSON

    evidence = _extract([foot, wheel], change=arm)
    person = evidence.contact_label == PERSON
    assert np.count_nonzero(person) > 10
    assert evidence.contact_x[person].max() < 3.4
    # without the person beside it, what hangs over the wheel is a thing of its own
    alone = _extract([wheel], change=arm)
    assert alone.contact_x.max() > 5.0


def test_a_speck_is_no_obstacle():
    def speck(labels):
        labels[200:202, 160] = BOX

    assert len(_extract(change=speck).contact_x) == 0


def test_a_thin_post_is_an_obstacle():
    evidence = _extract([Box(7.0, 7.08, 0.5, 0.58, 1.2)])
    assert len(evidence.contact_x) >= 1
    assert evidence.contact_x.mean() == pytest.approx(7.0, abs=0.15)


def test_uncertain_pixels_say_nothing():
    confidence = np.full((240, 320), 200, np.uint8)
    confidence[:, :160] = 100
    evidence = _extract([Box(6.0, 8.0, -1.0, 1.0, 1.5)], confidence=confidence, min_confidence=0.5)
    # the left half of the image looks to the left, where y is positive
    assert evidence.y.max() < 0.1
    assert evidence.contact_y.max() < 0.1
    assert set(evidence.contact_confidence) == {200}


def test_sky_and_labels_outside_the_table_say_nothing():
    def wipe(labels):
        labels[:, :160] = 255
        labels[:, 160:] = SKY

    evidence = _extract(change=wipe)
    assert len(evidence.x) == len(evidence.contact_x) == 0
