import csv
import json
import math
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
import yaml
from reporting.svg_reader import read_groups, read_path
from waiting import TIMEOUT, wait_until

from espnet_ros import cli
from espnet_ros.classes import load_class_table
from espnet_ros.errors import ParameterError, TrainingError, WeightsError
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.model.graph import SegmentationGraph
from espnet_ros.model.loading import load_network
from espnet_ros.model.state_dict import read_state_dict
from espnet_ros.training import history, stage_run
from espnet_ros.training.files import load_snapshot
from espnet_ros.training.images import load_images
from espnet_ros.training.interruption import Interruption
from espnet_ros.training.start import start_network
from espnet_ros.training.trainer import Trainer
from espnet_ros.training.validation import Normalisation, predict

pytestmark = pytest.mark.slow


def _train(config, out, resume=False):
    return Trainer(config, out, "cpu").run(resume)


def _rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def _load_folder(folder):
    """Images and labels of a folder of scenes."""
    images = [cv2.imread(str(path)) for path in sorted((folder / "images").iterdir())]
    return images, [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((folder / "labels").iterdir())]


def _losses(out):
    return [row["loss"] for row in _rows(out / "steps.csv")]


@pytest.fixture
def interrupting(monkeypatch):
    """Makes a run stop after so many steps as if Ctrl-C had come."""

    def after(steps):
        advance = stage_run.StageRun.advance

        def counted(run):
            outcome = advance(run)
            if outcome.step + 1 == steps:
                os.kill(os.getpid(), signal.SIGINT)
            return outcome

        monkeypatch.setattr(stage_run.StageRun, "advance", counted)

    return after


def test_a_tiny_run_learns_and_its_weights_load_like_any_others(make_config, tmp_path):
    config = make_config(
        loss={"lovasz_weight": 0.5, "encoder_weight": 0.4, "ignored_weight": 0.5},
        sources={"train": [{"folder": "train"}], "validation": [{"folder": "val"}], "hold_out": ["b_"]},
        stages=[{"steps": 40, "batch_size": 4, "learning_rate": 1e-2, "warmup_steps": 3}],
    )
    out = tmp_path / "out"
    trainer = Trainer(config, out, "cpu")
    report = trainer.run()
    losses = [float(value) for value in _losses(out)]
    assert len(losses) == 40
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert set(report["scores"]) == {"val", "hold_out"}
    assert report["scores"]["val"]["mean_iou"] > 0.3
    assert report["scores"]["hold_out"]["images"] == 2

    checkpoint = select_checkpoint(str(out / "weights.safetensors"), "espnet", 8)
    assert (checkpoint.network, checkpoint.alpha, checkpoint.classes) == ("espnet", 3, "camvid")
    assert (checkpoint.input_size, checkpoint.divisor) == ((48, 64), 1.0)
    network = load_network(checkpoint)
    assert trainer.measure(0, network.state_dict()) == report["scores"]
    assert report["best_epoch"] == load_snapshot(out / "state.pt")["finished"][0]["epoch"]

    images = load_images(config.sources, load_class_table("camvid"), config.input_size, False).validation[0].images
    trained = predict(network, Normalisation(checkpoint.mean_bgr, checkpoint.std_bgr), images)
    labels = torch.cat([SegmentationGraph(network, checkpoint)(image[None])[0] for image in images])
    assert (trained == labels).float().mean() > 0.9999  # rounding of another order of sums


def test_what_is_kept_is_the_average_of_the_best_validation(make_config, tmp_path):
    report = _train(make_config(), tmp_path / "out")
    rows = [row for row in _rows(tmp_path / "out" / "curves.csv") if row["mean_iou_val"]]
    best = max(rows, key=lambda row: float(row["mean_iou_val"]))
    assert report["best_epoch"] == int(best["epoch"])
    assert report["scores"]["val"]["mean_iou"] == pytest.approx(float(best["mean_iou_val"]))
    finished = load_snapshot(tmp_path / "out" / "state.pt")["finished"][0]["state"]
    kept = read_state_dict(tmp_path / "out" / "weights.safetensors")
    assert all(torch.equal(kept[name], finished[name]) for name in finished)


