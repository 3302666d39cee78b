"""Files that look like those Linux shows sensors in."""

from pathlib import Path
from typing import Dict, Union

POWERCAP = "sys/class/powercap"
SPAN = 262_143_328_850


def write_tree(root: Path, files: Dict[str, Union[str, int]]) -> Path:
    """Write each file with a line end, as the kernel has it."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


def set_energies(root: Path, **microjoules: int) -> None:
    """``zone`` as ``intel-rapl:0:1`` is written ``_0_1``."""
    for zone, energy in microjoules.items():
        write_tree(root, {f"{POWERCAP}/intel-rapl{zone.replace('_', ':')}/energy_uj": energy})


def add_zone(root: Path, zone: str, name: str, energy: int = 0) -> None:
    folder = f"{POWERCAP}/intel-rapl{zone}"
    files = {f"{folder}/name": name, f"{folder}/energy_uj": energy, f"{folder}/max_energy_range_uj": SPAN}
    write_tree(root, files)
