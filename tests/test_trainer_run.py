"""Whole attempts in this process: what is learnt depends on the config and on nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from support.disks import full_disk
from support.sketches import draw_sketches
from support.trainers import (
    LeaveAtCheck,
    folder_of,
    interrupted,
    judged,
    leaves,
    newest,
    order_for,
    tiny,
    train,
)

from schemas.config import TrainConfig
from schemas.errors import ConfigError, Problem
from schemas.events import Chosen, Epoch, ExitCode, Line, Order, Saved
from schemas.result import Result
from schemas.run import Cause
from schemas.source import load
from schemas.writing import dump
from trainer import checkpoint
from trainer.entry.attempt import judge
from trainer.faults import Leave

FILES = {"kind": "files"}
LIVELY = {
    "augment": {"kind": "timm", "auto_augment": "rand-m9-mstd0.5", "erase": 0.3},
    "mix": {"mixup": 0.2, "cutmix": 0.5},
    "model__drop_rate": 0.1,
    "model__drop_path_rate": 0.2,
    "loss__label_smoothing": 0.1,
    "train__clip_norm": 1.0,
    "schedule__warmup_epochs": 0.5,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images: 19 train in 4 steps an epoch, 5 validate."""
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def final(result: Result) -> str:
    """The weights at the end of a run, as a checksum."""
    assert result.exit_code == ExitCode.FINISHED, result.error
    return str(result.facts["final_weights_sha256"])


def metrics(order: Order) -> str:
    return folder_of(order).metrics.read_text()


# ---- the same, every time ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_with_and_without_loader_processes(
    data: Path, tmp_path: Path
) -> None:
    orders = [
        order_for(tmp_path / name, data, tiny(**LIVELY, **changes))
        for name, changes in (
            ("alone", {}),
            ("helped", {"data__workers": 2}),
            ("control", {"seed": 43}),
            ("faster", {"optim__lr": 2e-3}),
        )
    ]
    alone, helped, control, faster = (final(train(order)) for order in orders)
    assert alone == helped
    assert metrics(orders[0]) == metrics(orders[1])
    assert len({alone, control, faster}) == 3


@pytest.mark.parametrize("model", ["test_vit", "test_resnet"])
def test_a_run_that_was_interrupted_twice_ends_with_the_weights_and_rows_of_one_that_was_not(
    model: str, data: Path, tmp_path: Path
) -> None:
    config = tiny(**LIVELY, model__name=model, train__save_every_steps=3)
    whole = order_for(tmp_path / "whole", data, config)
    expected = final(train(whole))

    first = order_for(tmp_path / "run", data, config)
    leaves(first, 3)  # in the middle of epoch 1
    second = order_for(tmp_path / "run", data, config, resume=str(newest(first)))
    leaves(second, 9)
    third = order_for(tmp_path / "run", data, config, resume=str(newest(second)))
    assert final(train(third)) == expected
    assert metrics(third) == metrics(whole)


