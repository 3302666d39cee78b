"""A procedural street with exact ground truth (images, labels, poses, ground) for training, tests and the demo.

``world.py`` builds the street, ``renderer.py`` draws it, and ``drive.py`` moves a camera along it. Nothing else moves,
and the ground is flat: the ground truth of a place is the same in every frame. May import evaluation, costmap and the
rooms below them. Start with ``street.py``, then ``world.py``.
"""

from espnet_ros.synthetic.drive import Mount, StreetFrame, default_camera, drive, visible_contacts
from espnet_ros.synthetic.renderer import StreetRenderer, View
from espnet_ros.synthetic.solids import StandingObject
from espnet_ros.synthetic.street import SyntheticStreet
from espnet_ros.synthetic.world import StreetWorld

__all__ = [
    "Mount",
    "StandingObject",
    "StreetFrame",
    "StreetRenderer",
    "StreetWorld",
    "SyntheticStreet",
    "View",
    "default_camera",
    "drive",
    "visible_contacts",
]
