"""When runs start and end: tables of lengths, the line played forward, and what people read."""

import json
from dataclasses import astuple, replace
from typing import Any

import pytest
from support.desk import Desk, finish
from support.runs import a_run, claim
from support.runs import a_worker as card_of
from support.servers import ON_ONE_SERVER
from test_people_render import CAP, DRAIN, HOLD_ALL, NOW, RUNNING, SEEN, a_row, a_worker

from publisher.outlook.forecast import forecast
from publisher.outlook.lengths import Eta, History, Span, in_words, left, to_come
from publisher.outlook.standing import why
from queue_worker.queue import Row
from schemas.run import Parent, Progress, State


def a_past(seconds: float, **fields: Any) -> Row:
    given = {"worker": "v100:0", "digest": "d", "ran_s": seconds, "ended_at": NOW, **fields}
    return a_row(f"p{len(str(fields))}", "past", State.FINISHED, **given)


def queued(run_id: str, **fields: Any) -> Row:
    return a_row(run_id, run_id, State.QUEUED, **{"digest": "d", **fields})


SIZES = {"q": ("resnet18", 20), "same": ("resnet18", 20), "half": ("resnet18", 10)}


@pytest.mark.parametrize(
    ("row", "past", "span"),
    [
        ({}, [], None),
        ({}, [a_past(100)], Span(90, 115)),
        ({}, [a_past(100), a_past(200)], Span(90, 230)),
        ({}, [a_past(100), a_past(500, worker="a100:0")], Span(90, 115)),
        ({}, [a_past(100, worker="a100:0")], Span(63, 172.5)),
        ({"gpus": 2}, [a_past(100)], None),
        ({"kind": "gather"}, [a_past(100)], None),
        ({"digest": "e"}, [a_past(100)], None),
        ({"digest": ""}, [a_past(100, digest="")], None),
        ({"time_limit_s": 95}, [a_past(100)], Span(90, 95)),
        (
            {"checkpoint_step": 75, "progress": Progress(step=80, steps=100)},
            [a_past(100)],
            Span(22.5, 28.75),
        ),
    ],
)
def test_like_runs_tell_how_long_one_takes(
    row: dict[str, Any], past: list[Row], span: Span | None
) -> None:
    found = to_come(queued("q", **row), "v100:0", History(past, {}))
    assert (found and astuple(found)) == (span and pytest.approx(astuple(span)))


def test_without_a_twin_the_model_and_its_epochs_tell() -> None:
    same = a_past(100, digest="x").model_copy(update={"id": "same"})
    half = a_past(40, digest="y").model_copy(update={"id": "half"})
    found = to_come(queued("q"), "v100:0", History([half, same], SIZES))
    assert found == Span(80, 130)
    found = to_come(queued("q"), "v100:0", History([half], SIZES))
    assert found == Span(48, 128)  # twice as many epochs, and less sure


@pytest.mark.parametrize(
    ("fields", "span"),
    [
        ({"progress": Progress(step=0, steps=100, eta_s=100)}, (65, 135)),
        ({"progress": Progress(step=100, steps=100, eta_s=100)}, (95, 105)),
        ({"progress": Progress(), "ran_s": 50, "digest": "d"}, (40, 65)),
        ({"progress": Progress(), "ran_s": 500, "digest": "d"}, (0, 0)),
        ({"progress": Progress(), "digest": "none"}, None),
        ({"progress": Progress(eta_s=900, steps=1), "time_limit_s": 60, "ran_s": 50}, (10, 10)),
    ],
)
def test_a_running_one_tells_by_its_speed_or_its_like(
    fields: dict[str, Any], span: tuple[float, float] | None
) -> None:
    found = left(RUNNING.model_copy(update=fields), History([a_past(100)], {}))
    assert (found and pytest.approx((found.early, found.late))) == span


# ---- the line ------------------------------------------------------------------------------------

FIRST, SECOND, THIRD = queued("aaaaaa"), queued("bbbbbb"), queued("cccccc")
HUNDRED = History([a_past(100)], {})  # such a run takes 90 to 115 s
BUSY = RUNNING.model_copy(update={"progress": Progress(step=1, steps=1, eta_s=100)})  # 95 to 105
IDLE = {"workers": [a_worker("0")], "running": []}


def starts(pending: list[Row], **seen: Any) -> dict[str, tuple[float, float] | None]:
    etas = forecast(replace(SEEN, **{"controls": [], **IDLE, **seen}), pending, HUNDRED)
    found = {row.id: etas[row.id].start for row in pending}
    return {
        run_id: span and (round(span.early), round(span.late)) for run_id, span in found.items()
    }


def test_runs_start_one_after_another_where_there_is_one_worker() -> None:
    found = starts([FIRST, SECOND, THIRD])
    assert found == {"aaaaaa": (0, 0), "bbbbbb": (90, 115), "cccccc": (180, 230)}


