"""``espnet_ros engine``: builds engines ahead of time, and looks after the cache that they are kept in."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Sequence

from espnet_ros.board.nvpmodel import ModeTable
from espnet_ros.board.profile_file import known_profiles
from espnet_ros.board.profiles import find_profile
from espnet_ros.commands.options import add_command, add_engine_options
from espnet_ros.commands.params_file import read_params_file
from espnet_ros.config import NodeConfig, option_names, rule_of
from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.engines.cache import CacheUse, EngineCache, noting_uses
from espnet_ros.engines.cache_entry import CacheEntry
from espnet_ros.errors import EngineError, ParameterError, PowerError
from espnet_ros.loading import resolve_spec
from espnet_ros.model.checkpoint import is_family, list_registry
from espnet_ros.segmenter import engine_summary

BUILD_OPTIONS = option_names("engine", "build")
"""Parameters that decide which engines a node loads. `engine_cache` is the option ``--cache``."""
_HEADINGS = ("name", "weights", "alpha", "size", "precision", "backend", "device", "MB", "created")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "engine",
        "Build engines ahead of time; list, verify or remove what was built.",
        "espnet_ros engine build --alphas 3 5 8",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|list|verify|remove")
    _add_build(actions)
    listing = add_command(
        actions,
        "list",
        "List the engines in the cache.",
        "espnet_ros engine list --cache /data/engines",
    )
    listing.set_defaults(run=run_list)
    verifying = add_command(
        actions,
        "verify",
        "Check the files of engines against their sums; exit code 1 where one is damaged.",
        "espnet_ros engine verify\n  espnet_ros engine verify openvino-espnet-8",
    )
    verifying.add_argument("names", nargs="*", metavar="NAME", help="beginning of a name in 'list' (default: all)")
    verifying.set_defaults(run=run_verify)
    removing = add_command(
        actions,
        "remove",
        "Remove engines from the cache.",
        "espnet_ros engine remove tensorrt-\n  espnet_ros engine remove --damaged",
    )
    removing.add_argument("names", nargs="*", metavar="NAME", help="beginning of a name in 'list'")
    removing.add_argument("--all", action="store_true", help="every engine")
    removing.add_argument("--damaged", action="store_true", help="the engines that 'verify' complains about")
    removing.set_defaults(run=run_remove)
    for action in (listing, verifying, removing):
        _add_cache_option(action, "user's cache folder")


def _add_build(actions: Any) -> None:
    parser = add_command(
        actions,
        "build",
        "Build engines and keep them, so that a node starts at once. An engine that is there is left as it is.",
        "espnet_ros engine build\n"
        "  espnet_ros engine build --alphas 3 5 8 --backend openvino\n"
        "  espnet_ros engine build --params-file robot.yaml --node /rear/espnet",
    )
    add_engine_options(parser, BUILD_OPTIONS)
    # "not given" must be told from the default: what is given wins over a parameter file
    parser.set_defaults(**dict.fromkeys(BUILD_OPTIONS))
    group = parser.add_argument_group("what to build")
    group.add_argument(
        "--alphas",
        type=int,
        nargs="+",
        choices=rule_of("alpha").choices,
        metavar="ALPHA",
        help="build one engine for each of these, instead of one for --alpha",
    )
    group.add_argument(
        "--params-file",
        type=Path,
        metavar="FILE",
        help="parameter file of the node (YAML), so that what is built is what it loads; options that are given win",
    )
    group.add_argument(
        "--node", default="/espnet", metavar="NAME", help="the node's name in that file (default: %(default)s)"
    )
    _add_cache_option(parser, "parameter engine_cache, or the user's cache folder")
    parser.set_defaults(run=run_build)


def _add_cache_option(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--cache", metavar="DIR", help=f"folder of built engines (default: {default})")


def run_build(args: argparse.Namespace) -> int:
    """Build what is asked for, and say where it is.

    Raises:
        EspnetError: an engine cannot be built, or not be kept.
    """
    for spec in _specs(args):  # all of them are resolved before the first is built
        checkpoint = spec.checkpoint
        print(f"{checkpoint.name} ({checkpoint.network}, alpha {checkpoint.alpha}) at {spec.input_size}:", flush=True)
        with noting_uses() as uses:
            engine = build_engine(spec)
        print(f"  {engine.backend} {engine.precision} on {engine.device} ({engine.reason})")
        engine.close()
        for use in uses:
            print(f"  {_describe(use)}", flush=True)
        if not uses:
            print(f"  backend '{engine.backend}' has nothing to keep", flush=True)
        if not all(use.is_kept for use in uses):
            raise EngineError(f"engine cache {EngineCache(spec.cache).folder}: cannot keep {engine_summary(engine)}")
    return 0


def _specs(args: argparse.Namespace) -> List[EngineSpec]:
    given = {name: getattr(args, name) for name in BUILD_OPTIONS if getattr(args, name) is not None}
    if args.cache is not None:
        given["engine_cache"] = args.cache
    values: Dict[str, Any] = {}
    if args.params_file is not None:
        values = read_params_file(args.params_file, args.node, (*BUILD_OPTIONS, "engine_cache"))
    config = NodeConfig(**{**values, **given})
    config = config.changed({**_profile_parameters(config), **given})
    alphas = args.alphas or _alphas_of(config)
    specs = []
    for sized, alpha in itertools.product(_sizes_of(config), alphas):
        spec = resolve_spec(replace(sized, alpha=alpha), show_progress=True)
        if args.alphas and spec.checkpoint.alpha != alpha:
            raise ParameterError(
                f"--alphas must be {spec.checkpoint.alpha}, which the checkpoint '{config.weights}' has, is {alpha}"
            )
        specs.append(spec)
    return specs


def _profile_parameters(config: NodeConfig) -> Dict[str, Any]:
    """What ``power_mode`` makes of the node's parameters; nothing where it is a mode of the board, known there only."""
    profiles = known_profiles(config.power_profiles)
    try:
        return find_profile(config.power_mode, profiles, ModeTable()).parameters() if config.power_mode else {}
    except PowerError:
        return {}


