"""`espnet_ros weights`: list and download checkpoints."""

from __future__ import annotations

import argparse
from typing import Any, List

from espnet_ros.commands.options import add_command
from espnet_ros.errors import WeightsError
from espnet_ros.model.checkpoint import Checkpoint, is_family, list_registry, list_weight_names, locate_checkpoint
from espnet_ros.model.download import find_by_sha256
from espnet_ros.reporting.tables import aligned_columns

_HEADINGS = ("name", "family", "network", "alpha", "classes", "size", "where")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "weights",
        "List or download the shipped and published checkpoints.",
        "espnet_ros weights fetch camvid",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch")
    listing = add_command(
        actions,
        "list",
        "List the checkpoints: network, alpha, class table, input size, and the file on this machine.",
        "ESPNET_WEIGHTS_DIR=~/weights espnet_ros weights list",
    )
    listing.set_defaults(run=run_list)
    fetching = add_command(
        actions,
        "fetch",
        "Download a checkpoint, or all checkpoints of a family, unless they are on this machine; print the paths.",
        "espnet_ros weights fetch espnet_alpha3_cityscapes",
    )
    fetching.add_argument("name", metavar="NAME", help="family or name from 'espnet_ros weights list'")
    fetching.set_defaults(run=run_fetch)


def run_list(_args: argparse.Namespace) -> int:
    """Print the registry as a table."""
    rows = [_HEADINGS, *(_row(entry) for entry in list_registry())]
    print("\n".join(aligned_columns(rows, "l" * len(_HEADINGS))))
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    """Locate or download the named checkpoints.

    Raises:
        WeightsError: the name is unknown, or a download failed.
    """
    for entry in _named(args.name):
        print(f"{entry.name}: {locate_checkpoint(entry, show_progress=True).path}")
    return 0


def _named(name: str) -> List[Checkpoint]:
    if is_family(name):
        return [entry for entry in list_registry() if entry.family == name]
    found = [entry for entry in list_registry() if entry.name == name]
    if not found:
        raise WeightsError(f"weights '{name}': not a known name; known names: {', '.join(list_weight_names())}")
    return found


def _row(entry: Checkpoint) -> List[str]:
    path = entry.path or find_by_sha256(entry.sha256)
    where = "not on this machine" if path is None else str(path)
    return [entry.name, entry.family, entry.network, str(entry.alpha), entry.classes, str(entry.input_size), where]
