import jinja2
import pytest

from espnet_ros.reporting import page


@pytest.fixture
def template(tmp_path, monkeypatch):
    """A folder of templates with one that shows ``text``."""
    (tmp_path / "greeting.html").write_text("<p>{{ text }}</p>")
    monkeypatch.setattr(page, "__file__", str(tmp_path / "page.py"))
    return "greeting.html"


def test_text_is_escaped(template):
    assert page.render_page(template, text="<b> & co") == "<p>&lt;b&gt; &amp; co</p>"


def test_a_missing_value_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError, match="'text' is undefined"):
        page.render_page(template)
