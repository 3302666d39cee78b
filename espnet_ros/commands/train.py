"""`espnet_ros train`: train weights as described by a config file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict

from espnet_ros.commands.options import add_command

_DEVICES = ("auto", "cpu", "cuda")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "train",
        "Train ESPNet on labelled images, as described by a config file.",
        "espnet_ros train my_robot.yaml --out runs/my_robot",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="YAML file; docs/training.md lists its keys")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="resume the run in DIR, if there is one")
    parser.add_argument("--device", choices=_DEVICES, default="auto", help="device to train on (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help="override a key of the config, such as --set stages.0.epochs=5; can be repeated",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, then print the scores and the path of the weights.

    Raises:
        ParameterError: the config breaks a rule, or the folder contains another run.
        DatasetError: images or labels are missing or unreadable, or the results cannot be written.
        TrainingError: the loss is not finite.
        WeightsError, ClassTableError: weights or a class table named in the config cannot be used.
    """
    from espnet_ros.training.config_file import read_config
    from espnet_ros.training.trainer import Trainer

    config = read_config(args.config, args.changes)
    out = args.out if args.out is not None else Path("runs") / config.name
    trainer = Trainer(config, out, args.device, show_progress=True)
    if trainer.missing_classes:
        names = ", ".join(f"'{name}'" for name in trainer.missing_classes)
        print(f"warning: never in the training labels, so not learnt: {names}", file=sys.stderr)
    report = trainer.run(args.resume)
    for name, score in report["scores"].items():
        _print_scores(name, score)
    print(f"weights: {report['weights']}")
    return 0


def _print_scores(name: str, score: Dict[str, Any]) -> None:
    total = score["mean_iou"]
    print(f"{name}: mean IoU {'-' if total is None else f'{total:.4f}'}, {score['images']} images")
    for class_name, value in score["class_iou"].items():
        print(f"  {class_name:<16}{'-' if value is None else f'{100 * value:6.2f}'}")
