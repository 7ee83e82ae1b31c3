"""From configs and flags to runs: names, starts, refusals. Pure."""

import sys
from pathlib import Path
from typing import Any

import pytest

from publisher.plans.plan import (
    Needs,
    Start,
    Wishes,
    again,
    check_ended,
    new_runs,
    next_name,
    run_name,
    slug,
    start_of,
)
from publisher.plans.sending import distinct
from publisher.trainq import command
from schemas.config import TrainConfig
from schemas.errors import TransitionRefused, UsageError
from schemas.run import Cause, Run, State
from schemas.source import Loaded, read
from schemas.takeover import Takeover, takeover


def loaded(*overrides: str) -> Loaded:
    return read("model: {name: resnet10t.c3_in1k}\n", "good.yaml", overrides)


def ended(config: dict[str, Any], state: State = State.FAILED, **fields: Any) -> Run:
    cause = Cause.CODE if state is State.FAILED else None
    checkpoint = "attempts/1-00000000/checkpoints/step-700"
    given = {"checkpoint": checkpoint, "checkpoint_step": 700, "runs_root": "root-a", **fields}
    times = {"submitted_at": 1, "ended_at": 2}
    return Run(
        id="7f3j9a",
        name="vit-s",
        user="ana",
        state=state,
        cause=cause,
        config=config,
        **times,
        **given,
    )


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ((), "resnet10t"),
        (("optim.lr=1e-3",), "resnet10t-lr1e-3"),
        (("train.epochs=5", "evaluate.metric=macro_f1"), "resnet10t-epochs5-metric-macro_f1"),
        (("augment.kind=none", "seed=3"), "resnet10t-augment-none-seed3"),
        (("name=mine", "optim.lr=1e-3"), "mine"),
        (("notify=@me", "note=why not"), "resnet10t"),
        (("model.name=vit_tiny_patch16_224",), "vit_tiny_patch16_224"),
    ],
)
def test_a_run_is_named_after_its_model_and_what_was_changed(
    overrides: tuple[str, ...], name: str
) -> None:
    config = loaded(*overrides)
    assert run_name(config.config, config.overrides) == name


@pytest.mark.parametrize("text", ["", "Ünï / code", "-" * 90, "a" * 200, "x\x1b[2J", "日本"])
def test_any_text_becomes_a_legal_name(text: str) -> None:
    TrainConfig.model_validate({"name": slug(text), "model": {"name": "resnet10t"}})


def test_an_accent_does_not_take_its_letter_out_of_a_name() -> None:
    assert slug("Vögel ünd Bäume") == "vogel-und-baume"


def test_a_batch_that_the_gpus_cannot_share_is_refused_before_it_is_queued() -> None:
    two = Wishes(user="ana", needs=Needs(gpus=2))
    assert new_runs([loaded("data.batch_size=6")], two)[0].needs.gpus == 2
    with pytest.raises(UsageError, match="a batch of 6 cannot be shared by 2 GPUs, mixed") as told:
        new_runs([loaded("data.batch_size=6", "mix.mixup=0.2")], two)
    assert told.value.fix == "data.batch_size=8" and "data.batch_size=6" in told.value.where
    old = ended(loaded().config.canonical(), gpus=3)
    with pytest.raises(UsageError, match="a batch of 32 cannot be shared by 3 GPUs") as told:
        again(old, loaded(), "ana", Start("", "", ""))
    assert not told.value.where


def test_retries_are_counted_in_the_name() -> None:
    assert next_name("vit-s") == "vit-s-r2"
    assert next_name(next_name("vit-s")) == "vit-s-r3"
    assert len(next_name("a" * 64)) == 64


def test_a_name_for_several_files_is_refused() -> None:
    with pytest.raises(UsageError, match="one run"):
        new_runs([loaded(), loaded()], Wishes(user="ana", name="mine"))


def test_the_flag_decides_who_is_told_and_else_the_config() -> None:
    config = [loaded("notify=#vision")]
    assert new_runs(config, Wishes(user="ana"))[0].notify == "#vision"
    assert new_runs(config, Wishes(user="ana", notify="@me"))[0].notify == "@me"


@pytest.mark.parametrize(
    ("changed", "start", "reason"),
    [
        ("optim.lr=1e-4", "7f3j9a/attempts", "goes on from step 700 of 7f3j9a"),
        ("train.epochs=40", "7f3j9a/attempts", "goes on"),
        ("data.batch_size=64", "7f3j9a/attempts", "step 0 with the weights"),
        ("data.img_size=128", "7f3j9a/attempts", "step 0 with the weights"),
        ("seed=7", "", "seed changed"),
        ("data.split.fraction=0.3", "", "data.split changed"),
        ("data.source.root=birds", "", "data.source changed"),
        ("model.name=resnet18", "", "model.name changed"),
        ("model.head.kind=cosine", "", "model.head changed"),
        ("model.in_chans=1", "", "model.in_chans changed"),
    ],
)
def test_a_retry_takes_over_what_still_fits(changed: str, start: str, reason: str) -> None:
    old = ended(loaded().config.canonical())
    begins = start_of(old, loaded(changed).config.canonical(), fresh=False)
    assert begins.start_from.startswith(start) and bool(begins.start_from) == bool(start)
    assert reason in begins.reason


def test_a_config_of_before_a_key_means_what_was_usual_then() -> None:
    config = loaded().config.canonical()
    older = {**config, "model": {"name": "resnet10t"}}
    assert takeover(older, config) == (Takeover.ALL, "")
    assert takeover({**older, "seed": 7}, config) == (Takeover.NOTHING, "seed")


@pytest.mark.parametrize(
    ("fields", "fresh", "reason"),
    [
        ({}, True, "as asked"),
        ({"checkpoint": ""}, False, "no checkpoint"),
        ({"state": State.FINISHED}, False, "only its best weights"),
    ],
)
def test_a_retry_without_a_checkpoint_says_so(
    fields: dict[str, Any], fresh: bool, reason: str
) -> None:
    config = loaded().config.canonical()
    begins = start_of(ended(config, **fields), config, fresh=fresh)
    assert begins.start_from == ""
    assert reason in begins.reason


def test_a_retry_of_a_retry_that_never_saved_starts_where_that_one_did() -> None:
    config = loaded().config.canonical()
    old = ended(config, checkpoint="", start_from="aaaaaa/attempts/x")
    assert start_of(old, config, fresh=False).start_from == "aaaaaa/attempts/x"


def test_what_has_not_ended_is_not_retried() -> None:
    config = loaded().config.canonical()
    held = Run(
        id="7f3j9a",
        name="a",
        user="ana",
        state=State.HELD,
        held_by="bo",
        config=config,
        submitted_at=1,
    )
    with pytest.raises(TransitionRefused, match="is held"):
        check_ended(held)


def test_trainq_prefers_the_script_in_its_own_folder(tmp_path: Path) -> None:
    script = tmp_path / "queue"
    assert command("queue", ["list"], tmp_path)[:2] == [sys.executable, "-m"]
    script.touch(mode=0o755)
    assert command("queue", ["list"], tmp_path) == [str(script), "list"]


def test_the_ids_of_one_submit_are_never_alike() -> None:
    made = iter(["aaaaaa", "bbbbbb", "aaaaaa", "cccccc"])
    assert distinct(3, lambda: next(made)) == ["aaaaaa", "bbbbbb", "cccccc"]
