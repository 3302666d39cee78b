"""The Muon optimizer for convolutions.

torch.optim.Muon updates matrices one by one. An ESPNet has a hundred small ones in a dozen shapes; batched by shape,
they take a fifth of the time.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration. Jordan chose them to raise small singular values fast; all end up between 0.7 and 1.2."""
_ADAM_LENGTH = 0.2
"""RMS of a typical AdamW update, in learning rates (Liu et al., "Muon is scalable for LLM training", 2025)."""


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) for convolutions, AdamW for vectors.

    A convolution's weight is treated as a matrix with one row per output channel. Its momentum is replaced by
    approximately the nearest orthogonal matrix, so that all directions are learnt at the same speed, not only the few
    that dominate the gradients. Updates have the length of typical AdamW updates, so both share one learning rate.

    Args:
        convolutions: parameters with two or more dimensions.
        vectors: the other parameters, without weight decay.
        learning_rate: of both.
        weight_decay: of the convolutions; multiplied by the learning rate in each step.
    """

    def __init__(
        self,
        convolutions: Sequence[nn.Parameter],
        vectors: Sequence[nn.Parameter],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        groups = [
            {"params": list(convolutions), "weight_decay": weight_decay},
            {"params": list(vectors), "weight_decay": 0.0},
        ]
        super().__init__(groups, {"lr": learning_rate})
        self._adamw = torch.optim.AdamW(self.param_groups[1]["params"], lr=learning_rate, weight_decay=0.0)

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], float]] = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. A closure is not evaluated."""
        convolutions, vectors = self.param_groups
        by_shape: Dict[Tuple[int, ...], List[nn.Parameter]] = {}
        for weight in convolutions["params"]:
            if weight.grad is not None:
                by_shape.setdefault((len(weight), weight[0].numel()), []).append(weight)
        for weights in by_shape.values():
            self._update(weights, convolutions["lr"], convolutions["weight_decay"])
        self._adamw.param_groups[0]["lr"] = vectors["lr"]
        self._adamw.step()

    def state_dict(self) -> Dict[str, Any]:
        """Return the state for ``load_state_dict``."""
        return {"convolutions": super().state_dict(), "vectors": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Restore a saved state."""
        super().load_state_dict(state_dict["convolutions"])
        self._adamw.load_state_dict(state_dict["vectors"])

    def _update(self, weights: Sequence[nn.Parameter], rate: float, decay: float) -> None:
        """Update weights that are matrices of one shape."""
        ahead = torch.stack([self._nesterov_momentum(weight) for weight in weights])  # (n, rows, columns)
        length = rate * _ADAM_LENGTH * max(ahead.shape[1:]) ** 0.5
        for weight, direction in zip(weights, orthogonalise(ahead)):
            weight.mul_(1.0 - rate * decay).add_(direction.reshape(weight.shape), alpha=-length)

    def _nesterov_momentum(self, weight: nn.Parameter) -> Tensor:
        """Add the gradient to the momentum; return the Nesterov momentum as (rows, columns)."""
        gradient = weight.grad
        assert gradient is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"].lerp_(gradient, 1.0 - _MOMENTUM)
        return gradient.lerp(momentum, _MOMENTUM).flatten(1)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return (n, rows, columns) matrices with the same singular vectors and singular values of about 1."""
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if is_tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    first, second, third = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=second, alpha=third), x, beta=first)
    return x.transpose(1, 2) if is_tall else x
