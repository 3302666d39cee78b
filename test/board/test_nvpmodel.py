import os
import time

import pytest
from fake_board.tx2 import CONF, Tx2

from espnet_ros.board.nvpmodel import (
    Mode,
    ModeTable,
    Nvpmodel,
    ProgramTimeoutError,
    parse_current,
    parse_table,
    read_table,
    run_program,
)
from espnet_ros.errors import PowerError

pytestmark = pytest.mark.process

MAXQ = Mode(1, "MAXQ")


@pytest.fixture
def tx2(tmp_path):
    return Tx2(tmp_path)


def test_a_tx2_table_has_its_five_modes_and_its_boot_default():
    table = parse_table(CONF)
    assert [(mode.id, mode.name) for mode in table.modes] == [
        (0, "MAXN"),
        (1, "MAXQ"),
        (2, "MAXP_CORE_ALL"),
        (3, "MAXP_CORE_ARM"),
        (4, "MAXP_CORE_DENVER"),
    ]
    assert table.default == 3


def test_lines_that_are_commented_out_are_no_modes():
    table = parse_table("# < POWER_MODEL ID=7 NAME=OLD >\n< POWER_MODEL ID=2 NAME=15W >\n# < PM_CONFIG DEFAULT=2 >")
    assert table == ModeTable((Mode(2, "15W"),), None)


def test_modes_are_listed_by_id_and_ids_may_have_gaps():
    table = parse_table("< POWER_MODEL ID=6 NAME=MINE >\n< POWER_MODEL ID=0 NAME=MAXN >\n< PM_CONFIG DEFAULT=6 >\n")
    assert table == ModeTable((Mode(0, "MAXN"), Mode(6, "MINE")), 6)


def test_a_default_that_is_no_mode_is_none():
    assert parse_table("< POWER_MODEL ID=0 NAME=MAXN >\n< PM_CONFIG DEFAULT=9 >").default is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no line '< POWER_MODEL"),
        ("< POWER_MODEL ID=1 NAME=A >\n< POWER_MODEL ID=1 NAME=B >", "id 1 to two modes, A and B"),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused(text, said):
    with pytest.raises(PowerError, match=said):
        parse_table(text)


def test_a_missing_table_names_the_file(tmp_path):
    with pytest.raises(PowerError, match=r"etc/nvpmodel\.conf: No such file"):
        read_table(tmp_path)


@pytest.mark.parametrize("text", ["maxq", "MAXQ", " MaxQ ", "1"])
def test_a_mode_is_found_by_name_or_id(text):
    assert parse_table(CONF).find(text) == MAXQ


@pytest.mark.parametrize("text", ["MAX", "9", "", "-1", "1.0"])
def test_what_is_no_mode_is_not_found(text):
    assert parse_table(CONF).find(text) is None


# The first is a TX2's, the second an AGX Xavier's with its fan, the third what a user without rights sees.
@pytest.mark.parametrize(
    ("printed", "mode"),
    [
        ("NV Power Mode: MAXQ\n1\n", Mode(1, "MAXQ")),
        ("NV Fan Mode:cool\nNV Power Mode: MODE_30W_4CORE\n5\n", Mode(5, "MODE_30W_4CORE")),
        (
            "NVPM ERROR: Error opening /sys/kernel/nvpmodel_emc_cap/emc_iso_cap: 13\nNV Power Mode: 15W\n"
            "NVPM WARN: fan mode is not set!\n0\n",
            Mode(0, "15W"),
        ),
        ("NV Power Mode: MAXN SUPER\r\n2\r\n", Mode(2, "MAXN SUPER")),
    ],
)
def test_what_nvpmodel_prints_is_read(printed, mode):
    assert parse_current(printed) == mode


@pytest.mark.parametrize("printed", ["", "NV Power Mode: MAXQ\n", "NVPM ERROR: Error opening status: 2\n"])
def test_an_answer_without_a_mode_is_refused_with_what_was_printed(printed):
    with pytest.raises(PowerError, match="did not print a power mode, it printed"):
        parse_current(printed)


def test_a_mode_is_set_and_read_back(tx2):
    program = Nvpmodel(tx2.nvpmodel)
    assert program.query() == Mode(3, "MAXP_CORE_ARM")
    program.set(MAXQ)
    assert program.query() == MAXQ
    assert (tx2.gpu_hz(), tx2.cores_online()) == (850000000, "00111")
    assert tx2.calls() == ["-m 3", "-q", "-m 1", "-q"]


def test_missing_rights_are_told_though_nvpmodel_ends_with_0(tx2):
    tx2.release("rights")
    with pytest.raises(PowerError, match=r"MAXQ \(1\) cannot be set, nvpmodel has no rights .* group jtop"):
        Nvpmodel(tx2.nvpmodel).set(MAXQ)
    assert tx2.mode() == 3


def test_a_mode_that_needs_a_reboot_is_refused_and_nothing_reboots(tx2):
    tx2.steer("reboot", "1")
    with pytest.raises(PowerError, match=r"asks for a reboot, .* run 'sudo nvpmodel -m 1', reboot"):
        Nvpmodel(tx2.nvpmodel).set(MAXQ)
    assert not tx2.was_rebooted()
    assert tx2.mode() == 3


def test_a_yes_on_the_nodes_own_stdin_does_not_reach_the_question_about_a_reboot(tx2):
    tx2.steer("reboot", "1")
    reader, writer = os.pipe()
    os.write(writer, b"yes\n")
    stdin = os.dup(0)
    os.dup2(reader, 0)
    try:
        with pytest.raises(PowerError, match="asks for a reboot"):
            Nvpmodel(tx2.nvpmodel).set(MAXQ)
    finally:
        os.dup2(stdin, 0)
        for descriptor in (reader, writer, stdin):
            os.close(descriptor)
    assert not tx2.was_rebooted()


def test_an_id_that_the_program_does_not_know_is_told_with_its_words(tx2):
    with pytest.raises(PowerError, match="exited with 255 and printed 'NVPM ERROR: request for bad power mode 9'"):
        Nvpmodel(tx2.nvpmodel).set(Mode(9, "NONE"))


def test_a_program_that_hangs_is_stopped_in_time(tx2):
    tx2.steer("hang")
    start = time.monotonic()
    with pytest.raises(ProgramTimeoutError, match=r"-m 1' did not end within 0\.5 s and was stopped"):
        Nvpmodel(tx2.nvpmodel, timeout=0.5).set(MAXQ)
    assert time.monotonic() - start < 50.0  # of the 60 s that it sleeps


def test_what_a_program_started_is_stopped_with_it(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nsleep 60 &\nsleep 60\n")
    program.chmod(0o755)
    start = time.monotonic()
    with pytest.raises(ProgramTimeoutError):
        run_program([str(program)], timeout=0.5)
    assert time.monotonic() - start < 50.0  # of the 60 s that it sleeps


def test_a_program_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PowerError, match="cannot run '.*nvpmodel -q': No such file"):
        Nvpmodel(str(tmp_path / "nvpmodel")).query()


def test_no_shell_reads_what_is_run_and_no_environment_leaks_in(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$1|$LD_PRELOAD$LANG|$LC_ALL"\n')
    program.chmod(0o755)
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert run_program([str(program), "$(touch x); `id`"], timeout=20.0) == (0, "$(touch x); `id`||C\n")
