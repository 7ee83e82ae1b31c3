"""The pre-flight's science: predictions beside measured steps, and configs that cannot run."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from schemas.config import TrainConfig
from schemas.preflight import Ask
from trainer import machine
from trainer.data.plan import Plan
from trainer.data.split import Parts
from trainer.foresight.foresee import Refusal, answer, foresee, tried
from trainer.learn import model as models
from trainer.learn.learner import Learner

TOLERANCE = 0.05  # of the measured peak; on the CPU, in fp32


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several would only wait for each other beside other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config(name: str, size: int = 64, batch: int = 8, **parts: Any) -> TrainConfig:
    data = {"img_size": size, "batch_size": batch}
    train = {"precision": "fp32", **parts.pop("train", {})}
    return TrainConfig.model_validate(
        {"model": {"name": name}, "data": data, "train": train, **parts}
    )


def measured_mb(wanted: TrainConfig, classes: int) -> float:
    """What the allocator says of a real step: all that lay there before, and the most on top."""
    size, batch = wanted.data.img_size, wanted.data.batch_size
    model = machine.place(models.create(wanted.model, classes, size), torch.device("cpu"))
    indices = torch.zeros(batch, dtype=torch.long).numpy()
    learner = Learner(
        wanted,
        model,
        Plan(Parts.of(indices, 1), 1, batch, 10, 1),
        classes,
        device=torch.device("cpu"),
        precision="fp32",
        micro_batch=batch // wanted.train.accumulate,
    )
    images, targets = torch.rand(batch, 3, size, size), torch.arange(batch) % classes
    images = images.contiguous(memory_format=torch.channels_last)
    learner.step(images, targets, 1)  # the optimizer makes its memory
    learner.optimizer.zero_grad()
    state = [each for memory in learner.optimizer.state.values() for each in memory.values()]
    resident = sum(each.nbytes for each in [*model.parameters(), *model.buffers(), *state, images])
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as watch:
        learner.step(images, targets, 2)
    assert watch.profiler and watch.profiler.kineto_results
    now = most = 0
    for event in watch.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return (resident + most) / 2**20


@pytest.mark.parametrize(
    ("name", "size", "batch", "parts"),
    [
        ("resnet18", 96, 8, {}),
        ("vit_tiny_patch16_224", 224, 4, {"mix": {"mixup": 0.2}}),
        ("regnetx_002", 128, 8, {"train": {"accumulate": 2, "clip_norm": 1.0}}),
    ],
)
def test_the_prediction_is_what_a_real_step_takes(
    name: str, size: int, batch: int, parts: dict[str, Any]
) -> None:
    wanted = config(name, size, batch, **parts)
    predicted = foresee(wanted, classes=10).peak_mb
    assert predicted == pytest.approx(measured_mb(wanted, 10), rel=TOLERANCE)


def test_amp_takes_less_than_fp32_and_a_half_batch_little_more_than_half() -> None:
    full, amp = (
        foresee(config("resnet10t")),
        foresee(config("resnet10t", train={"precision": "fp16"})),
    )
    assert (full.precision, amp.precision) == ("fp32", "amp") and amp.image_mb < full.image_mb
    half = foresee(config("resnet10t", batch=4))
    assert half.peak_mb == pytest.approx(full.peak(4, 1), abs=1.5)
    cut = foresee(config("resnet10t", train={"accumulate": 2}))
    assert half.peak_mb <= cut.peak_mb <= full.peak(8, 2) + 1


def test_sizes_of_the_model_are_those_that_timm_publishes() -> None:
    seen = foresee(config("resnet18", 224, 2))
    assert (seen.parameters, seen.trainable) == (11_689_512, 11_689_512)
    assert seen.gmacs == pytest.approx(1.82, abs=0.01)
    assert (
        seen.notes == ("assumes 1000 classes",) and not foresee(config("resnet18"), classes=7).notes
    )


def unchecked(name: str, size: int) -> dict[str, Any]:
    """A config that our list of models would refuse, as one of a newer timm might not be."""
    whole = config("resnet10t", size).canonical()
    return {**whole, "model": {**whole["model"], "name": name}}


def test_a_size_that_cannot_run_names_the_nearest_that_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("schemas.timm_models.refusal_of_size", lambda *_: None)
    given = answer(Ask(config=unchecked("coatnet_nano_rw_224", 250)))
    assert given.preflight is None and not given.failed
    assert given.refused.startswith("coatnet_nano_rw_224 does not run at 250 px: ")
    assert given.fix == "data.img_size=224 or 256"


def test_a_model_without_scores_for_classes_is_refused() -> None:
    with pytest.raises(
        Refusal, match="resnet10t gives 12288 for an image, not a score for each of"
    ):
        tried(config("resnet10t"), torch.nn.Flatten(), 10)


def test_a_size_that_loses_pixels_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.timm_models.refusal_of_size", lambda *_: None)
    given = answer(Ask(config=unchecked("vit_tiny_patch16_224", 250), classes=3))
    assert given.preflight
    assert given.preflight.notes == ("10 of 250 px fill no patch of 16 and are lost",)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("coat_tiny", {"serial_depths": [1, 1, 1, 1], "parallel_depth": 1}),
        ("vit_base_patch16_siglip_224", {"depth": 2}),
    ],
)
def test_models_that_share_modules_or_learn_a_query_are_no_exception(
    name: str, options: dict[str, Any]
) -> None:
    wanted = config(name, 224, 2, model={"name": name, "options": options})
    given = answer(Ask(config=wanted.canonical(), classes=10))
    assert given.preflight, given


def test_a_fault_of_our_own_is_an_answer() -> None:
    assert answer(Ask(config={"broken": 1})).failed.startswith("ValidationError: ")


def test_the_mask_layout_says_its_classes_without_its_data() -> None:
    masks = TrainConfig.model_validate(
        {"model": {"name": "resnet18"}, "data": {"source": {"kind": "mask", "task": "age"}}}
    )
    seen = foresee(masks)
    assert seen.classes == 3 and not seen.notes
