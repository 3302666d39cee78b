"""``espnet_ros train``: weights from a config file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict

from espnet_ros.commands.options import add_command

_DEVICES = ("auto", "cpu", "cuda")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "train",
        "Train ESPNet on labelled images, as one config file says.",
        "espnet_ros train my_robot.yaml --out runs/my_robot",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="YAML file; docs/training.md lists its keys")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR, where there is one")
    parser.add_argument("--device", choices=_DEVICES, default="auto", help="where to train (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help="replace a key of the config, as in --set stages.0.epochs=5; may come several times",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, and say how good the weights are and where they lie.

    Raises:
        ParameterError: the config breaks a rule, or the folder holds another run.
        DatasetError: images or labels are missing or broken, or the results cannot be written.
        TrainingError: the loss is no longer finite.
        WeightsError, ClassTableError: what the config names cannot be used.
    """
    from espnet_ros.training.config_file import read_config
    from espnet_ros.training.trainer import Trainer

    config = read_config(args.config, args.changes)
    out = args.out if args.out is not None else Path("runs") / config.name
    report = Trainer(config, out, args.device, show_progress=True).run(args.resume)
    for name, score in report["scores"].items():
        _print_scores(name, score)
    print(f"weights: {report['weights']}")
    return 0


def _print_scores(name: str, score: Dict[str, Any]) -> None:
    total = score["mean_iou"]
    print(f"{name}: mean IoU {'-' if total is None else f'{total:.4f}'}, {score['images']} images")
    for class_name, value in score["class_iou"].items():
        print(f"  {class_name:<16}{'-' if value is None else f'{100 * value:6.2f}'}")
