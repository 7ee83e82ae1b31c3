"""The pre-flight at submit: what a run carries, what is refused, what is asked only once."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.desk import Desk, fail
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER, TestServer
from support.waiting import TORCH_S

from publisher.plans import preflight
from schemas import code
from schemas.preflight import Answer, Preflight, key_of
from schemas.source import load

pytestmark = ON_ONE_SERVER
NUMBERS = {"precision": "amp", "parameters": 1, "trainable": 1, "gmacs": 1.0, "img_size": 64}
SHAPE = {"fixed_mb": 100, "image_mb": 100, "input_mb": 0, "gradient_mb": 10}


def seen(peak_mb: int = 6500, **facts: Any) -> Preflight:
    return Preflight(**{**NUMBERS, **SHAPE, "batch_size": 64, "peak_mb": peak_mb, **facts})


@pytest.fixture
def desk(server: TestServer, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(server, tmp_path)
    desk.config.write_text("model: {name: resnet10t}\ndata: {img_size: 64}\n")
    desk.env["TRAINQ_PREFLIGHT_S"] = f"{TORCH_S:g}"
    yield desk
    desk.close()


def known(desk: Desk) -> list[Path]:
    return sorted((desk.folder / "state" / "preflight").glob("*.json"))


def test_a_sweep_asks_once_for_each_shape_and_its_runs_carry_the_answers(
    desk: Desk, quick_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(quick_python))
    words = ("-m", "optim.lr=1e-3,3e-4", "data.batch_size=8,512", "--json")
    answer = desk.publisher("submit", str(desk.config), *words)
    assert answer.code == 0 and "predicted: " in answer.err and " in AMP" in answer.err
    runs = [desk.door.get(run["id"]) for run in json.loads(answer.out)["runs"]]
    sizes = [Preflight.model_validate(run.preflight).batch_size for run in runs]
    assert sorted(sizes) == [8, 8, 512, 512] and len(known(desk)) == 2
    for run in runs:
        assert run.memory_mb > run.preflight["peak_mb"]
    page = desk.queue("show", runs[0].id).out
    assert "predicted" in page and "5.4 M parameters" in page

    before = [file.stat().st_mtime_ns for file in known(desk)]
    again = desk.publisher("submit", str(desk.config), *words, "--again", "seed=3")
    assert again.code == 0 and before == [file.stat().st_mtime_ns for file in known(desk)]


def remember(desk: Desk, answer: dict[str, Any]) -> None:
    """As if a child had given this answer before."""
    config = load(desk.config).config.canonical()
    key = key_of(config, 1, [code.version(), *preflight.libraries()])
    cache = preflight.Cache(desk.folder / "state" / "preflight")
    cache.keep([Answer.model_validate({"key": key, **answer})])


def test_what_fits_no_gpu_is_refused_unless_its_memory_is_said_by_hand(desk: Desk) -> None:
    remember(desk, {"preflight": seen()})
    desk.door.announce(a_worker("small:0", memory_mb=4096))
    desk.door.announce(a_worker("large:0", memory_mb=6200))
    refused = desk.publisher("submit", str(desk.config))
    assert refused.code == 2 and not refused.out and not desk.door.list()
    assert "would need 6.3 GiB of the 6.1 GiB of large:0" in refused.err
    assert "train.accumulate=2 (same batch of 64) or data.batch_size=48" in refused.err
    by_hand = desk.publisher("submit", str(desk.config), "--again", "--memory", "3G", "--print-id")
    assert by_hand.code == 0 and "tight: " in by_hand.err
    run = desk.door.get(by_hand.out.strip())
    assert (run.memory_mb, run.preflight["peak_mb"]) == (3072, 6500)
    other = {**run.config, "seed": 7}
    edited = desk.door.edit(run.id, by="ana", config=other)  # predicted numbers go, said ones stay
    assert (edited.memory_mb, edited.preflight) == (3072, {})

    remember(desk, {"refused": "it does not run at 250 px", "fix": "data.img_size=224 or 256"})
    refused = desk.publisher("submit", str(desk.config), "--again")
    assert refused.code == 2 and "does not run at 250 px; nothing was queued" in refused.err
    assert "data.img_size=224 or 256" in refused.err


def test_a_retry_keeps_its_prediction_until_its_shape_changes(desk: Desk) -> None:
    remember(desk, {"preflight": seen(200)})
    run_id = desk.submit()
    old = desk.door.get(run_id)
    fail(desk.door, claim(desk.door))
    desk.env["TRAINQ_PREFLIGHT_S"] = "0"
    same = desk.door.get(retried(desk, run_id, "optim.lr=3e-4"))
    assert (same.preflight, same.memory_mb) == (old.preflight, old.memory_mb) and old.memory_mb
    other = desk.door.get(retried(desk, run_id, "train.accumulate=4"))
    assert (other.preflight, other.memory_mb) == ({}, 0)


def retried(desk: Desk, *words: str) -> str:
    return desk.publisher("retry", *words, "--print-id").out.strip()


def test_a_child_that_is_late_costs_a_line_and_no_submit(desk: Desk) -> None:
    answer = desk.publisher("submit", str(desk.config), TRAINQ_PREFLIGHT_S="0.01")
    assert answer.code == 0 and answer.out
    assert "0 of 1 made (TRAINQ_PREFLIGHT_S=0.01); the worker makes the rest" in answer.err
