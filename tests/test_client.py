"""The Python API: the same way into the queue, the same words and errors as the command line."""

import json
import threading
from xml.etree import ElementTree

import numpy as np
import pytest
from support.desk import GOOD, Desk, fail, finish, lines
from support.runs import claim
from support.servers import ON_ONE_SERVER
from support.waiting import PATIENCE_S

from publisher.client import BatchHandle, Client, RunHandle
from queue_worker.queue import Report
from schemas.errors import (
    ConfigError,
    NotFound,
    QueueUnreachable,
    RunWasCancelled,
    TrainqError,
    UsageError,
    WaitTimedOut,
)
from schemas.run import Progress, State
from schemas.settings import Settings
from schemas.source import read

pytestmark = ON_ONE_SERVER

MODEL = {"model": {"name": "resnet10t"}, "train": {"epochs": 3}}


@pytest.fixture
def client(desk: Desk) -> Client:
    return Client(Settings.read(desk.env))


def one(handle: RunHandle | BatchHandle) -> RunHandle:
    assert isinstance(handle, RunHandle)
    return handle


def many(handle: RunHandle | BatchHandle) -> BatchHandle:
    assert isinstance(handle, BatchHandle)
    return handle


# ---- submit --------------------------------------------------------------------------------------


def test_a_file_a_dict_and_a_config_are_the_same_experiment(desk: Desk, client: Client) -> None:
    typed = desk.door.get(desk.submit("optim.lr=3e-4"))
    config = read(GOOD, "good.yaml").config
    for given in (desk.config, str(desk.config), MODEL, config):
        run = one(client.submit(given, optim__lr=3e-4, again=True)).record
        assert run.digest == typed.digest and run.config == typed.config
        assert (run.user, run.code, run.state) == (typed.user, typed.code, State.QUEUED)


@pytest.mark.parametrize(
    "changes",
    [
        {"optim__lr": 0.5, "seed": 7},
        {"optim.lr": 0.5, "seed": np.int64(7)},
        {"optim": {"lr": np.float64(0.5)}, "seed": 7},
    ],
)
def test_overrides_are_keywords_dotted_names_or_sections(
    client: Client, changes: dict[str, object]
) -> None:
    config = {**MODEL, "optim": {"weight_decay": 0.1}}
    run = one(client.submit(config, **changes)).record
    assert (run.config["optim"]["lr"], run.config["seed"]) == (0.5, 7)
    assert run.config["optim"]["weight_decay"] == 0.1
    assert run.overrides == ("optim.lr=0.5", "seed=7")


def test_a_sweep_with_seeds_is_the_batch_that_the_command_makes(desk: Desk, client: Client) -> None:
    words = ("-m", "optim.lr=0.1,0.2", "--seeds", "2", "--again", "--json")
    typed = json.loads(desk.publisher("submit", str(desk.config), *words).out)
    batch = many(client.submit(desk.config, sweep={"optim.lr": [0.1, 0.2]}, seeds=2, again=True))
    assert [run.name for run in batch] == [run["name"] for run in typed["runs"]]
    assert set(batch.states.values()) == {State.QUEUED} and len(batch) == 4
    assert batch[0].record.batch == batch.id == str(batch)


def test_an_array_of_numpy_is_a_sweep(client: Client) -> None:
    batch = many(client.submit(MODEL, sweep={"optim__lr": np.linspace(0.1, 0.2, 3)}))
    assert [run.record.config["optim"]["lr"] for run in batch] == pytest.approx([0.1, 0.15, 0.2])


def test_a_kfold_has_a_run_that_gathers_it(client: Client) -> None:
    batch = many(client.submit(MODEL, folds=3, name="birds"))
    assert [run.record.kind for run in batch] == ["train"] * 3 + ["gather"]
    assert list(batch.states.values()) == [State.QUEUED] * 3 + [State.WAITING]


def test_wishes_are_those_of_the_flags(client: Client) -> None:
    parent = client.submit(MODEL, seed=1)
    said = {"priority": 5, "on": "v100", "memory": "12GB", "time_limit": "8h", "hold": True}
    run = one(client.submit(MODEL, after=parent, notify="@me", **said)).record
    assert (run.priority, run.needs_host, run.time_limit_s) == (5, "v100", 28800)
    assert run.memory_mb > 11000 and run.notify == "@me" and run.held_by == "ana"
    assert [p.id for p in run.after] == [str(parent)]
    later = one(client.submit(MODEL, seed=3, after=[f"{parent}:any", run.id])).record
    assert [(p.id, p.on) for p in later.after] == [(str(parent), "any"), (run.id, "ok")]


def test_what_was_done_before_is_refused_as_at_the_command_line(client: Client) -> None:
    run = client.submit(MODEL)
    with pytest.raises(UsageError, match=f"same as {run} of ana"):
        client.submit(MODEL)
    assert one(client.submit(MODEL, again=True)).id != str(run)


# ---- a run ---------------------------------------------------------------------------------------


def test_a_handle_knows_state_log_and_metrics_of_its_run(desk: Desk, client: Client) -> None:
    run = one(client.submit(MODEL))
    assert repr(run) == f"<run {run.id} resnet10t: queued>" and not run.done and run.result == {}
    claimed = claim(desk.door)
    lines(desk.door, claimed, "epoch 1", "  50%\r 100%")
    row = {"epoch": 1, "step": 10, "val/accuracy": 0.5}
    seen = Report(number=2, metrics=(row,), progress=Progress(epoch=1, epochs=3))
    desk.door.report(run.id, claimed.token, seen)
    assert run.state is State.RUNNING and run.logs() == "epoch 1\n 100%"
    assert run.metrics().to_dict("records") == [row]
    assert client.run("@last").id == run.id == client.run(run.id[:5]).id
    finish(desk.door, claimed, value=0.9, macro_f1=0.8)
    assert run.wait().done and run.result == {"accuracy": 0.9, "macro_f1": 0.8}
    assert repr(run) == f"<run {run.id} resnet10t: finished, acc 0.900>"


