import os

import pytest
from fake_board.tx2 import CONF
from odd_yaml import BOMB, NOT_YAML

from espnet_ros.board.nvpmodel import Mode, ModeTable, parse_table
from espnet_ros.board.profile_file import known_profiles, load_profiles, parse_profiles
from espnet_ros.board.profiles import BUILT_IN, PowerProfile, board_mode, find_profile, resolve_mode
from espnet_ros.config import NodeConfig
from espnet_ros.errors import PowerError

TX2 = parse_table(CONF)


def _table(*names, default=0):
    return ModeTable(tuple(Mode(index, name) for index, name in enumerate(names)), default)


AGX_XAVIER = _table(
    "MAXN", "MODE_10W", "MODE_15W", "MODE_30W_ALL", "MODE_30W_6CORE", "MODE_30W_4CORE", "MODE_30W_2CORE",
    "MODE_15W_DESKTOP", default=2,
)  # fmt: skip
XAVIER_NX = _table(
    "MODE_15W_2CORE", "MODE_15W_4CORE", "MODE_15W_6CORE", "MODE_10W_2CORE", "MODE_10W_4CORE", "MODE_10W_DESKTOP",
    "MODE_20W_2CORE", "MODE_20W_4CORE", "MODE_20W_6CORE", default=2,
)  # fmt: skip
AGX_ORIN = _table("MAXN", "MODE_15W", "MODE_30W", "MODE_50W", default=2)
ORIN_NX = _table("MAXN", "10W", "15W", "25W", default=2)
ORIN_NANO = _table("15W", "7W")
ORIN_NANO_SUPER = _table("15W", "25W", "MAXN_SUPER", "7W", default=1)


@pytest.mark.parametrize(
    ("table", "max_q", "max_p", "max_n", "balanced"),
    [
        (TX2, "MAXQ", "MAXP_CORE_ARM", "MAXN", "MAXP_CORE_ARM"),
        (AGX_XAVIER, "MODE_15W", "MODE_30W_ALL", "MAXN", "MODE_15W"),
        (XAVIER_NX, "MODE_10W_4CORE", "MODE_15W_6CORE", "MODE_20W_6CORE", "MODE_15W_6CORE"),
        (AGX_ORIN, "MODE_15W", "MODE_30W", "MAXN", "MODE_30W"),
        (ORIN_NX, "10W", "25W", "MAXN", "15W"),
        (ORIN_NANO, "7W", "15W", "15W", "15W"),
        (ORIN_NANO_SUPER, "7W", "25W", "MAXN_SUPER", "25W"),
    ],
    ids=["tx2", "agx_xavier", "xavier_nx", "agx_orin", "orin_nx", "orin_nano", "orin_nano_super"],
)
def test_a_name_stands_for_the_nearest_mode_of_each_board(table, max_q, max_p, max_n, balanced):
    found = [resolve_mode(name, table).name for name in ("max_q", "max_p", "max_n", "balanced")]
    assert found == [max_q, max_p, max_n, balanced]


@pytest.mark.parametrize(("name", "mode_id"), [("max_p_all", 2), ("max_p_arm", 3), ("max_p_denver", 4)])
def test_a_tx2_has_its_three_max_p_modes(name, mode_id):
    assert resolve_mode(name, TX2).id == mode_id


@pytest.mark.parametrize(("text", "mode_id"), [("MAX-Q", 1), ("Max_N", 0), ("maxp_core_denver", 4), ("2", 2)])
def test_capitals_do_not_matter_and_the_boards_own_names_and_ids_work(text, mode_id):
    assert resolve_mode(text, TX2).id == mode_id


def test_the_boards_own_mode_leaves_the_node_as_it_is():
    profile = find_profile("MAXQ", BUILT_IN, TX2)
    assert profile.parameters() == {}
    assert profile.jetson_clocks is None


def test_an_unknown_name_lists_the_profiles_and_the_boards_modes():
    with pytest.raises(PowerError) as refused:
        find_profile("turbo", BUILT_IN, TX2)
    said = str(refused.value)
    assert said.startswith("there is no power mode 'turbo'; profiles: max_q, ")
    assert said.endswith("MAXP_CORE_ARM (3), MAXP_CORE_DENVER (4)")


def test_a_mode_that_the_board_lacks_lists_those_it_has():
    with pytest.raises(
        PowerError, match=r"'max_p_denver' \(built in\) needs MAXP_CORE_DENVER, .* has only 15W \(0\), 7W"
    ):
        resolve_mode("max_p_denver", ORIN_NANO)


def test_a_default_that_the_table_does_not_name_is_refused():
    with pytest.raises(PowerError, match="'balanced' .* needs default"):
        resolve_mode("balanced", ModeTable((Mode(0, "MAXN"),), None))


def test_off_a_jetson_a_profile_still_has_its_node_part():
    profile = find_profile("max_q", BUILT_IN, ModeTable())
    assert profile.parameters() == {"alpha": 3, "max_rate": 5.0, "threads": 2}


def test_off_a_jetson_a_boards_mode_is_unknown():
    with pytest.raises(PowerError, match="modes of the board: none"):
        find_profile("MAXQ", BUILT_IN, ModeTable())


def test_a_profile_without_a_board_part_leaves_the_board_alone():
    assert board_mode(PowerProfile("mine", alpha=3), TX2) is None


