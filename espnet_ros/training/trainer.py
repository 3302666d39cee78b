"""A training run from config to weights: stages, validation, snapshots and resuming."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from espnet_ros import __version__
from espnet_ros.classes import load_class_table
from espnet_ros.errors import DatasetError, ParameterError, TrainingError
from espnet_ros.evaluation.report import class_iou_by_name
from espnet_ros.model.checkpoint import Channels
from espnet_ros.model.loading import build_network
from espnet_ros.training.augmentation import Augmenter
from espnet_ros.training.compute import Compute, choose_compute, prepare
from espnet_ros.training.config import TrainingConfig
from espnet_ros.training.config_file import as_document
from espnet_ros.training.files import SNAPSHOT, WEIGHTS, load_snapshot, save_snapshot, save_weights, write_atomically
from espnet_ros.training.history import History, mean
from espnet_ros.training.images import load_images
from espnet_ros.training.interruption import Interruption
from espnet_ros.training.losses import SegmentationLoss
from espnet_ros.training.order import draw_order, steps_per_epoch
from espnet_ros.training.stage_run import StageRun
from espnet_ros.training.start import start_network
from espnet_ros.training.statistics import (
    class_frequencies,
    class_weights,
    missing_classes,
    normalisation,
    source_weights,
)
from espnet_ros.training.validation import Normalisation, measure

_SOURCE_STRIDE = 100_000
_SNAPSHOT_EVERY_S = 15.0
"""Minimum time between snapshots after epochs without validation, which are short on a GPU."""


@dataclass
class Best:
    """The best weights of a stage so far.

    Attributes:
        mean_iou: on the first validation source; None before the first validation or without a source.
        epoch: of the validation.
        state: the averaged weights, on the CPU.
        scores: mean IoU and IoU by class, by source.
    """

    mean_iou: Optional[float]
    epoch: int
    state: Dict[str, Tensor]
    scores: Dict[str, Any]


class Trainer:
    """Runs a training config.

    Args:
        config: of the run.
        out: output folder.
        device: ``auto``, ``cpu`` or ``cuda``.
        show_progress: show progress bars on stderr.

    Attributes:
        missing_classes: names of the classes that count but never occur in the training labels.

    Raises:
        ParameterError: the config does not fit the device.
        DatasetError: images or labels are missing or invalid; the message names the file.
        ClassTableError: the class table is missing or invalid.
    """

    def __init__(self, config: TrainingConfig, out: Path, device: str = "auto", show_progress: bool = False) -> None:
        self._config, self._out, self._show_progress = config, out, show_progress
        self._compute: Compute = choose_compute(config, device)
        self._table = load_class_table(config.classes)
        prepare(config, self._compute)
        self._images = load_images(config.sources, self._table, config.input_size, show_progress)
        mean_bgr, std_bgr = normalisation(self._images.train)
        self._mean: Channels = config.sources.mean_bgr or mean_bgr
        self._std: Channels = config.sources.std_bgr or std_bgr
        self._frequencies = class_frequencies(self._images.train, len(self._table))
        self.missing_classes = missing_classes(self._frequencies, self._table)
        self._normalisation = Normalisation(self._mean, self._std).to(self._compute.device)
        self._validation = [source.to(self._compute.device) for source in self._images.validation]
        self._history = History()
        self._finished: List[Best] = []
        self._best: Optional[Best] = None
        self._saved_step: Optional[Tuple[int, int]] = None
        self._saved_at = time.monotonic()

    def run(self, resume: bool = False) -> Dict[str, Any]:
        """Train all stages.

        Args:
            resume: resume the run in ``out`` if there is one.

        Returns:
            The content of report.json.

        Raises:
            ParameterError: ``out`` holds a run and ``resume`` is False, or holds a run with another config.
            TrainingError: the loss or a gradient is not finite.
            WeightsError: the snapshot or ``init`` cannot be read.
            DatasetError: ``out`` cannot be written.
        """
        snapshot = self._open(resume)
        if snapshot is None:
            document = yaml.safe_dump(as_document(self._config), sort_keys=False)
            write_atomically(self._out / "config.yaml", document.encode())
        with Interruption() as interruption:
            try:
                for index in range(len(self._finished), len(self._config.stages)):
                    stage_state = snapshot["stage"] if snapshot and snapshot["index"] == index else None
                    self._run_stage(index, stage_state, interruption)
            except BaseException:
                self._draw_unfinished()
                raise
        return self._finish()

    def _open(self, resume: bool) -> Optional[Dict[str, Any]]:
        path = self._out / SNAPSHOT
        if not path.is_file():
            return None
        if not resume:
            raise ParameterError(f"out folder {self._out} must not hold a run, holds one; use --resume to continue it")
        snapshot = load_snapshot(path)
        then, now = json.loads(snapshot["config"]), json.loads(self._config_text())
        if then != now:
            key = next(key for key in now if then.get(key) != now[key])
            raise ParameterError(
                f"{key} must be that of the run in {self._out} to resume it, {then.get(key)}, is {now[key]}"
            )
        self._history = History(snapshot["steps"], snapshot["epochs"])
        self._finished = [Best(**entry) for entry in snapshot["finished"]]
        self._best = Best(**snapshot["best"]) if snapshot["best"] else None
        self._saved_step = (snapshot["index"], snapshot["stage"]["step"] if snapshot["stage"] else 0)
        return snapshot

    def _run_stage(self, index: int, state: Optional[Dict[str, Any]], interruption: Interruption) -> None:
        run, epoch_steps = self._prepare_stage(index)
        if state is not None:
            run.load(state)
        label = f"{self._config.name} {self._config.stages[index].network}"
        with tqdm(
            total=run.total_steps, initial=run.step, desc=label, unit="step", disable=not self._show_progress
        ) as bar:
            began = time.monotonic()
            while not run.is_done:
                outcome = self._advance(index, run)
                self._history.steps.append([float(index), *map(float, outcome)])
                bar.update()
                bar.set_postfix(loss=f"{outcome.loss:.3f}", best=self._best_text(), refresh=False)
                if run.step % epoch_steps == 0 or run.is_done:
                    self._end_epoch(index, run, epoch_steps, time.monotonic() - began)
                    began = time.monotonic()
                if interruption.is_requested:
                    self._save(index, run)
                    self._draw_unfinished()  # here as well, because the signal may end the process
                    interruption.act()
        assert self._best is not None  # the last epoch sets it
        self._finished.append(self._best)
        self._best = None
        self._save(index + 1, None)

    def _advance(self, index: int, run: StageRun) -> Any:
        try:
            return run.advance()
        except TrainingError as error:
            known = "no snapshot was saved yet"
            if self._saved_step is not None:
                stage, step = self._saved_step
                known = f"last good snapshot: {self._out / SNAPSHOT} (stage {stage}, step {step})"
            raise TrainingError(f"stage {index}, {error}; {known}") from error

    def _prepare_stage(self, index: int) -> Tuple[StageRun, int]:
        config, stage = self._config, self._config.stages[index]
        train = self._images.train
        epoch_steps = steps_per_epoch(train, stage.batch_size)
        total = stage.steps or stage.epochs * epoch_steps
        seed = config.seed + 1000 * index
        crop = stage.crop or config.crop_size
        order = draw_order(
            [len(source) for source in train], source_weights(train).tolist(), total * stage.batch_size, seed
        )
        settings = config.loss
        weights = class_weights(
            self._frequencies, self._table, settings.class_weighting, settings.weighting_power, settings.ignored_weight
        )
        counted = [row.id for row in self._table.classes if not row.ignore]
        before = self._finished[-1].state if self._finished else None
        run = StageRun(
            config,
            stage,
            start_network(config, index, len(self._table), before),
            train,
            torch.from_numpy(order),
            total,
            [
                # Seeds far apart, so that sources have different augmentations.
                Augmenter(source.augmentation or config.augmentation, crop, self._mean, seed + _SOURCE_STRIDE * place)
                for place, source in enumerate(config.sources.train)
            ],
            self._normalisation,
            SegmentationLoss(settings, weights, counted).to(self._compute.device),
            self._compute,
        )
        return run, epoch_steps

    def _end_epoch(self, index: int, run: StageRun, epoch_steps: int, seconds: float) -> None:
        epoch = -(-run.step // epoch_steps)
        scores: Dict[str, Any] = {}
        if epoch % self._config.validate_every == 0 or run.is_done:
            scores = self.measure(index, run.averaged_state)
            self._keep_best(index, run, epoch, scores)
        self._history.epochs.append(
            {
                "stage": index,
                "epoch": epoch,
                "step": run.step,
                "seconds": round(seconds, 3),
                "learning_rate": self._history.steps[-1][2],
                "loss": mean(self._history.losses_since(index, (epoch - 1) * epoch_steps)),
                "mean_iou": {name: score["mean_iou"] for name, score in scores.items()},
            }
        )
        is_old = time.monotonic() - self._saved_at > _SNAPSHOT_EVERY_S
        if scores or is_old:
            self._save(index, run)
            self._history.write(self._out)

    def measure(self, index: int, state: Mapping[str, Tensor]) -> Dict[str, Any]:
        """Return mean IoU and IoU by class of a stage's weights, by validation source."""
        stage = self._config.stages[index]
        network = build_network(stage.network, self._config.alpha, len(self._table), self._config.skip_channels)
        network.load_state_dict(state)
        network = network.to(self._compute.device, memory_format=self._compute.memory_format).eval()  # type: ignore[call-overload]
        scores: Dict[str, Any] = {}
        for source in self._validation:
            matrix = measure(network, self._normalisation, source, self._table)
            total = matrix.mean_iou()
            scores[source.name] = {
                "mean_iou": None if math.isnan(total) else total,
                "class_iou": class_iou_by_name(matrix, self._table),
                "images": len(source),
            }
        return scores

    def _keep_best(self, index: int, run: StageRun, epoch: int, scores: Dict[str, Any]) -> None:
        first = next(iter(scores.values()))["mean_iou"] if scores else None
        is_better = self._best is None or first is None or first > (self._best.mean_iou or -1.0)
        if is_better:
            self._best = Best(first, epoch, _on_cpu(run.averaged_state), scores)
            self._export(index, self._best)

    def _export(self, index: int, best: Best) -> None:
        """Write the weights of a stage: those of the last stage to the run's file, others to a file of their own."""
        stage = self._config.stages[index]
        is_last = index == len(self._config.stages) - 1
        metadata = {
            "network": stage.network,
            "alpha": self._config.alpha,
            "classes": self._config.classes,
            "mean_bgr": list(self._mean),
            "std_bgr": list(self._std),
            "input_size": list(self._config.input_size),
            "divisor": 1.0,
            "name": self._config.name,
            "seed": self._config.seed,
            "epoch": best.epoch,
            "mean_iou": {name: score["mean_iou"] for name, score in best.scores.items()},
            "trained_with": f"espnet_ros {__version__}, torch {torch.__version__}",
        }
        save_weights(self._out / (WEIGHTS if is_last else f"stage{index}.safetensors"), best.state, metadata)

    def _save(self, index: int, run: Optional[StageRun]) -> None:
        state = {
            "config": self._config_text(),
            "index": index,
            "stage": run.state() if run is not None else None,
            "steps": self._history.steps,
            "epochs": self._history.epochs,
            "finished": [dict(best.__dict__) for best in self._finished],
            "best": dict(self._best.__dict__) if self._best is not None else None,
        }
        save_snapshot(self._out / SNAPSHOT, state)
        self._saved_at = time.monotonic()
        if run is not None:
            self._saved_step = (index, run.step)

    def _draw_unfinished(self) -> None:
        with suppress(DatasetError):  # must not replace the reason why the run ends
            self._history.draw(self._out)

    def _finish(self) -> Dict[str, Any]:
        best = self._finished[-1]
        self._export(len(self._config.stages) - 1, best)
        self._history.write(self._out)
        self._history.draw(self._out)
        report = {
            "name": self._config.name,
            "best_epoch": best.epoch,
            "scores": best.scores,
            "seconds": round(sum(row["seconds"] for row in self._history.epochs), 1),
            "device": self._compute.device.type,
            "precision": str(self._compute.autocast or torch.float32).split(".")[-1],
            "weights": str(self._out / WEIGHTS),
            "version": __version__,
            "torch": torch.__version__,
        }
        write_atomically(self._out / "report.json", (json.dumps(report, indent=2) + "\n").encode())
        return report

    def _config_text(self) -> str:
        return json.dumps(as_document(self._config))

    def _best_text(self) -> str:
        return "-" if self._best is None or self._best.mean_iou is None else f"{self._best.mean_iou:.4f}"


def _on_cpu(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}
