"""One stage of a run: network, optimizer and averaged weights, advanced step by step."""

from __future__ import annotations

import math
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from espnet_ros.errors import TrainingError
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.loading import Network
from espnet_ros.training.augmentation import Augmenter, Batch
from espnet_ros.training.compute import Compute, guard_convolutions
from espnet_ros.training.config import Stage, TrainingConfig
from espnet_ros.training.images import LabelledImages
from espnet_ros.training.losses import SegmentationLoss
from espnet_ros.training.optimisation import average_weights, build_optimizer, learning_rate
from espnet_ros.training.validation import Normalisation


class StepOutcome(NamedTuple):
    """Result of a training step."""

    step: int
    learning_rate: float
    loss: float
    gradient_norm: float


class ScoredNetwork(nn.Module):
    """A network that also returns the encoder's scores, which ESPNet's own ``forward`` does not."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tuple[Tensor, Tensor]:
        """Return the logits and the encoder's scores at 1/8 resolution; without a decoder they are the same."""
        if isinstance(self.network, ESPNet):
            encoded = self.network.encoder.features(image)
            return self.network.classifier(self.network.decode(encoded)), encoded.scores
        scores = self.network(image)
        return scores, scores


class StageRun:
    """State of a stage in progress.

    Args:
        config: of the run.
        stage: of the config.
        network: to train; moved to the device.
        sources: training images.
        order: image indices of the whole stage, over all sources concatenated.
        total_steps: length of the stage.
        augmenters: one per source.
        normalisation: on the device.
        loss: on the device.
        compute: device and number format.
    """

    def __init__(
        self,
        config: TrainingConfig,
        stage: Stage,
        network: Network,
        sources: Sequence[LabelledImages],
        order: Tensor,
        total_steps: int,
        augmenters: Sequence[Augmenter],
        normalisation: Normalisation,
        loss: SegmentationLoss,
        compute: Compute,
    ) -> None:
        self._config, self._stage, self._compute = config, stage, compute
        self.network = network.to(compute.device, memory_format=compute.memory_format).train()  # type: ignore[call-overload]
        guard_convolutions(self.network, compute)
        self._average = average_weights(self.network, config.ema_decay)
        self.step = 0
        self.total_steps = total_steps
        self._skipped = 0
        self._images = torch.cat([source.images for source in sources]).to(compute.device)
        self._labels = torch.cat([source.labels for source in sources]).to(compute.device)
        self._source_of = torch.repeat_interleave(torch.tensor([len(source) for source in sources]))
        self._order = order
        self._augmenters, self._normalise = augmenters, normalisation
        self._loss = torch.compile(loss, dynamic=False) if config.compile else loss
        self._optimizer = build_optimizer(self.network, stage)
        self._scaler = torch.amp.GradScaler("cuda", enabled=compute.needs_scaling)
        scored = ScoredNetwork(self.network)
        self._forward = torch.compile(scored, dynamic=False) if config.compile else scored
        self._parameters = list(self.network.parameters())
        self._buffers = [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]

    @property
    def is_done(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.total_steps

    @property
    def averaged_state(self) -> Dict[str, Tensor]:
        """State of the averaged network by name; its tensors change with every step."""
        state: Dict[str, Tensor] = self._average.module.state_dict()
        return state

    def advance(self) -> StepOutcome:
        """Run one training step.

        Raises:
            TrainingError: the loss or a gradient is not finite, and the config does not skip such steps, or too many
                were skipped in a row.
        """
        rate = learning_rate(self._stage, self.step, self.total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        before = [buffer.clone() for buffer in self._buffers] if self._config.nonfinite == "skip" else []
        loss, norm = self._differentiate()
        # With fp16, the scaler itself skips steps whose scaled gradients overflow.
        is_finite = math.isfinite(loss) and (math.isfinite(norm) or self._compute.needs_scaling)
        if is_finite:
            self._skipped = 0
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._average.n_averaged.fill_(self.step + 1)  # skipped steps count, too
            self._average.update_parameters(self.network)
        else:
            self._skip(loss, norm, before)
        outcome = StepOutcome(self.step, rate, loss, norm)
        self.step += 1
        return outcome

    def state(self) -> Dict[str, Any]:
        """Return the state for ``load``."""
        return {
            "step": self.step,
            "skipped": self._skipped,
            "network": self.network.state_dict(),
            "average": self.averaged_state,
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load(self, state: Dict[str, Any]) -> None:
        """Restore a saved state."""
        self.step, self._skipped = state["step"], state["skipped"]
        self.network.load_state_dict(state["network"])
        self._average.module.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])

    def batch(self, step: int) -> Batch:
        """Return the augmented images and labels of a step."""
        first = step * self._stage.batch_size
        chosen = self._order[first : first + self._stage.batch_size]
        source_of = self._source_of[chosen]
        parts = []
        for source in sorted(set(source_of.tolist())):
            index = chosen[source_of == source].to(self._compute.device)
            parts.append(self._augmenters[source](self._images[index], self._labels[index], step))
        return Batch(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))

    def _differentiate(self) -> Tuple[float, float]:
        """Compute the gradients of the next step; return the loss and the gradient norm."""
        with torch.no_grad():
            batch = self.batch(self.step)
            inputs = self._normalise(batch.images).contiguous(memory_format=self._compute.memory_format)
        self._optimizer.zero_grad(set_to_none=True)
        kind: Optional[torch.dtype] = self._compute.autocast
        with torch.autocast(self._compute.device.type, dtype=kind, enabled=kind is not None):
            logits, scores = self._forward(inputs)
        has_decoder = isinstance(self.network, ESPNet)
        loss = self._loss(logits.float(), batch.labels, scores.float() if has_decoder else None)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        limit = self._config.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, limit)
        values = torch.stack([loss.detach(), norm]).tolist()  # both at once, because each reading waits for the device
        return values[0], values[1]

    def _skip(self, loss: float, norm: float, buffers_before: Sequence[Tensor]) -> None:
        broken = f"loss {loss} and gradient norm {norm}"
        if self._config.nonfinite == "stop":
            raise TrainingError(f"step {self.step}: loss and gradients must be finite, got {broken}")
        self._skipped += 1
        if self._skipped >= self._config.max_skipped:
            raise TrainingError(
                f"step {self.step}: loss and gradients must be finite, got {broken}, for {self._skipped} steps in a row"
            )
        # Batch normalisation has already averaged the non-finite values.
        for buffer, value in zip(self._buffers, buffers_before):
            buffer.copy_(value)
        self._scaler.update()