def _alphas_of(config: NodeConfig) -> List[int]:
    """Those whose engines a node has: its own, and the others where it keeps them ready."""
    if not is_family(config.weights):
        return [config.alpha]
    family = [entry for entry in list_registry() if entry.family == config.weights]
    present = {entry.alpha for entry in family if entry.network == config.network}
    return [config.alpha, *sorted(present.intersection(config.ready_alphas) - {config.alpha})]


def _sizes_of(config: NodeConfig) -> List[NodeConfig]:
    """The configuration at its own size, and at those that the governor may choose."""
    sizes = () if config.governor == "off" else config.allowed_sizes()
    return [config, *(replace(config, input_height=height, input_width=width) for height, width in sizes)]


def _describe(use: CacheUse) -> str:
    if use.seconds is None:
        return f"was there: {use.folder}"
    return f"built in {use.seconds:.1f} s: {use.folder}"


def run_list(args: argparse.Namespace) -> int:
    """Print the engines as a table."""
    cache = EngineCache(args.cache or "")
    entries = cache.entries()
    if not entries:
        print(f"no engines in {cache.folder}")
        return 0
    names = {checkpoint.sha256: checkpoint.name for checkpoint in list_registry()}
    rows = [_HEADINGS, *(_row(entry, names) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    size = sum(entry.size for entry in entries)
    print(f"{len(entries)} in {cache.folder}, {size / 1e6:.1f} MB")
    return 0


def _row(entry: CacheEntry, names: Dict[str, str]) -> Sequence[str]:
    key = entry.key
    weights = key.get("weights", "")
    return (
        entry.name,
        entry.weights_name or names.get(weights) or weights[:12] or "-",
        key.get("alpha", "-"),
        key.get("input_size", "-"),
        key.get("precision", "-"),
        f"{key.get('backend', '-')} {key.get('version', '').partition('-')[0]}".strip(),
        key.get("device", "-").partition(";")[0],
        f"{entry.size / 1e6:.1f}" if entry.size else "-",
        entry.created or "-",
    )


def run_verify(args: argparse.Namespace) -> int:
    """Check entries. Returns 1 where one is damaged.

    Raises:
        EngineError: a name fits no entry.
    """
    cache = EngineCache(args.cache or "")
    problems = {entry.name: cache.verify(entry) for entry in _select(cache, args.names)}
    for name, problem in problems.items():
        print(f"{name} {problem or 'is whole'}")
    if not problems:
        print(f"no engines in {cache.folder}")
    return int(any(problems.values()))


def run_remove(args: argparse.Namespace) -> int:
    """Remove entries.

    Raises:
        ParameterError: it was not said which.
        EngineError: a name fits no entry, or an entry cannot be removed.
    """
    if [bool(args.names), args.all, args.damaged].count(True) != 1:
        raise ParameterError("engine remove takes one of: names, --all, --damaged")
    cache = EngineCache(args.cache or "")
    entries = _select(cache, args.names)
    if args.damaged:
        entries = [entry for entry in entries if cache.verify(entry)]
    for entry in entries:
        cache.remove(entry)
        print(f"removed {entry.name}")
    if not entries:
        print(f"nothing to remove in {cache.folder}")
    return 0


def _select(cache: EngineCache, beginnings: Sequence[str]) -> List[CacheEntry]:
    """The entries that are named, in the order of their names; all where none is."""
    entries = cache.entries()
    for beginning in beginnings:
        if not any(entry.name.startswith(beginning) for entry in entries):
            raise EngineError(
                f"engine cache {cache.folder}: no engine's name begins with '{beginning}'; "
                f"'espnet_ros engine list' has the names"
            )
    return [entry for entry in entries if not beginnings or entry.name.startswith(tuple(beginnings))]