def test_every_known_profile_has_values_that_the_node_takes():
    for profile in known_profiles().values():
        NodeConfig().changed(profile.parameters())


@pytest.mark.parametrize(
    ("prefix", "table", "count"),
    [
        ("tx2_", TX2, 5),
        ("agx_xavier_", AGX_XAVIER, 3),
        ("xavier_nx_", XAVIER_NX, 3),
        ("agx_orin_", AGX_ORIN, 3),
        ("orin_nx_", ORIN_NX, 3),
        ("orin_nano_", ORIN_NANO, 3),
        ("orin_nano_", ORIN_NANO_SUPER, 3),
    ],
)
def test_every_shipped_mode_is_in_the_boards_own_table(prefix, table, count):
    shipped = [profile for name, profile in known_profiles().items() if name.startswith(prefix)]
    assert len(shipped) == count
    assert all(table.find(board_mode(profile, table).name) for profile in shipped)


def test_the_tx2_files_say_what_their_names_say():
    profiles = known_profiles()
    expected = {"tx2_max_q": 1, "tx2_max_p": 3, "tx2_max_p_arm": 3, "tx2_max_p_all": 2, "tx2_max_p_denver": 4}
    assert {name: board_mode(profiles[name], TX2).id for name in expected} == expected
    assert profiles["tx2_max_q"].parameters() == {
        "alpha": 3, "precision": "fp16", "input_height": 256, "input_width": 512, "max_rate": 5.0, "threads": 2,
    }  # fmt: skip


def test_a_users_profile_is_read_and_wins(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("profiles:\n  patrol: {board_modes: [1, default], max_rate: 3}\n  max_q: {alpha: 5}\n")
    profiles = known_profiles(str(path))
    assert profiles["patrol"] == PowerProfile("patrol", ("1", "default"), max_rate=3.0, origin=str(path))
    assert profiles["max_q"].parameters() == {"alpha": 5}
    assert "max_n" in profiles


def test_one_mode_needs_no_list():
    assert parse_profiles({"profiles": {"a": {"board_modes": 0}}}, "x")["a"].board_modes == ("0",)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"alpha": 4}, "alpha must be one of 3, 5, 8, is 4"),
        ({"alpha": True}, r"alpha must be of type int, is True \(bool\)"),
        ({"alpha": None}, "alpha must be of type int, has no value"),
        ({"precision": "fp8"}, "precision must be one of .*, is 'fp8'"),
        ({"input_height": 250}, "input_height must be a multiple of 8 pixel, is 250"),
        ({"max_rate": -1}, r"max_rate must be at least 0.0 Hz, is -1\.0"),
        ({"threads": 1000}, "threads must be at most 256, is 1000"),
        ({"jetson_clocks": "on"}, "jetson_clocks must be true or false, is 'on'"),
        ({"board_modes": [True]}, r"board_modes must be the name or id of a mode, .*, is \[True\]"),
        ({"board_modes": ""}, "board_modes must be the name or id of a mode, .*, is ''"),
        ({"board_modes": -1}, "board_modes must be .*, is -1"),
        ({"rate": 5.0}, "unknown key 'rate', must be one of board_modes, alpha, precision"),
        ({}, "must be a mapping with at least one of board_modes"),
        ("fast", "must be a mapping with at least one of .*, is 'fast'"),
    ],
)
def test_a_broken_rule_names_file_profile_key_and_value(tmp_path, entry, said):
    with pytest.raises(PowerError, match="power profiles robot.yaml, profile 'patrol': " + said):
        parse_profiles({"profiles": {"patrol": entry}}, "robot.yaml")


@pytest.mark.parametrize("name", [3, "", " ", "12", None])
def test_a_profile_cannot_be_called_like_an_id(name):
    with pytest.raises(PowerError, match="must be a non-empty string that is not a number"):
        parse_profiles({"profiles": {name: {"alpha": 3}}}, "robot.yaml")


@pytest.mark.parametrize("text", ["", "[]", "profiles: []", "profiles: {}", "alpha: 3"])
def test_a_file_without_profiles_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(PowerError, match=r"mine\.yaml: must be a mapping whose key 'profiles' is a mapping"):
        load_profiles(path)


def test_a_file_that_is_no_yaml_or_not_there_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    with pytest.raises(PowerError, match=r"cannot read .*mine\.yaml: No such file"):
        load_profiles(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *NOT_YAML,
        (f"{BOMB}profiles: {{patrol: *j}}".encode(), "profile 'patrol': must be a mapping with at least one of"),
        (f"{BOMB}profiles: {{patrol: {{alpha: *j}}}}".encode(), "alpha must be of type int, is [[["),
        (f"{BOMB}profiles: {{patrol: {{board_modes: *j}}}}".encode(), "or a list of these, is [[["),
        (f"{BOMB}profiles: {{patrol: {{jetson_clocks: *j}}}}".encode(), "must be true or false, is [[["),
        (b"profiles: {patrol: {max_rate: .nan}}", "max_rate must be a finite number, is nan"),
    ],
)
def test_any_file_without_usable_profiles_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(PowerError) as refused:
        load_profiles(path)
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(PowerError, match=r"cannot read .*mine\.yaml: not a regular file"):
        load_profiles(tmp_path / "mine.yaml")
