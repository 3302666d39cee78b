"""`espnet_ros engine`: build engines ahead of time and manage the engine cache."""

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
from espnet_ros.engines.cache import CacheUse, EngineCache, recorded_uses
from espnet_ros.engines.cache_entry import CacheEntry
from espnet_ros.errors import EngineError, ParameterError, PowerError
from espnet_ros.loading import resolve_spec
from espnet_ros.model.checkpoint import is_family, list_registry
from espnet_ros.reporting.tables import aligned_columns
from espnet_ros.segmenter import engine_summary

BUILD_OPTIONS = option_names("engine", "build")
"""Parameters that decide which engines a node loads. `engine_cache` is the option ``--cache``."""
_HEADINGS = ("name", "weights", "alpha", "size", "precision", "backend", "device", "MB", "created")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "engine",
        "Build engines ahead of time; list, verify or remove the engines in the cache.",
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
        "Check the files of engines against their checksums. Exit code 1 if one is damaged.",
        "espnet_ros engine verify\n  espnet_ros engine verify openvino-espnet-8",
    )
    verifying.add_argument("names", nargs="*", metavar="NAME", help="name from 'list' or its beginning (default: all)")
    verifying.set_defaults(run=run_verify)
    removing = add_command(
        actions,
        "remove",
        "Remove engines from the cache.",
        "espnet_ros engine remove tensorrt-\n  espnet_ros engine remove --damaged",
    )
    removing.add_argument("names", nargs="*", metavar="NAME", help="name from 'list' or its beginning")
    removing.add_argument("--all", action="store_true", help="remove every engine")
    removing.add_argument("--damaged", action="store_true", help="remove the engines that 'verify' reports as damaged")
    removing.set_defaults(run=run_remove)
    for action in (listing, verifying, removing):
        _add_cache_option(action, "user's cache folder")


def _add_build(actions: Any) -> None:
    parser = add_command(
        actions,
        "build",
        "Build engines and store them in the cache, so that a node starts quickly. Existing engines are kept.",
        "espnet_ros engine build\n"
        "  espnet_ros engine build --alphas 3 5 8 --backend openvino\n"
        "  espnet_ros engine build --params-file robot.yaml --node /rear/espnet",
    )
    add_engine_options(parser, BUILD_OPTIONS)
    # None marks options that were not given: only those that were override the parameter file
    parser.set_defaults(**dict.fromkeys(BUILD_OPTIONS))
    group = parser.add_argument_group("engines to build")
    group.add_argument(
        "--alphas",
        type=int,
        nargs="+",
        choices=rule_of("alpha").choices,
        metavar="ALPHA",
        help="build one engine for each of these instead of --alpha",
    )
    group.add_argument(
        "--params-file",
        type=Path,
        metavar="FILE",
        help="parameter file of the node (YAML): build the engines that the node would load; options override it",
    )
    group.add_argument(
        "--node", default="/espnet", metavar="NAME", help="name of the node in that file (default: %(default)s)"
    )
    _add_cache_option(parser, "parameter engine_cache, or the user's cache folder")
    parser.set_defaults(run=run_build)


def _add_cache_option(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--cache", metavar="DIR", help=f"folder of built engines (default: {default})")


def run_build(args: argparse.Namespace) -> int:
    """Build the engines and print where they are.

    Raises:
        EspnetError: an engine cannot be built or stored.
    """
    for spec in _specs(args):  # resolve all of them before building the first
        checkpoint = spec.checkpoint
        print(f"{checkpoint.name} ({checkpoint.network}, alpha {checkpoint.alpha}) at {spec.input_size}:", flush=True)
        with recorded_uses() as uses:
            engine = build_engine(spec)
        print(f"  {engine.backend} {engine.precision} on {engine.device} ({engine.reason})")
        engine.close()
        for use in uses:
            print(f"  {_describe(use)}", flush=True)
        if not uses:
            print(f"  backend '{engine.backend}' has nothing to store", flush=True)
        if not all(use.is_cached for use in uses):
            raise EngineError(f"engine cache {EngineCache(spec.cache).folder}: cannot store {engine_summary(engine)}")
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
                f"--alphas must be {spec.checkpoint.alpha} with checkpoint '{config.weights}', is {alpha}"
            )
        specs.append(spec)
    return specs


def _profile_parameters(config: NodeConfig) -> Dict[str, Any]:
    """Return the parameters that ``power_mode`` sets; none if it names a mode that only the board knows."""
    profiles = known_profiles(config.power_profiles)
    try:
        return find_profile(config.power_mode, profiles, ModeTable()).parameters() if config.power_mode else {}
    except PowerError:
        return {}


def _alphas_of(config: NodeConfig) -> List[int]:
    """Return the values of alpha whose engines a node loads: its own and those that it keeps ready."""
    if not is_family(config.weights):
        return [config.alpha]
    family = [entry for entry in list_registry() if entry.family == config.weights]
    present = {entry.alpha for entry in family if entry.network == config.network}
    return [config.alpha, *sorted(present.intersection(config.ready_alphas) - {config.alpha})]


def _sizes_of(config: NodeConfig) -> List[NodeConfig]:
    """Return the configuration at its own input size and at those that the governor may choose."""
    sizes = () if config.governor == "off" else config.allowed_sizes()
    return [config, *(replace(config, input_height=height, input_width=width) for height, width in sizes)]


def _describe(use: CacheUse) -> str:
    if use.seconds is None:
        return f"already built: {use.folder}"
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
    print("\n".join(aligned_columns(rows, "l" * len(_HEADINGS))))
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
    """Check entries. Return 1 if one is damaged.

    Raises:
        EngineError: a name matches no entry.
    """
    cache = EngineCache(args.cache or "")
    problems = {entry.name: cache.verify(entry) for entry in _select(cache, args.names)}
    for name, problem in problems.items():
        print(f"{name} {problem or 'is intact'}")
    if not problems:
        print(f"no engines in {cache.folder}")
    return int(any(problems.values()))


def run_remove(args: argparse.Namespace) -> int:
    """Remove entries.

    Raises:
        ParameterError: not exactly one of names, --all and --damaged was given.
        EngineError: a name matches no entry, or an entry cannot be removed.
    """
    if [bool(args.names), args.all, args.damaged].count(True) != 1:
        raise ParameterError("engine remove needs one of: names, --all, --damaged")
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
    """Return the entries whose names begin with one of ``beginnings``; all entries if it is empty."""
    entries = cache.entries()
    for beginning in beginnings:
        if not any(entry.name.startswith(beginning) for entry in entries):
            raise EngineError(
                f"engine cache {cache.folder}: no engine name begins with '{beginning}'; "
                f"'espnet_ros engine list' shows the names"
            )
    return [entry for entry in entries if not beginnings or entry.name.startswith(tuple(beginnings))]
