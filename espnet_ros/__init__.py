"""Semantic segmentation with ESPNet for ROS 2: camera images in, label images out."""

from pkgutil import extend_path

# The message generator installs espnet_ros.msg under the same package name, in another folder.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
