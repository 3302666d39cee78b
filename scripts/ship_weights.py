"""Copy the results of training runs to weights/, and update the score tables of its model card.

scripts/in_env python scripts/ship_weights.py runs/alpha3 runs/alpha5 runs/alpha8
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

FOLDER = Path(__file__).resolve().parents[1] / "weights"
MARK = "<!-- scores -->"
FILES = {"weights.safetensors": ".safetensors", "curves.svg": ".svg"}


def ship(run: Path) -> None:
    """Copy the weights, curves and report of a finished run. The files are named after the run."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    target = FOLDER / report["name"]
    for source, suffix in FILES.items():
        shutil.copyfile(run / source, target.with_suffix(suffix))
    report["weights"] = target.with_suffix(".safetensors").name
    target.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def tables() -> str:
    """Return Markdown tables of the mean IoU and the IoU per class of all shipped weights, in percent."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    return "\n".join(_table(reports, source) for source in reports[0]["scores"])


def _table(reports: List[Dict[str, Any]], source: str) -> str:
    scores = [report["scores"][source] for report in reports]
    names = [f"alpha {report['name'].split('_')[1][len('alpha') :]}" for report in reports]
    rows = [
        f"| `{source}`, {scores[0]['images']} images | {' | '.join(names)} |",
        "|---|" + "---:|" * len(reports),
        "| **mean of the classes** |" + "".join(f" **{_percent(score['mean_iou'])}** |" for score in scores),
    ]
    for class_name in scores[0]["class_iou"]:
        values = "".join(f" {_percent(score['class_iou'][class_name])} |" for score in scores)
        rows.append(f"| {class_name} |{values}")
    return "\n".join(rows) + "\n"


def _percent(value: Any) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def main() -> None:
    """Copy the given runs, then update the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="output folder of 'espnet_ros train'")
    for run in parser.parse_args().runs:
        ship(run)
    card = FOLDER / "README.md"
    before, _, after = card.read_text(encoding="utf-8").split(MARK)
    card.write_text(f"{before}{MARK}\n{tables()}{MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