def test_the_same_config_and_seed_give_the_same_losses(make_config, tmp_path):
    for name, seed, steps in (("a", 1, 20), ("b", 1, 20), ("c", 2, 1)):
        _train(make_config(stages=[{"steps": steps, "batch_size": 2}], seed=seed), tmp_path / name)
    assert _losses(tmp_path / "a") == _losses(tmp_path / "b")
    assert _losses(tmp_path / "a")[0] != _losses(tmp_path / "c")[0]


@pytest.mark.parametrize("steps", [3, 9])
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(make_config, tmp_path, interrupting, steps):
    stages = [{"network": "espnet_c", "steps": 5, "batch_size": 4}, {"steps": 9, "batch_size": 4}]
    config = make_config(stages=stages, validate_every=2)
    whole = _train(config, tmp_path / "whole")
    interrupting(steps)
    with pytest.raises(KeyboardInterrupt):
        _train(config, tmp_path / "parts")
    snapshot = load_snapshot(tmp_path / "parts" / "state.pt")
    assert (snapshot["index"], snapshot["stage"]["step"]) == ((0, 3) if steps == 3 else (1, 9))
    if steps == 3:  # the second stage has a third step too
        with pytest.raises(KeyboardInterrupt):
            _train(config, tmp_path / "parts", resume=True)
    resumed = _train(config, tmp_path / "parts", resume=True)
    assert resumed["scores"] == whole["scores"]
    for name in ("steps.csv", "weights.safetensors", "stage0.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_second_stage_starts_from_the_encoder_of_the_first(make_config, tmp_path):
    stages = [
        {"network": "espnet_c", "steps": 4, "batch_size": 4},
        {"steps": 1, "batch_size": 4, "learning_rate": 1e-8},
    ]
    _train(make_config(stages=stages, ema_decay=0.0), tmp_path / "out")
    first = read_state_dict(tmp_path / "out" / "stage0.safetensors")
    second = read_state_dict(tmp_path / "out" / "weights.safetensors")
    assert torch.allclose(first["level1.conv.weight"], second["encoder.level1.conv.weight"], atol=1e-6)
    checkpoint = select_checkpoint(str(tmp_path / "out" / "stage0.safetensors"), "espnet", 8)
    assert checkpoint.network == "espnet_c"
    load_network(checkpoint)


def test_a_larger_alpha_starts_from_the_levels_that_it_shares(make_config, tmp_path):
    _train(make_config(stages=[{"steps": 2, "batch_size": 4}]), tmp_path / "small")
    weights = tmp_path / "small" / "weights.safetensors"
    frozen = [{"steps": 1, "batch_size": 4, "learning_rate": 1e-8, "optimizer": "sgd"}]
    _train(make_config(alpha=5, init=str(weights), stages=frozen), tmp_path / "large")
    small, large = read_state_dict(weights), read_state_dict(tmp_path / "large" / "weights.safetensors")
    for name in ("encoder.level3.2.c1.conv.weight", "classifier.weight"):
        assert torch.allclose(small[name], large[name], atol=1e-6)
    with pytest.raises(WeightsError, match="cannot be read"):
        _train(make_config(init=str(tmp_path / "none.safetensors")), tmp_path / "other")


def test_a_larger_alpha_starts_as_good_as_the_smaller(make_config, tmp_path):
    _train(make_config(), tmp_path / "small")
    path = tmp_path / "small" / "weights.safetensors"
    small = load_network(select_checkpoint(str(path), "espnet", 3)).eval()
    large = start_network(make_config(alpha=8, init=str(path)), 0, 12, None).eval()
    image = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(small(image), large(image), atol=1e-2)
        for block in large.encoder.level3[3:]:
            block.bn.bn.running_mean.add_(1.0)
        assert not torch.allclose(small(image), large(image), atol=1e-2)


def test_a_stage_goes_on_from_the_one_before_with_its_own_crop(make_config, tmp_path, monkeypatch):
    seen = []
    batch = stage_run.StageRun.batch

    def noted(run, step):
        drawn = batch(run, step)
        seen.append((tuple(drawn.labels.shape[1:]), run.network.state_dict()["classifier.weight"].clone()))
        return drawn

    monkeypatch.setattr(stage_run.StageRun, "batch", noted)
    stages = [{"steps": 4, "batch_size": 4, "crop": [24, 32]}, {"steps": 1, "batch_size": 4}]
    _train(make_config(stages=stages), tmp_path / "out")
    assert [size for size, _ in seen] == [(24, 32)] * 4 + [(48, 64)]
    first = read_state_dict(tmp_path / "out" / "stage0.safetensors")["classifier.weight"]
    assert torch.equal(seen[-1][1], first)


def test_a_source_can_have_changes_of_its_own(make_config, tmp_path, monkeypatch, scenes):
    batches = []
    batch = stage_run.StageRun.batch
    monkeypatch.setattr(stage_run.StageRun, "batch", lambda run, step: batches.append(batch(run, step)) or batches[-1])
    sources = {
        "train": [
            {"folder": "train", "share": 1.0},
            {"folder": "val", "share": 1.0, "augmentation": {"flip": 0.0}},
        ],
        "validation": [{"folder": "val"}],
    }
    augmentation = {"flip": 0.0, "brightness": 0.5, "noise": 9.0}
    stages = [{"steps": 5, "batch_size": 4}]
    _train(make_config(sources=sources, augmentation=augmentation, stages=stages), tmp_path / "out")
    known = {split: _load_folder(scenes / split) for split in ("train", "val")}
    kinds = []
    for images, labels in batches:
        assert len(images) == 4
        for image, label in zip(images, labels):
            split, place = next(
                (split, place)
                for split, (_, truths) in known.items()
                for place, truth in enumerate(truths)
                if np.array_equal(truth, label.numpy())
            )
            change = np.abs(known[split][0][place].astype(float) - image.permute(1, 2, 0).numpy()).max()
            kinds.append((split, bool(change < 0.1)))
    assert set(kinds) == {("train", False), ("val", True)}


def test_a_run_is_not_overwritten_nor_resumed_with_another_config(make_config, tmp_path):
    stages = [{"steps": 2, "batch_size": 4}]
    _train(make_config(stages=stages), tmp_path / "out")
    with pytest.raises(ParameterError, match="must not hold a run, holds one; use --resume to continue it"):
        _train(make_config(stages=stages), tmp_path / "out")
    with pytest.raises(ParameterError, match="seed must be that of the run in .* 5, is 6"):
        _train(make_config(stages=stages, seed=6), tmp_path / "out", resume=True)
    before = (tmp_path / "out" / "weights.safetensors").read_bytes()
    _train(make_config(stages=stages), tmp_path / "out", resume=True)
    assert (tmp_path / "out" / "weights.safetensors").read_bytes() == before
    (tmp_path / "out" / "state.pt").write_bytes(b"half")
    with pytest.raises(WeightsError, match=r"state.pt: cannot be read"):
        _train(make_config(stages=stages), tmp_path / "out", resume=True)


def _break_loss(monkeypatch, steps):
    forward = stage_run.SegmentationLoss.forward
    calls = iter(range(1000))

    def broken(self, *args):
        loss = forward(self, *args)
        return loss * math.nan if next(calls) in steps else loss

    monkeypatch.setattr(stage_run.SegmentationLoss, "forward", broken)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_last_good_snapshot(make_config, tmp_path, monkeypatch):
    _break_loss(monkeypatch, {5})
    with pytest.raises(TrainingError, match=r"stage 0, step 5: .* must be finite, got loss nan") as error:
        _train(make_config(validate_every=1), tmp_path / "out")
    assert str(error.value).endswith(f"last good snapshot: {tmp_path / 'out' / 'state.pt'} (stage 0, step 4)")
    state = load_snapshot(tmp_path / "out" / "state.pt")["stage"]["network"]
    assert all(value.isfinite().all() for value in state.values())


def test_broken_steps_can_be_skipped_up_to_a_limit(make_config, tmp_path, monkeypatch):
    stages = [{"steps": 6, "batch_size": 4}]
    _break_loss(monkeypatch, {1, 3})
    _train(make_config(stages=stages, nonfinite="skip", max_skipped=2), tmp_path / "out")
    assert [math.isnan(float(loss)) for loss in _losses(tmp_path / "out")] == [False, True, False, True, False, False]
    monkeypatch.undo()
    _break_loss(monkeypatch, {2, 3})
    with pytest.raises(TrainingError, match="for 2 steps in a row; no snapshot|for 2 steps in a row; last good"):
        _train(make_config(stages=stages, nonfinite="skip", max_skipped=2), tmp_path / "more")


def test_a_run_leaves_curves_as_a_table_and_as_a_picture(make_config, tmp_path):
    _train(make_config(), tmp_path / "out")
    rows = _rows(tmp_path / "out" / "curves.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(1, 16))  # 8 images in batches of 4, 30 steps
    assert [row["epoch"] for row in rows if row["mean_iou_val"]] == ["5", "10", "15"]
    losses = [float(loss) for loss in _losses(tmp_path / "out")]
    assert float(rows[1]["loss"]) == pytest.approx((losses[2] + losses[3]) / 2)
    chart = (tmp_path / "out" / "curves.svg").read_text()
    assert list(read_groups(chart, "loss ")) == ["loss training"]
    assert list(read_groups(chart, "mean IoU ")) == ["mean IoU val"]
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["alpha"] == 3
    assert not list((tmp_path / "out").glob("*.part"))


def test_curves_are_drawn_once_at_the_end_whatever_ends_the_run(make_config, tmp_path, interrupting, monkeypatch):
    drawn = []
    draw = history.training_chart
    monkeypatch.setattr(history, "training_chart", lambda *curves: drawn.append(1) or draw(*curves))
    _train(make_config(), tmp_path / "whole")
    assert drawn == [1]
    _break_loss(monkeypatch, {25})
    with pytest.raises(TrainingError):
        _train(make_config(), tmp_path / "broken")
    monkeypatch.undo()
    interrupting(25)
    with pytest.raises(KeyboardInterrupt):
        _train(make_config(), tmp_path / "interrupted")
    for name, validations in (("whole", 3), ("broken", 2), ("interrupted", 2)):
        chart = (tmp_path / name / "curves.svg").read_text()
        (marks,) = read_groups(chart, "mean IoU ").values()
        assert len(read_path(marks)) == validations


def test_bf16_trains_on_a_cpu(make_config, tmp_path):
    _train(make_config(precision="bf16", stages=[{"steps": 4, "batch_size": 4}]), tmp_path / "out")
    assert all(math.isfinite(float(loss)) for loss in _losses(tmp_path / "out"))


def test_a_compiled_run_has_the_losses_of_one_that_is_not(make_config, tmp_path):
    loss = {"lovasz_weight": 0.5, "encoder_weight": 0.4}
    for name, is_compiled in (("compiled", True), ("not", False)):
        config = make_config(compile=is_compiled, precision="fp32", loss=loss, stages=[{"steps": 3, "batch_size": 4}])
        _train(config, tmp_path / name)
    compiled, plain = ([float(loss) for loss in _losses(tmp_path / name)] for name in ("compiled", "not"))
    assert compiled == pytest.approx(plain, rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_learns_and_repeats_its_losses(make_config, tmp_path, precision):
    config = make_config(precision=precision, loss={"lovasz_weight": 0.5, "encoder_weight": 0.4})
    for name in ("a", "b"):
        Trainer(config, tmp_path / name, "cuda").run()
    losses = _losses(tmp_path / "a")
    assert losses[:20] == _losses(tmp_path / "b")[:20]
    assert float(losses[-1]) < float(losses[0])


def test_signals_are_noted_once_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.is_requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.act()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_ends_it(config_file, tmp_path, number, code):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "espnet_ros.cli", "train", str(config_file), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--set", "stages.0.steps=100000"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: (out / "state.pt").exists() or process.poll() is not None, "a snapshot")
        process.send_signal(number)
        _, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in err
    snapshot = load_snapshot(out / "state.pt")
    assert snapshot["stage"]["step"] == len(snapshot["steps"]) > 0
    assert not list(out.glob("*.part"))


def test_the_command_trains_and_prints_the_scores(config_file, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["train", str(config_file), "--out", str(out), "--device", "cpu", "--set", "stages.0.steps=2"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert f"val: mean IoU {report['scores']['val']['mean_iou']:.4f}, 3 images" in printed
    assert printed.endswith(f"weights: {out / 'weights.safetensors'}\n")
    assert cli.main(command) == 1
    assert "use --resume to continue it" in capsys.readouterr().err
    assert cli.main([*command, "--resume"]) == 0


def test_bad_data_is_named_before_training_starts(config_file, scenes, tmp_path, capsys):
    (scenes / "val" / "labels" / "c_1.png").unlink()
    assert cli.main(["train", str(config_file), "--out", str(tmp_path / "out")]) == 1
    assert "image c_1.png: every image needs a label image" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