def test_leaving_during_an_evaluation_redoes_it_and_changes_nothing(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(data__pixels=FILES)
    first = order_for(tmp_path / "run", data, config)
    first_of_evaluation = 1 + 1 + 4 + 1  # the images are looked for and into, steps, ...
    assert train(first, leave=LeaveAtCheck(first_of_evaluation)).step == 4
    assert json.loads((newest(first) / "meta.json").read_text())["epoch"] == 0
    second = order_for(tmp_path / "run", data, config, resume=str(newest(first)))
    whole = order_for(tmp_path / "whole", data, config)
    assert final(train(second)) == final(train(whole))
    assert metrics(second) == metrics(whole)


@pytest.mark.parametrize("mix", [{}, {"mixup": 0.2, "cutmix": 0.5}])
def test_accumulation_does_not_change_the_mathematics(
    mix: dict[str, float], data: Path, tmp_path: Path
) -> None:
    results = [
        train(order_for(tmp_path / name, data, tiny(mix=mix, **changes), **more))
        for name, changes, more in (
            ("whole", {}, {}),
            ("halves", {"train__accumulate": 2}, {}),
            ("uneven", {}, {"micro_batch": 3}),
        )
    ]
    assert [result.facts["micro_batch"] for result in results] == [4, 2, 3]
    losses = [result.metrics["train_loss"] for result in results]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


# ---- what is said --------------------------------------------------------------------------------


def test_a_run_says_its_choice_its_epochs_its_checkpoints_and_its_result(
    data: Path, tmp_path: Path
) -> None:
    said: list[Line] = []
    order = order_for(tmp_path / "run", data, tiny(train__save_every_steps=5))
    result = train(order, said.append)
    assert [line for line in said if isinstance(line, Chosen)] == [
        Chosen(precision="fp32", micro_batch=4)
    ]
    epochs = [line for line in said if isinstance(line, Epoch)]
    assert [(line.epoch, line.step) for line in epochs] == [(1, 4), (2, 8), (3, 12)]
    assert {"loss", "accuracy", "macro_f1", "train_loss", "lr"} == set(epochs[0].metrics)
    saved = [line for line in said if isinstance(line, Saved)]
    assert [line.step for line in saved] == [5, 10]
    assert checkpoint.damage(Path(order.run_dir) / saved[-1].path) == ""
    best = folder_of(order).best / "weights.safetensors"
    assert result.best and checkpoint.checksum(best) == result.facts["weights_sha256"]
    assert result.metrics["accuracy"] == result.best.value
    environment = json.loads(folder_of(order).environment.read_text())
    assert environment["versions"]["timm"] == "1.0.31"


def test_a_resumed_attempt_repeats_the_choices_of_the_first(data: Path, tmp_path: Path) -> None:
    said: list[Line] = []
    order = order_for(
        tmp_path / "run", data, tiny(train__epochs=1), precision="bf16", micro_batch=2
    )
    train(order, said.append)
    assert Chosen(precision="bf16", micro_batch=2) in said


def test_epochs_that_are_not_evaluated_have_no_score_and_the_last_one_always_has(
    data: Path, tmp_path: Path
) -> None:
    order = order_for(tmp_path / "run", data, tiny(evaluate={"every": 2, "metric": "loss"}))
    result = train(order)
    scores = [row.split(",")[-1] for row in metrics(order).splitlines()[1:]]
    assert [score != "" for score in scores] == [False, True, True]
    assert result.best and result.best.metric == "loss" and result.best.epoch in (2, 3)


def test_an_evaluation_counts_every_validation_image_once_and_as_it_is(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(**LIVELY, train__epochs=1, data__pixels=FILES)  # 5 images, read as 4 and 1
    order = order_for(tmp_path / "run", data, config)
    row = train(order).metrics
    losses, right = judged(folder_of(order).best, config, data)
    assert len(losses) == 5
    assert row["accuracy"] == right / 5
    assert row["loss"] == pytest.approx(sum(losses) / 5, rel=1e-5)


# ---- checkpoints ---------------------------------------------------------------------------------


def test_of_a_damaged_checkpoint_the_one_before_is_used(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny(train__save_every_steps=3)
    first = order_for(tmp_path / "run", data, config)
    leaves(first, 6)
    damaged = newest(first)
    (damaged / "state.pt").write_bytes(b"nonsense")
    second = order_for(tmp_path / "run", data, config, resume=str(damaged))
    result = train(second)
    assert f"{damaged} is damaged" in caplog.text
    assert result.facts["started_at_step"] == 3
    assert final(result) == final(train(order_for(tmp_path / "whole", data, config)))


def test_without_any_whole_checkpoint_a_run_starts_from_step_0(data: Path, tmp_path: Path) -> None:
    order = order_for(
        tmp_path / "run", data, tiny(train__epochs=1), resume=str(tmp_path / "step-5")
    )
    assert train(order).facts["started_at_step"] == 0


def retry(data: Path, tmp_path: Path, **changes: Any) -> tuple[Result, TrainConfig]:
    """A run that left after two epochs, and what a retry with changed keys makes of it."""
    old = order_for(tmp_path / "old", data, tiny(train__save_every_steps=4))
    interrupted(old, Epoch, 2)
    config = tiny(train__save_every_steps=4, **changes)
    return train(order_for(tmp_path / "new", data, config, init_from=str(newest(old)))), config


def test_a_retry_without_a_change_goes_on_where_the_old_run_stopped(
    data: Path, tmp_path: Path
) -> None:
    result, config = retry(data, tmp_path)
    assert result.facts["started_at_step"] == 8
    assert final(result) == final(train(order_for(tmp_path / "whole", data, config)))


def test_a_retry_with_another_learning_rate_goes_on_with_that_rate(
    data: Path, tmp_path: Path
) -> None:
    result, _ = retry(data, tmp_path, optim__lr=1e-5, optim__weight_decay=0.0, train__epochs=4)
    assert result.facts["started_at_step"] == 8
    rows = folder_rates(tmp_path / "new")
    assert len(rows) == 4 and rows[2] < 1e-5 < rows[1]


def folder_rates(run: Path) -> list[float]:
    table = next(run.glob("attempts/*/metrics.csv")).read_text().splitlines()
    column = table[0].split(",").index("lr")
    return [float(row.split(",")[column]) for row in table[1:]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data__batch_size": 6}, "at step 0: data.batch_size changed"),
        ({"data__img_size": 48}, "at step 0: data.img_size changed"),
        ({"train__epochs": 1}, "at step 0: it is past this run's end"),
    ],
)
def test_a_retry_that_cannot_go_on_takes_only_the_weights(
    changes: dict[str, Any],
    reason: str,
    data: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "trainer")
    result, _ = retry(data, tmp_path, **changes)
    assert result.exit_code == ExitCode.FINISHED
    assert reason in caplog.text and "took over step-8: 80 tensors" in caplog.text


def test_a_run_whose_table_changed_does_not_go_on_with_another_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "trainer")
    data = draw_sketches(tmp_path / "data")
    config = tiny(train__save_every_steps=4)
    first = order_for(tmp_path / "run", data, config)
    interrupted(first, Epoch, 2)
    table = (data / "train.csv").read_text().splitlines(keepends=True)
    (data / "train.csv").write_text("".join(table[:-1]))
    resumed = train(order_for(tmp_path / "run", data, config, resume=str(newest(first))))
    assert (resumed.exit_code, resumed.cause) == (ExitCode.DATA, Cause.DATA)
    again = train(order_for(tmp_path / "new", data, config, init_from=str(newest(first))))
    assert again.facts["started_at_step"] == 0
    assert "without the old weights: the table of images changed" in caplog.text


def test_a_resumed_run_does_not_need_its_first_weights_again(data: Path, tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=3, img_size=32).state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    config = tiny(model__weights="w.safetensors", data__source={"root": "data"})
    (tmp_path / "data").symlink_to(data)
    first = order_for(tmp_path / "run", tmp_path, config)
    interrupted(first, Epoch, 1)
    (tmp_path / "w.safetensors").unlink()
    second = order_for(tmp_path / "run", tmp_path, config, resume=str(newest(first)))
    assert train(second).exit_code == ExitCode.FINISHED


@pytest.mark.parametrize("changes", [{"seed": 1}, {"model__name": "test_resnet"}])
def test_a_retry_whose_validation_images_were_learnt_before_starts_afresh(
    changes: dict[str, Any], data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "trainer")
    result, config = retry(data, tmp_path, **changes)
    assert "starts from step 0, without the old weights" in caplog.text
    assert final(result) == final(train(order_for(tmp_path / "fresh", data, config)))


# ---- how runs fail -------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(optim__lr=1e30, train__log_every=5, train__save_every_steps=1)
    order = order_for(tmp_path / "run", data, config)
    result = train(order)
    assert (result.exit_code, result.cause) == (ExitCode.DIVERGED, Cause.DIVERGED)
    assert result.try_this == "optim.lr=1e+29"
    for folder in folder_of(order).checkpoints.iterdir():
        assert all(w.isfinite().all() for w in checkpoint.read(folder).weights.values())


def test_missing_images_are_a_data_error_that_names_them(data: Path, tmp_path: Path) -> None:
    folder = draw_sketches(tmp_path / "data")
    for number in (1, 4):
        (folder / "train" / "n00000001" / f"sketch_{number}.JPEG").unlink()
    result = train(order_for(tmp_path / "run", folder, tiny()))
    assert (result.exit_code, result.cause) == (ExitCode.DATA, Cause.DATA)
    assert "2 of 24 images" in result.error
    assert "sketch_1.JPEG" in result.error and "sketch_4.JPEG" in result.error


def test_a_batch_that_is_never_whole_is_a_config_error(data: Path, tmp_path: Path) -> None:
    result = train(order_for(tmp_path / "run", data, tiny(data__batch_size=64)))
    assert (result.exit_code, result.cause) == (ExitCode.CONFIG, Cause.CONFIG)
    assert result.try_this == "data.batch_size=19 or less"


def test_a_run_whose_disk_is_full_goes_on_and_after_three_refusals_ends_in_one_line(
    data: Path, tmp_path: Path
) -> None:
    order = order_for(tmp_path / "run", data, tiny(train__save_every_steps=1, data__pixels=FILES))
    with full_disk(limit=100_000):  # room for small files, not for weights
        result = train(order)
    assert (result.exit_code, result.cause, result.step) == (ExitCode.CODE, Cause.CODE, 4)
    assert result.error.startswith("3 checkpoints in a row could not be written")
    assert not list(folder_of(order).checkpoints.iterdir())


def test_who_is_asked_to_leave_before_the_first_step_leaves_without_a_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    leave = Leave()
    leave.ask("the test")
    order = order_for(tmp_path / "run", data, tiny())
    assert train(order, leave=leave).exit_code == ExitCode.SAVED
    assert not list(folder_of(order).checkpoints.iterdir())


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), ExitCode.CUDA_OOM, Cause.CUDA_OOM),
        (MemoryError(), ExitCode.CUDA_OOM, Cause.HOST_OOM),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 4, Cause.HOST_OOM),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC"), 1, Cause.GPU_FAULT),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), 1, Cause.CODE),
        (ConfigError([Problem("unknown key 'x'")], "config.yaml"), 2, Cause.CONFIG),
        (KeyboardInterrupt(), ExitCode.CODE, Cause.CODE),
    ],
)
def test_every_failure_has_a_code_and_a_cause(
    error: BaseException, code: int, cause: Cause
) -> None:
    end = judge(error)
    assert (end.code, end.cause) == (code, cause)
    assert end.error and "\n" not in end.error


def test_what_nobody_foresaw_is_one_line_with_its_place_and_a_traceback_in_the_log(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(line: Line) -> None:
        if isinstance(line, Epoch):
            raise ValueError("two\nlines")

    result = train(order_for(tmp_path / "run", data, tiny()), broken)
    assert (result.exit_code, result.cause) == (ExitCode.CODE, Cause.CODE)
    assert result.error.startswith("ValueError: two lines at test_trainer_run.py:")
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "note", ["null", "1e-3", "#x", "", "a: b\n\n c ", "'\"", "x " * 249, "é\u2028"]
)
def test_a_config_survives_its_run_folder(note: str, tmp_path: Path) -> None:
    config = tiny(note=note, optim__lr=1e-7, optim__weight_decay=0.0, notify="#ml")
    (tmp_path / "config.yaml").write_bytes(dump(config.canonical()))
    assert load(tmp_path / "config.yaml").config == config
