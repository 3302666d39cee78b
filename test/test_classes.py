import os

import pytest
import yaml
from odd_yaml import BOMB, NOT_YAML

from espnet_ros.classes import load_class_table, parse_class_table
from espnet_ros.errors import MAX_LENGTH, ClassTableError


def _row(**changes):
    return {"id": 0, "name": "road", "color": [1, 2, 3], **changes}


def test_cityscapes_has_19_classes_and_void_in_train_id_order():
    table = load_class_table("cityscapes")
    assert len(table) == 20
    assert table.names[0] == "road" and table.names[13] == "car" and table.names[18] == "bicycle"
    assert table.palette[11].tolist() == [220, 20, 60]
    assert [row.name for row in table.classes if row.ignore] == ["void"]


def test_camvid_has_11_classes_and_void():
    table = load_class_table("camvid")
    assert table.names == [
        "sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian",
        "bicyclist", "void",
    ]  # fmt: skip
    assert table.palette[3].tolist() == [128, 64, 128]


def test_a_users_table_is_read_from_a_file(tmp_path):
    path = tmp_path / "farm.yaml"
    path.write_text(yaml.safe_dump({"classes": [_row(), _row(id=1, name="crop", color=[0, 255, 0])]}))
    table = load_class_table(str(path))
    assert table.name == "farm"
    assert table.names == ["road", "crop"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([_row(), _row(name="lane")], "id 0 is used twice, by 'road' and 'lane'"),
        ([_row(), _row(id=1)], "name 'road' is used twice"),
        ([_row(name="")], "name must be a non-empty text, is ''"),
        ([{"id": 0, "color": [1, 2, 3]}], "name must be a non-empty text, is None"),
        ([_row(color=[1, 2, 256])], "color must be three integers 0..255, is [1, 2, 256]"),
        ([_row(color=[1, 2])], "color must be three integers 0..255, is [1, 2]"),
        ([_row(color=[1, 2, True])], "color must be three integers 0..255, is [1, 2, True]"),
        ([_row(id=255)], "id must be an integer 0..254, is 255"),
        ([_row(id="3")], "id must be an integer 0..254, is '3'"),
        ([_row(), _row(id=2, name="lane")], "without gaps, but [1] are missing"),
        ([_row(ignore="yes")], "ignore must be true or false, is 'yes'"),
        ([5], "must be a mapping with id, name and color, is 5"),
        ([], "'classes' is empty"),
    ],
)
def test_a_bad_table_is_refused_with_the_reason(rows, reason):
    with pytest.raises(ClassTableError) as caught:
        parse_class_table({"classes": rows}, "mine.yaml")
    assert reason in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_table_that_is_not_a_mapping_is_refused():
    with pytest.raises(ClassTableError, match="mapping with a list 'classes'"):
        parse_class_table(["road"], "mine.yaml")


def test_a_missing_file_is_named():
    with pytest.raises(ClassTableError, match=r"/nowhere/mine\.yaml: No such file"):
        load_class_table("/nowhere/mine.yaml")


def test_a_file_that_is_not_yaml_is_refused(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("classes: [")
    with pytest.raises(ClassTableError, match="is not YAML"):
        load_class_table(str(path))


def test_a_table_of_another_size_than_the_network_is_refused():
    with pytest.raises(ClassTableError, match="class table 'camvid' has 12 classes, but the network has 20 outputs"):
        load_class_table("camvid").require_size(20, "the network")


def test_classes_that_share_a_layer_make_one():
    table = load_class_table("cityscapes")
    layers = {row.layer for row in table.classes if row.ground != "none"}
    assert layers == {"road", "sidewalk", "terrain", "structure", "pole", "vegetation", "person", "vehicle"}


def test_a_class_without_ground_keys_has_none():
    (row,) = parse_class_table({"classes": [_row(name="blue sky")]}, "mine.yaml").classes
    assert (row.ground, row.cost) == ("none", 0)


def test_a_layer_is_named_after_its_class_and_standing_things_are_lethal():
    (row,) = parse_class_table({"classes": [_row(name="traffic cone", ground="standing")]}, "mine.yaml").classes
    assert (row.layer, row.cost) == ("traffic_cone", 100)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([_row(ground="wall")], "ground must be one of flat, standing, none, is 'wall'"),
        ([_row(ground="flat", layer="my layer")], "letters, digits and _, is 'my layer'"),
        ([_row(ground="flat", cost=99)], "cost must be an integer 0..98 or 100, is 99"),
        ([_row(ground="flat", cost=-1)], "cost must be an integer 0..98 or 100, is -1"),
        (
            [_row(ground="flat", layer="a"), _row(id=1, name="wall", ground="standing", layer="a")],
            "'road' and 'wall' share layer 'a'",
        ),
    ],
)
def test_ground_keys_that_break_a_rule_are_refused(rows, reason):
    with pytest.raises(ClassTableError) as caught:
        parse_class_table({"classes": rows}, "mine.yaml")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *NOT_YAML,
        (f"{BOMB}classes: [*j]".encode(), "entry 0: must be a mapping with id, name and color, is [[["),
        (b'classes: [{id: 0, name: "r\\e[1m\\nx", color: 3}]', "entry 0 ('r x'): color must be three integers 0..255"),
        (b"classes: [road, other]", "entry 0: must be a mapping with id, name and color, is 'road'"),
        (b"classes: [{id: 0, name: road}]", "entry 0 ('road'): color must be three integers 0..255, is None"),
    ],
)
def test_any_file_that_is_no_table_is_refused_in_one_line(tmp_path, content, reason):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(ClassTableError) as caught:
        load_class_table(str(tmp_path / "mine.yaml"))
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= MAX_LENGTH


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(ClassTableError, match=r"cannot read .*mine\.yaml: not a regular file"):
        load_class_table(str(tmp_path / "mine.yaml"))


def test_a_path_with_a_null_byte_is_refused():
    with pytest.raises(ClassTableError, match="cannot read .*: embedded null byte"):
        load_class_table("a\0b.yaml")


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump({"classes": [_row()]}).encode())
    assert load_class_table(str(tmp_path / "mine.yaml")).names == ["road"]
