"""One home for each fact: what the documents repeat is what the code says."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from espnet_ros import __version__
from espnet_ros.config import NodeConfig, rule_of

REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = [entry.name for entry in dataclasses.fields(NodeConfig)]


@pytest.fixture(scope="module")
def readme_rows():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = text.split("<!-- parameters -->")[1]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line[:3] == "| `"]
    return {row[0].strip("`| "): row for row in rows}


def test_the_readme_lists_every_parameter_in_order(readme_rows):
    assert list(readme_rows) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_has_default_and_description_of(readme_rows, name):
    _, default, live, description = readme_rows[name]
    value = NodeConfig().as_dict()[name]
    assert default == f"`{yaml.safe_dump(value).splitlines()[0]}`"
    assert live == ("live" if rule_of(name).live else "")
    assert description == rule_of(name).description


def test_the_version_is_the_same_everywhere():
    for path, pattern in (
        ("package.xml", r"<version>(.*)</version>"),
        ("setup.py", r'version="(.*)"'),
        ("CHANGELOG.md", r"## (\d\S*)"),
    ):
        assert re.search(pattern, (REPOSITORY / path).read_text(encoding="utf-8")).group(1) == __version__


def test_documents_link_to_files_that_exist():
    for document in [path for folder in ("", "docs", "weights") for path in (REPOSITORY / folder).glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
