import numpy as np

from espnet_ros.benchmark.costmap import measure_costmap, street_labels
from espnet_ros.classes import load_class_table


def test_every_layer_of_the_table_occurs_in_the_labels():
    table = load_class_table("cityscapes")
    layers = {table.classes[label].layer for label in np.unique(street_labels(table))}
    assert layers >= {"road", "sidewalk", "terrain", "structure", "pole", "vegetation", "person", "vehicle"}


def test_both_cameras_are_measured_on_a_costmap_of_every_layer():
    grids = []
    timings = measure_costmap(lambda costmap, _stamp: grids.append(costmap), rounds=2)
    assert list(timings) == ["table warm", "camera moves every frame"]
    assert all(len(timing.seconds) == 2 for timing in timings.values())
    assert len(grids) == 2 * 3
