"""One home for each fact: what the documents repeat is what the code says."""

import re
from pathlib import Path

import pytest
import yaml

from espnet_ros import __version__
from espnet_ros.config import NodeConfig, documents, rule_of

REPOSITORY = Path(__file__).resolve().parents[1]
GENERATED = documents.generate(REPOSITORY)


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path):
    assert path.read_text(encoding="utf-8") == GENERATED[path], f"{path.name} is stale: run 'make docs'"


def test_default_yaml_has_every_parameter_with_its_default():
    values = yaml.safe_load(documents.default_yaml())["/**"]["ros__parameters"]
    assert values == NodeConfig().as_dict()
    assert [type(value) for value in values.values()] == [type(value) for value in NodeConfig().as_dict().values()]


def test_default_yaml_explains_every_parameter_in_a_comment_above_it():
    lines = documents.default_yaml().splitlines()
    for name in NodeConfig().as_dict():
        at = lines.index(next(line for line in lines if line.startswith(f"    {name}:")))
        assert lines[at - 1].startswith("    # "), name
    assert max(map(len, lines)) <= 120


def test_the_page_has_a_row_with_an_anchor_for_every_parameter():
    rows = [line.split(" | ") for line in documents.parameters_page().splitlines() if line.startswith("| <a id=")]
    names = [re.search(r'<a id="(\w+)"></a>`(\w+)`', row[0]).groups() for row in rows]
    assert names == [(name, name) for name in NodeConfig().as_dict()]
    assert [row[3].strip() == "live" for row in rows] == [rule_of(name).live for name in NodeConfig().as_dict()]


def test_the_readme_shows_the_ten_parameters_that_most_users_set():
    rows = re.findall(r"^\| \[`(\w+)`\]\(docs/parameters.md#(\w+)\)", documents.readme_table(), re.MULTILINE)
    assert [name for name, _ in rows] == [anchor for _, anchor in rows]
    assert len(rows) == 10


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


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
