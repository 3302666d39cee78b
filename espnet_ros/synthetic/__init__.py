"""A small procedural street with exact truth: images, labels, poses and the ground, for training, tests and the demo.

Everything in it stands still, and the ground is flat. So what is true of a place is true of it in every frame.
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
