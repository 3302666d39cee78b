"""What a build came to: kept with the engine, so that an engine that was refused is not built again at every start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet_ros.errors import EngineError

_VERDICT_FILE = "verdict.json"


@dataclass(frozen=True)
class AgreementResult:
    """How an engine's labels compare with torch's.

    Attributes:
        precision: what the engine computes in.
        agreement: share of a sample's pixels that it labels like torch, 0 to 1.
        images: how many the sample has.
        limit: the least agreement that is taken.
    """

    precision: str
    agreement: float
    images: int
    limit: float

    @property
    def refusal(self) -> str:
        """Why the engine is refused; "" where it is not."""
        if self.agreement >= self.limit:
            return ""
        return (
            f"in {self.precision} only {100 * self.agreement:.2f} % of a sample's pixels have the label that torch "
            f"gives them; at least {100 * self.limit:g} % must"
        )

    def __str__(self) -> str:
        return f"labels {100 * self.agreement:.2f} % as torch's on {self.images} images"

    def write(self, folder: Path) -> None:
        """Put it beside the engine."""
        (folder / _VERDICT_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_agreement_result(folder: Path) -> AgreementResult:
    """The verdict on the engine in a folder.

    Raises:
        EngineError: it cannot be read.
    """
    try:
        return AgreementResult(**json.loads((folder / _VERDICT_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EngineError(f"{folder / _VERDICT_FILE} cannot be read: {error}") from error
