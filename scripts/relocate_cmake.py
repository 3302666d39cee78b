"""Make the CMake files of the ROS wheels use this machine's Python and numpy headers.

The files contain absolute paths to include folders of the machine on which the wheels were built. Usage:

    python scripts/relocate_cmake.py .venv
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

BUILD_MACHINE_PYTHON = re.compile(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+")
BUILD_MACHINE_NUMPY = re.compile(r"/[^;\"\s]*/numpy/(?:_core|core)/include")


def relocate(text: str) -> str:
    """Return CMake text with the include folders replaced by this machine's."""
    text = BUILD_MACHINE_NUMPY.sub(numpy.get_include(), text)
    return BUILD_MACHINE_PYTHON.sub(sysconfig.get_paths()["include"], text)


def main() -> None:
    for path in (Path(sys.argv[1]) / "share").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        relocated = relocate(text)
        if relocated != text:
            path.write_text(relocated, encoding="utf-8")


if __name__ == "__main__":
    main()
