"""Reads what a chart shows out of its SVG."""

import re
import xml.etree.ElementTree as ElementTree

NAMESPACE = "{http://www.w3.org/2000/svg}"


def read_texts(svg):
    """Every text of a chart, in drawing order."""
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text")]


def read_groups(svg, prefix):
    """Elements whose id begins with a prefix, by id."""
    groups = ElementTree.fromstring(svg).iter(f"{NAMESPACE}g")
    return {group.get("id"): group for group in groups if group.get("id", "").startswith(prefix)}


def read_path(group):
    """(x, y) of the vertices of a group's first path; y grows downwards."""
    path = group.find(f".//{NAMESPACE}path").get("d")
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)]


def read_marks(group):
    """(x, y, fill) of each mark of a scatter plot."""
    return [
        (float(use.get("x")), float(use.get("y")), re.search(r"fill: (#\w+)", use.get("style")).group(1))
        for use in group.iter(f"{NAMESPACE}use")
    ]


def width(points):
    """Extent of points along x."""
    return max(x for x, _ in points) - min(x for x, _ in points)
