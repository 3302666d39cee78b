"""Point the ROS wheels' CMake files at this machine's Python and numpy headers.

The wheels name the include folders of the machine they were built on, which exist nowhere else.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

BUILD_MACHINE_PYTHON = re.compile(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+")
BUILD_MACHINE_NUMPY = re.compile(r"/[^;\"\s]*/numpy/(?:_core|core)/include")


def relocate(text: str) -> str:
    """The same CMake text with this machine's include folders."""
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
