"""jetson_clocks: alone holds the clocks at their maxima, --store and --restore take a file. ROOT is written above."""

import sys
from pathlib import Path

root = Path(ROOT)  # noqa: F821
clocks = root / "state/clocks"


def main(arguments):
    if not (root / "state/rights").exists():
        print("Please run this script as root user")
        return 1
    if not arguments:
        clocks.write_text("held")
    elif arguments[0] == "--store":
        stored = Path(arguments[1])
        if stored.exists():
            print(f"File {stored} already exists. Can I overwrite it? Y/N:")
            return 1
        stored.write_text(clocks.read_text() if clocks.exists() else "scaling")
    elif arguments[0] == "--restore":
        clocks.write_text(Path(arguments[1]).read_text())
    return 0


sys.exit(main(sys.argv[1:]))