def test_the_first_waits_for_what_runs_and_two_workers_share_the_line() -> None:
    workers = [a_worker("0", run="7f3k2q"), a_worker("1")]
    found = starts([FIRST, SECOND], workers=workers, running=[BUSY])
    assert found == {"aaaaaa": (0, 0), "bbbbbb": (63, 105)}  # on the other worker, less sure


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        (FIRST, {"workers": []}),
        (FIRST, {"controls": [HOLD_ALL]}),
        (FIRST, {"controls": [DRAIN]}),
        (queued("aaaaaa", gpus=2), {}),
        (FIRST, {"workers": [a_worker("0", busy_with="bo's notebook")]}),
        (
            FIRST,
            {
                "workers": [a_worker("0", run="7f3k2q")],
                "running": [a_row("7f3k2q", "x", State.RUNNING)],
            },
        ),
        (FIRST.model_copy(update={"state": State.HELD}), {}),
        (a_row("aaaaaa", "child", State.WAITING, after=(Parent(id="zzzzzz"),)), {}),
    ],
)
def test_what_nobody_can_know_has_no_estimate(row: Row, seen: dict[str, Any]) -> None:
    assert starts([row], **seen) == {"aaaaaa": None}


def test_a_run_of_unknown_length_hides_what_is_behind_it() -> None:
    unknown = queued("aaaaaa", digest="never seen")
    assert starts([unknown, SECOND]) == {"aaaaaa": (0, 0), "bbbbbb": None}


def test_a_cap_and_a_parent_are_waited_for() -> None:
    workers = [a_worker("0"), a_worker("1")]
    capped = starts([FIRST, SECOND], workers=workers, controls=[CAP])
    assert capped == {"aaaaaa": (0, 0), "bbbbbb": (90, 115)}
    child = a_row("cccccc", "child", State.WAITING, after=(Parent(id="aaaaaa"),), digest="d")
    assert starts([FIRST, child], workers=workers)["cccccc"] == (90, 115)


# ---- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(1020, 1260), "17m-21m"),
        (Span(1080, 1090), "~18m"),
        (Span(0, 30), "0s-30s"),
        (Span(3000, 7500), "50m-2h05m"),
    ],
)
def test_a_span_is_read_as_a_range(span: Span, text: str) -> None:
    assert in_words(span) == text


@pytest.mark.parametrize(
    ("row", "eta", "text"),
    [
        (FIRST, Eta(start=Span(600, 1200)), "2 ahead, in 10m-20m"),
        (FIRST, Eta(start=Span(0, 0)), "2 ahead, any moment"),
        (FIRST, Eta(), "2 ahead; no estimate yet"),
        (RUNNING, Eta(end=Span(900, 1200)), "done in 15m-20m"),
    ],
)
def test_the_list_says_when_or_that_it_does_not_know(row: Row, eta: Eta, text: str) -> None:
    assert why(row, replace(SEEN, ahead={"aaaaaa": 2}, etas={row.id: eta, "other": eta})) == text


@ON_ONE_SERVER
def test_an_estimate_comes_with_the_first_like_run_that_finished(desk: Desk) -> None:
    desk.submit()
    running, queued = desk.submit(), desk.submit()
    finish(desk.door, claim(desk.door))
    claim(desk.door)
    desk.door.announce(card_of("v100:0"))
    read = json.loads(desk.queue("list", "--json").out)
    etas = {run["id"]: run["eta"] for run in read["runs"]}
    assert etas[running]["start_s"] is None and len(etas[running]["end_s"]) == 2
    assert etas[queued]["start_s"] == etas[running]["end_s"]
    assert "no estimate" not in desk.queue("list").out
    assert "next, " in desk.queue("why", queued).out
    unknown, behind = desk.submit("model.name=resnet18"), desk.submit()
    assert "2 ahead; no estimate yet" in desk.queue("show", behind).out
    assert "1 ahead, " in desk.queue("show", unknown).out


@ON_ONE_SERVER
def test_a_submit_ends_with_when_it_will_start(desk: Desk) -> None:
    desk.submit()
    finish(desk.door, claim(desk.door))
    desk.door.announce(card_of("v100:0"))
    now, behind = (desk.publisher("submit", str(desk.config), "--again") for _ in range(2))
    assert now.out.endswith("queued, next, starts now\n")
    assert "queued, 1 ahead, starts " in behind.out
    words = ("submit", str(desk.config), "--again")
    assert "; all done in " in desk.publisher(*words, "--seeds", "2").out
    unknown = json.loads(desk.publisher(*words, "model.name=resnet18", "--json").out)
    assert unknown["runs"][0]["eta"]["end_s"] is None


@ON_ONE_SERVER
def test_models_and_epochs_of_many_runs_are_read_at_once(desk: Desk) -> None:
    mine = desk.submit()
    bare = desk.door.submit([a_run()])[0].id  # a config that says no epochs
    assert desk.door.sizes([mine, bare, "000000"]) == {mine: ("resnet10t", 3)}
