"""ESPNet semantic segmentation: labels and costmaps from camera images, as a library and as a ROS 2 node.

``import espnet_ros`` offers the public API, ``__all__``; docs/library.md is its reference. A name is loaded on first
use, so the import itself takes milliseconds and pulls in neither numpy, OpenCV, torch nor ROS. The other modules are
internal. Start reading in loading.py; the command line starts in cli.py, the node in ros/node.py.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from espnet_ros.classes import ClassTable, SemanticClass, load_class_table
    from espnet_ros.costmap.camera import CameraModel, camera_from_info
    from espnet_ros.costmap.costmap import Costmap, CostmapSettings
    from espnet_ros.costmap.grid import FusionRules, RollingGrid
    from espnet_ros.costmap.layers import GroundEvidence, Layer, layers_from_table
    from espnet_ros.costmap.pose import mount_matrix, pose_matrix
    from espnet_ros.errors import (
        BrokenEngineError,
        CameraError,
        ClassTableError,
        DatasetError,
        EngineError,
        EspnetError,
        ImageError,
        ParameterError,
        PathError,
        PoseError,
        WeightsError,
    )
    from espnet_ros.evaluation.frames import Frame, FrameSource
    from espnet_ros.evaluation.metrics import ConfusionMatrix
    from espnet_ros.evaluation.report import EvaluationReport, evaluate
    from espnet_ros.evaluation.sources import open_frames
    from espnet_ros.loading import list_weights, load_segmenter
    from espnet_ros.model.checkpoint import Checkpoint
    from espnet_ros.overlay import draw_overlay
    from espnet_ros.segmenter import Segmenter
    from espnet_ros.synthetic.drive import Mount, StreetFrame
    from espnet_ros.synthetic.street import SyntheticStreet
    from espnet_ros.tiling import default_overlap, label_large_image
    from espnet_ros.types import UNLABELLED, ImageSize, Segmentation, StageTimes

__all__ = [
    "UNLABELLED",
    "BrokenEngineError",
    "CameraError",
    "CameraModel",
    "Checkpoint",
    "ClassTable",
    "ClassTableError",
    "ConfusionMatrix",
    "Costmap",
    "CostmapSettings",
    "DatasetError",
    "EngineError",
    "EspnetError",
    "EvaluationReport",
    "Frame",
    "FrameSource",
    "FusionRules",
    "GroundEvidence",
    "ImageError",
    "ImageSize",
    "Layer",
    "Mount",
    "ParameterError",
    "PathError",
    "PoseError",
    "RollingGrid",
    "Segmentation",
    "Segmenter",
    "SemanticClass",
    "StageTimes",
    "StreetFrame",
    "SyntheticStreet",
    "WeightsError",
    "camera_from_info",
    "default_overlap",
    "draw_overlay",
    "evaluate",
    "label_large_image",
    "layers_from_table",
    "list_weights",
    "load_class_table",
    "load_segmenter",
    "mount_matrix",
    "open_frames",
    "pose_matrix",
]

# The message generator installs espnet_ros.msg under the same package name in another folder.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

_MODULES = {
    "classes": ("ClassTable", "SemanticClass", "load_class_table"),
    "costmap.camera": ("CameraModel", "camera_from_info"),
    "costmap.costmap": ("Costmap", "CostmapSettings"),
    "costmap.grid": ("FusionRules", "RollingGrid"),
    "costmap.layers": ("GroundEvidence", "Layer", "layers_from_table"),
    "costmap.pose": ("mount_matrix", "pose_matrix"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "evaluation.frames": ("Frame", "FrameSource"),
    "evaluation.metrics": ("ConfusionMatrix",),
    "evaluation.report": ("EvaluationReport", "evaluate"),
    "evaluation.sources": ("open_frames",),
    "loading": ("list_weights", "load_segmenter"),
    "model.checkpoint": ("Checkpoint",),
    "overlay": ("draw_overlay",),
    "segmenter": ("Segmenter",),
    "synthetic.drive": ("Mount", "StreetFrame"),
    "synthetic.street": ("SyntheticStreet",),
    "tiling": ("default_overlap", "label_large_image"),
    "types": ("UNLABELLED", "ImageSize", "Segmentation", "StageTimes"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
