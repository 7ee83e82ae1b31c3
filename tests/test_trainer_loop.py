"""Steps: gradients within limits, memory that is too small, no numbers, and no waiting."""

import csv
import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from support.learners import IMAGES, TARGETS, learner, same
from support.sketches import draw_sketches
from support.trainers import folder_of, interrupted, newest, order_for, tiny, train
from timm.layers import PatchEmbed
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile

from schemas.events import Chosen, Epoch, ExitCode, Line
from schemas.run import Best, Cause
from trainer import checkpoint
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.judge.metrics import ranked
from trainer.machine import Precision
from trainer.report import Report
from trainer.state import Tally

PRECISIONS: list[Precision] = ["fp32", "bf16", "fp16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images: 19 train in 4 steps an epoch, 5 validate."""
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


# ---- clipping ------------------------------------------------------------------------------------


def slopes(made: Any) -> dict[str, Tensor]:
    return {name: p.grad for name, p in made.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_value_of_a_gradient_passes_its_limit(precision: Precision) -> None:
    made = learner(precision, train__clip_value=1e-3)
    made.step(IMAGES, TARGETS, 0)
    assert max(slope.abs().max() for slope in slopes(made).values()) == pytest.approx(1e-3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_adaptive_limit_is_a_part_of_each_rows_weights_and_spares_the_head(
    precision: Precision,
) -> None:
    free, made = learner(precision), learner(precision, train__clip_agc=0.01)
    weights = dict(free.model.named_parameters())
    norms = {name: weight.detach().norm(dim=-1) for name, weight in weights.items()}
    for each in (free, made):
        each.step(IMAGES, TARGETS, 0)
    name = "blocks.0.mlp.fc1.weight"
    limits = 0.01 * norms[name].clamp(min=1e-3)
    rows = slopes(made)[name].norm(dim=-1)
    assert (rows <= limits * 1.001).all() and rows.max() > 0.5 * limits.max()
    if precision != "fp16":  # whose fused step leaves its gradients scaled
        assert torch.equal(slopes(made)["head.weight"], slopes(free)["head.weight"])


@pytest.mark.parametrize("others", [("clip_norm", "clip_value"), ("clip_value", "clip_agc")])
def test_two_limits_exclude_each_other(others: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=f"{others[0]} and {others[1]} exclude each other"):
        tiny(train=dict.fromkeys(others, 1.0))


# ---- memory --------------------------------------------------------------------------------------


class Small(nn.Module):
    """Somebody's own model on a GPU that holds only so many images at a time."""

    def __init__(self, holds: int) -> None:
        super().__init__()
        self.holds = holds
        self.net = timm.create_model("test_vit", num_classes=3, img_size=32, drop_path_rate=0.2)

    def forward(self, images: Tensor) -> Tensor:
        said: Tensor = self.net(images)
        if len(images) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return said


def small(holds: int, at_once: int) -> Any:
    torch.manual_seed(0)
    made = learner(net=Small(holds))
    made.micro_batch = at_once
    return made


def test_a_step_that_memory_is_too_small_for_is_the_same_step_in_smaller_parts() -> None:
    halved, never = small(holds=1, at_once=4), small(holds=4, at_once=1)
    for number in range(3):
        losses = [each.step(IMAGES, TARGETS, number) for each in (halved, never)]
        assert torch.equal(*losses)
    assert same(halved, never) and halved.micro_batch == 1


def test_an_evaluation_that_memory_is_too_small_for_says_the_same() -> None:
    halved, never = small(holds=1, at_once=4), small(holds=4, at_once=1)
    with torch.inference_mode():
        assert torch.equal(halved.logits(IMAGES), never.logits(IMAGES))
    assert halved.micro_batch == 1


def test_memory_too_small_for_one_image_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        small(holds=0, at_once=4).step(IMAGES, TARGETS, 0)


@pytest.fixture
def holds_two() -> Iterator[None]:
    """Memory for two images at a time, whatever the model."""

    def refuse(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if isinstance(module, PatchEmbed) and len(args[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = nn.modules.module.register_module_forward_pre_hook(refuse)
    yield
    hook.remove()


def test_a_run_that_memory_is_too_small_for_goes_on_with_the_same_batch_and_says_so(
    data: Path, tmp_path: Path, holds_two: None
) -> None:
    said: list[Line] = []
    config = tiny(train__save_every_steps=2, model__drop_path_rate=0.2)
    first = order_for(tmp_path / "halved", data, config)
    halved = train(first, said.append)
    chosen = [line.micro_batch for line in said if isinstance(line, Chosen)]
    assert chosen == [4, 2] and halved.facts["micro_batch"] == 2
    meta = folder_of(first).checkpoints / "step-10" / "meta.json"
    assert json.loads(meta.read_text())["micro_batch"] == 2
    never = train(order_for(tmp_path / "never", data, config, micro_batch=2))
    assert halved.exit_code == ExitCode.FINISHED
    assert halved.facts["final_weights_sha256"] == never.facts["final_weights_sha256"]


# ---- no numbers ----------------------------------------------------------------------------------


def test_of_a_run_that_diverged_the_first_bad_batch_is_kept(data: Path, tmp_path: Path) -> None:
    config = tiny(optim__lr=1e30, train__log_every=5, train__epochs=4, mix__mixup=0.2)
    order = order_for(tmp_path / "run", data, config)
    result = train(order)
    assert (result.exit_code, result.cause) == (ExitCode.DIVERGED, Cause.DIVERGED)
    said = json.loads((folder_of(order).diverged / "batch.json").read_text())
    assert result.error.endswith(f"times in a row, from step {said['step']} on")
    batch = load_file(folder_of(order).diverged / "batch.safetensors")
    assert batch["images"].shape == (4, 3, 32, 32) and len(batch["targets"]) == 4
    assert [Path(file).parent.name for file in said["files"]] == said["classes"]
    assert 0 < said["step"] < 10 and said["epoch"] == said["step"] // 4 + 1


# ---- the best, and the last ----------------------------------------------------------------------


def test_of_equals_the_first_one_is_better_and_only_so_many_stay() -> None:
    top: list[Best] = []
    for epoch, value in enumerate((0.5, 0.7, 0.5, 0.7, 0.6, 0.9), 1):
        top = ranked(top, Best(metric="accuracy", value=value, epoch=epoch), 4)
    assert [(best.value, best.epoch) for best in top] == [(0.9, 6), (0.7, 2), (0.7, 4), (0.6, 5)]
    losses = [Best(metric="loss", value=value, epoch=1) for value in (1.0, 2.0)]
    assert ranked(losses, Best(metric="loss", value=1.5, epoch=2), 2)[1].value == 1.5


def test_a_finished_run_leaves_its_best_epochs_in_order_and_its_last_weights(
    data: Path, tmp_path: Path
) -> None:
    wanted = {"metric": "loss", "keep": 3, "keep_last": True}
    config = tiny(evaluate=wanted, train__epochs=5, train__save_every_steps=3, optim__lr=3e-3)
    whole = order_for(tmp_path / "whole", data, config)
    result = train(whole)
    first = order_for(tmp_path / "run", data, config)
    interrupted(first, Epoch, 4)
    second = order_for(tmp_path / "run", data, config, resume=str(newest(first)))
    assert train(second).facts["weights_sha256"] == result.facts["weights_sha256"]
    for order in (whole, second):
        attempt = folder_of(order)
        with attempt.metrics.open() as file:
            rows = sorted(csv.DictReader(file), key=lambda row: float(row["loss"]))
        metas = [checkpoint.read(attempt.place(number)).meta for number in (1, 2, 3)]
        assert [meta["epoch"] for meta in metas] == [int(row["epoch"]) for row in rows[:3]]
        assert not attempt.place(4).exists()
        last = checkpoint.read(attempt.last)
        assert checkpoint.fingerprint(last.weights) == result.facts["final_weights_sha256"]
        assert last.meta["epoch"] == 5 and checkpoint.damage(attempt.last) == ""


# ---- nobody waits --------------------------------------------------------------------------------


def waits(work: Callable[[], object]) -> int:
    """How often the host asks a tensor for its value, and would wait for a GPU; only fused kernels
    may: that on the CPU reads its counts of steps, that on a GPU reads them there.
    """
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        work()
    asked = [event for event in seen.events() if event.name == "aten::_local_scalar_dense"]
    return sum(not any("_fused_" in name for name in above(event)) for event in asked)


def above(event: Any) -> Iterator[str]:
    while event := event.cpu_parent:
        yield event.name


@pytest.mark.parametrize(
    ("kind", "clip"),
    [
        ("adamw", "clip_norm"),
        ("adam", "clip_value"),
        ("sgd", "clip_agc"),
        ("rmsprop", "clip_norm"),
        ("lion", "clip_norm"),
    ],
)
def test_no_step_waits_for_the_device(kind: str, clip: str) -> None:
    made = learner(
        optim={"kind": kind},
        mix={"mixup": 0.2, "cutmix": 0.5},
        train={clip: 1.0, "average": {"kind": "ema"}, "epochs": 3},
    )
    made.step(IMAGES, TARGETS, 0)
    tally = Tally(made.device)
    assert waits(lambda: tally.add(made.step(IMAGES, TARGETS, 1), 1)) == 0
    assert waits(lambda: made.step(IMAGES, TARGETS, 2).item()) == 1


class Asks(TorchFunctionMode):
    """Notes how many steps were done whenever Python asks a tensor for its value while a run
    trains; of images that are still being read nobody needs to wait for a GPU.
    """

    WAYS = frozenset({"item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__"})

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report, self.steps = report, list[int]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in self.WAYS and self.report.progress.doing == "training":
            frames = [frame.filename for frame in traceback.extract_stack()]
            if not any("/trainer/data/" in name for name in frames):
                self.steps.append(self.report.progress.step)
        return func(*args, **(kwargs or {}))


def test_a_run_asks_for_its_loss_every_so_many_steps_and_for_nothing_else(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(
        data__batch_size=2,
        mix={"mixup": 0.2},
        train={"epochs": 1, "log_every": 4, "clip_norm": 1.0, "average": {"kind": "ema"}},
    )
    report = Report([])
    with Asks(report) as asks:
        code = execute(order_for(tmp_path / "run", data, config), report, Leave())
    assert (code, report.progress.step) == (ExitCode.FINISHED, 9)
    assert asks.steps == [3, 7, 9]  # in the fourth and in the eighth, and when the epoch is over
