"""Result of comparing an engine with torch. It is cached, so a refused engine is not rebuilt at every start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet_ros.errors import EngineError

RESULT_FILE = "agreement.json"
"""Name of the result's file in a folder of the engine cache."""


@dataclass(frozen=True)
class AgreementResult:
    """Agreement of an engine with torch.

    Attributes:
        precision: the engine's precision.
        agreement: share of pixels, 0 to 1, with the same label as in torch.
        images: number of images that were compared.
        limit: minimum agreement.
    """

    precision: str
    agreement: float
    images: int
    limit: float

    @property
    def refusal(self) -> str:
        """Why the engine is refused; "" if it is accepted."""
        if self.agreement >= self.limit:
            return ""
        return (
            f"in {self.precision} only {100 * self.agreement:.2f} % of the pixels have the same label as in torch, "
            f"must be at least {100 * self.limit:g} %"
        )

    def __str__(self) -> str:
        return f"{100 * self.agreement:.2f} % of the labels are the same as in torch ({self.images} images)"

    def write(self, folder: Path) -> None:
        """Write the result into an engine's folder."""
        (folder / RESULT_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_agreement_result(folder: Path) -> AgreementResult:
    """Read the result from an engine's folder.

    Raises:
        EngineError: the file cannot be read.
    """
    try:
        return AgreementResult(**json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EngineError(f"{folder / RESULT_FILE} cannot be read: {error}") from error