def test_waiting_raises_what_the_command_says(desk: Desk, client: Client) -> None:
    run = one(client.submit(MODEL))
    with pytest.raises(WaitTimedOut, match="did not end within 0s"):
        run.wait(timeout=0.1)
    fail(desk.door, claim(desk.door), error="it broke at loop.py:3")
    with pytest.raises(TrainqError, match=r"failed: it broke at loop\.py:3"):
        run.wait()
    gone = one(client.submit(MODEL, seed=2))
    assert gone.cancel("wrong split").record.wish_reason == "wrong split"
    with pytest.raises(RunWasCancelled, match=f"{gone} was cancelled by ana"):
        gone.wait()


def test_a_batch_waits_for_all_and_cancels_all(desk: Desk, client: Client) -> None:
    batch = many(client.submit(MODEL, seeds=3))
    finish(desk.door, claim(desk.door))
    batch.cancel("enough")
    with pytest.raises(RunWasCancelled):
        batch.wait(timeout=PATIENCE_S)
    assert sorted(batch.states.values()) == ["cancelled", "cancelled", "finished"]


# ---- results -------------------------------------------------------------------------------------


def test_results_have_a_row_for_every_run_with_config_metrics_and_cost(
    desk: Desk, client: Client
) -> None:
    batch = many(client.submit(MODEL, sweep={"optim.lr": [0.1, 0.2, 0.3]}, name="lr"))
    finish(desk.door, claim(desk.door), value=0.9, macro_f1=0.8)
    fail(desk.door, claim(desk.door))
    other = one(Client(Settings.read({**desk.env, "TRAINQ_USER": "bo"})).submit(MODEL))
    table = client.results(batch="lr").set_index("id")
    assert set(table.index) == {run.id for run in batch}
    best, failed, queued = (table.loc[run.id] for run in batch)
    assert (best["state"], best["metrics.accuracy"], best["metrics.macro_f1"]) == (
        *("finished", 0.9, 0.8),
    )
    assert (best["config.optim.lr"], best["config.model.name"], best["seed"]) == (
        *(0.1, "resnet10t", 42),
    )
    assert str(best["submitted_at"].tz) == "UTC" and best["worker"] == "v100:0"
    assert (failed["state"], failed["cause"], failed["error"]) == ("failed", "code", "it broke")
    assert np.isnan(queued["metrics.accuracy"]) and queued["state"] == "queued"
    pending = set(client.results(states="failed,queued")["id"])
    assert pending == {batch[1].id, batch[2].id, other.id}
    assert other.id not in set(client.results(mine=True)["id"])
    assert batch.results()["id"].tolist() == client.results(batch=batch)["id"].tolist()


def test_results_of_nothing_are_an_empty_table(client: Client) -> None:
    assert client.results().empty


# ---- errors and notebooks ------------------------------------------------------------------------


def test_a_config_error_is_one_line_with_its_place(desk: Desk, client: Client) -> None:
    desk.config.write_text("model: {name: resnet10t}\noptim: {lr: fast}\nseed: x\n")
    with pytest.raises(ConfigError) as caught:
        client.submit(desk.config)
    assert str(caught.value) == (
        f"{desk.config}:2:13: must be a number, got 'fast' (optim.lr) and 1 more error"
    )
    assert caught.value._render_traceback_()[1] == f"  --> {desk.config}:2:13  (optim.lr)"
    with pytest.raises(ConfigError, match=r"the given dict:9:9: must be a number"):
        client.submit({**MODEL, "optim": {"lr": "fast"}}, seed=1)
    assert not any(desk.door.counts().values())


def test_a_run_that_is_not_there_and_a_redis_that_is_down_are_exceptions(
    desk: Desk, client: Client
) -> None:
    with pytest.raises(NotFound, match="there is no run 'nonsense'"):
        client.run("nonsense")
    with pytest.raises(NotFound, match="there is no batch"):
        client.results(batch="nonsense")
    with pytest.raises(QueueUnreachable, match="cannot reach Redis"):
        Client(Settings.read({**desk.env, "REDIS_URL": "redis://localhost:1"}))


def test_a_notebook_shows_a_card_and_no_name_can_break_it(desk: Desk, client: Client) -> None:
    run = one(client.submit(MODEL, seed=99))
    claimed = claim(desk.door)
    card = run._repr_html_()
    assert "running" in card and f"queue logs {run.id} -f" in card
    fail(desk.door, claimed, error="<script>alert(1)</script>\x1b[2J & more")
    card = run._repr_html_()
    assert "&lt;script&gt;" in card and "<script>" not in card and "\x1b" not in card
    assert f"publisher retry {run.id}" in card
    again = desk.publisher("retry", run.id, "--print-id").out.strip()
    assert f"retried as {again}, queued" in run._repr_html_()
    batch = many(client.submit(MODEL, seeds=25))
    assert "25 queued" in batch._repr_html_() and "and 5 more" in batch._repr_html_()
    for text in (card, batch._repr_html_()):
        ElementTree.fromstring(text.replace("<br>", "<br/>"))  # every tag is closed


def test_threads_of_a_notebook_share_one_client(desk: Desk, client: Client) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(5):
                run = one(client.submit(MODEL, seed=10 * number + step))
                assert run.state is State.QUEUED
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not errors and sum(desk.door.counts().values()) == 20
