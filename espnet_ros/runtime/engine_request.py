"""A request for an engine, and the key by which equal engines are recognised."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Tuple

from espnet_ros.config import NodeConfig, rule_of
from espnet_ros.errors import WeightsError
from espnet_ros.model.checkpoint import is_family, select_checkpoint
from espnet_ros.runtime.engine_parameters import engine_values

EngineKey = Tuple[Any, ...]


class EngineRequest(NamedTuple):
    """A request for an engine.

    Attributes:
        config: the node's parameters.
        failed: pairs of a backend that failed at run time and the reason; these backends are not tried.
    """

    config: NodeConfig
    failed: Tuple[Tuple[str, str], ...] = ()

    @property
    def key(self) -> EngineKey:
        """Everything the engine depends on."""
        return (*engine_values(self.config), self.failed)

    @property
    def title(self) -> str:
        """Short description for messages."""
        config = self.config
        return f"{config.weights} (alpha {config.alpha}) for backend {config.backend}"

    def excluding(self, backend: str, reason: str) -> EngineRequest:
        """Return this request without a backend that failed."""
        return self._replace(failed=(*self.failed, (backend, reason)))

    def other_alphas(self) -> List[EngineRequest]:
        """Return this request for each other alpha of the weights; empty if they are a single checkpoint."""
        config = self.config
        if not is_family(config.weights):
            return []
        others = (alpha for alpha in rule_of("alpha").choices if alpha != config.alpha)
        return [self._replace(config=config.changed({"alpha": alpha})) for alpha in others if _has_alpha(config, alpha)]

    def explain_takeover(self, backend: str) -> str:
        """Return which backends failed and that ``backend`` took over; "" if none failed."""
        if not self.failed:
            return ""
        failures = "; ".join(f"backend {name} failed ({reason})" for name, reason in self.failed)
        return f"{failures}; {backend} took over"


def _has_alpha(config: NodeConfig, alpha: int) -> bool:
    try:
        select_checkpoint(config.weights, config.network, alpha)
    except WeightsError:
        return False
    return True
