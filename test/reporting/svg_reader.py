"""Reads what a chart shows out of its SVG."""

import re
import xml.etree.ElementTree as ElementTree

NAMESPACE = "{http://www.w3.org/2000/svg}"


def read_texts(svg):
    """Every text of a chart, in drawing order."""
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text")]


def read_text_boxes(svg):
    """(text, left, top, right, bottom) of every text of a chart, upright or turned by 90 degrees, in SVG units.

    Letters are as wide as those of matplotlib's own font, which the charts ask for.
    """
    from matplotlib.textpath import TextPath

    boxes = []
    for element in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text"):
        x, y = float(element.get("x")), float(element.get("y"))
        size = float(re.search(r"font-size: ([\d.]+)px", element.get("style")).group(1))
        anchor = re.search(r"text-anchor: (\w+)", element.get("style")).group(1)
        turn = float(re.match(r"rotate\((\S+)", element.get("transform")).group(1))
        extents = TextPath((0, 0), element.text.replace("$", r"\$"), size=size).get_extents()
        start = {"start": 0.0, "middle": -0.5, "end": -1.0}[anchor] * extents.x1
        if turn == 0:
            box = (x + start, y - extents.y1, x + start + extents.x1, y - extents.y0)
        else:  # read upwards
            assert turn == -90, turn
            box = (x - extents.y1, y - start - extents.x1, x - extents.y0, y - start)
        boxes.append((element.text, *box))
    return boxes


def texts_outside(svg):
    """Texts of a chart that its picture cuts off."""
    _, _, right_end, bottom_end = (float(value) for value in ElementTree.fromstring(svg).get("viewBox").split())
    return [
        text
        for text, left, top, right, bottom in read_text_boxes(svg)
        if left < 0 or top < 0 or right > right_end or bottom > bottom_end
    ]


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
