"""A run that nobody has looked at before: its trainer does, and everybody can read what it saw."""

from pathlib import Path
from typing import Any

import pytest
from support.runs import a_run, a_worker, submit
from support.servers import ON_ONE_SERVER, TestServer
from support.sketches import draw_sketches
from support.trainers import order_for, tiny, train

from queue_worker.attempts.attempt import Attempt
from queue_worker.attempts.orders import prepare
from queue_worker.queue import Queue
from schemas.events import ExitCode, Foreseen, Line, parse_line
from schemas.preflight import Preflight
from schemas.run import Cause, new_nonce
from schemas.rundir import RunsRoot
from schemas.settings import Settings

V100 = 16160


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def attempted(tmp_path: Path, data: Path, said: list[Line], **order: Any) -> Any:
    return train(order_for(tmp_path, data, tiny(train__epochs=1), **order), said.append)


def test_the_trainer_looks_first_and_learns_the_same(data: Path, tmp_path: Path) -> None:
    said: list[Line] = []
    looked = attempted(tmp_path / "a", data, said, foresee=True, gpu_memory_mb=V100)
    seen = [line.preflight for line in said if isinstance(line, Foreseen)]
    assert len(seen) == 1 and 0 < seen[0].peak_mb < 100 and seen[0].classes == 3
    assert not seen[0].notes  # the number of classes is no assumption here
    plain = attempted(tmp_path / "b", data, said)
    assert looked.facts["final_weights_sha256"] == plain.facts["final_weights_sha256"]
    assert "peak_mb" not in plain.facts  # of a CPU nothing is known that compares


def test_what_this_gpu_cannot_hold_ends_with_what_it_could(data: Path, tmp_path: Path) -> None:
    said: list[Line] = []
    refused = attempted(tmp_path / "a", data, said, foresee=True, gpu_memory_mb=5)
    assert (refused.exit_code, refused.cause) == (ExitCode.CONFIG, Cause.CONFIG)
    assert "too much" in refused.error and refused.try_this and isinstance(said[-1], Foreseen)
    by_hand = attempted(tmp_path / "b", data, [], foresee=True, gpu_memory_mb=5, memory_mb=4)
    assert by_hand.exit_code == ExitCode.FINISHED


def seen() -> Preflight:
    numbers = {"fixed_mb": 1, "image_mb": 1, "input_mb": 1, "gradient_mb": 1, "peak_mb": 900}
    size = {"parameters": 1, "trainable": 1, "gmacs": 1.0, "img_size": 224, "batch_size": 4}
    return Preflight(precision="amp", **numbers, **size)


@ON_ONE_SERVER
def test_only_a_run_without_a_prediction_is_looked_at_and_its_record_is_filled(
    server: TestServer, tmp_path: Path
) -> None:
    queue = Queue(server.client(), "trainq:")
    root, settings = RunsRoot(tmp_path), Settings.read({})
    submit(queue)
    claimed = queue.claim(a_worker(memory_mb=V100), new_nonce())
    assert claimed
    order = prepare(claimed.run, claimed.token, root, settings, gpu_memory_mb=V100).order
    assert order.foresee and order.gpu_memory_mb == V100

    attempt = Attempt(claimed, lambda: None)
    attempt.hear([parse_line(Foreseen(preflight=seen()).model_dump_json().encode())])
    report = attempt.report()
    assert report
    queue.report(claimed.run.id, claimed.token, report)
    assert Preflight.model_validate(queue.get(claimed.run.id).preflight) == seen()

    known = a_run(preflight=seen().model_dump(mode="json"))
    queue.submit([known])
    again = queue.claim(a_worker("box:1", memory_mb=V100), new_nonce())
    assert again and again.run.preflight
    assert not prepare(again.run, again.token, root, settings, gpu_memory_mb=V100).order.foresee
