"""publisher edit: runs that wait are changed, on the line and in an editor that holds them."""

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.desk import Answer, Desk, save
from support.golden import golden
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER
from support.waiting import PATIENCE_S, wait_until

from publisher.plans import handwork
from publisher.plans.editing import Edit, planned_of, with_needs
from publisher.plans.worksheet import read_sheet, sheet
from queue_worker.queue import Ending
from schemas.errors import ConfigError
from schemas.preflight import Preflight
from schemas.run import Cause, Parent, Run, State, new_nonce

NUMBERS = {
    "precision": "amp",
    "parameters": 11_000_000,
    "trainable": 11_000_000,
    "gmacs": 1.8,
    "fixed_mb": 200.0,
    "image_mb": 40.0,
    "input_mb": 1.0,
    "gradient_mb": 50.0,
}


def kept(answer: Answer) -> Path:
    """The file that an edit says it left."""
    (row,) = (r for r in answer.err.splitlines() if r.startswith("what you wrote is kept in "))
    return Path(row.rpartition(" ")[2])


def editor(desk: Desk, *rules: str) -> str:
    """An editor that changes text by rules of sed, and leaves what it was given in `seen`."""
    script = desk.folder / "editor"
    body = "".join(f'sed -i {rule!r} "$1"\n' for rule in rules)
    script.write_text(f'#!/bin/sh\ncp "$1" "{desk.folder}/seen"\n{body}')
    script.chmod(0o755)
    return str(script)


def by_hand(desk: Desk, *words: str, rules: tuple[str, ...], yes: bool = True) -> Answer:
    return desk.publisher(
        "edit", *words, *(["--yes"] if yes else []), EDITOR=editor(desk, *rules), VISUAL=""
    )


# ---- on the line ---------------------------------------------------------------------------------


@ON_ONE_SERVER
def test_keys_of_a_config_are_changed_on_the_line(desk: Desk) -> None:
    run_id = desk.submit("optim.lr=1e-3", "seed=7")
    old = desk.door.get(run_id)
    answer = desk.publisher("edit", run_id, "optim.lr=3e-4", "train.epochs=9")
    assert answer.out == (
        f"{run_id} {old.name}: optim.lr 0.001 -> 0.0003; train.epochs 3 -> 9, next\n"
    )
    run = desk.door.get(run_id)
    assert (run.config["optim"]["lr"], run.config["train"]["epochs"]) == (3e-4, 9)
    assert run.overrides == ("seed=7", "optim.lr=3e-4", "train.epochs=9")
    assert run.digest != old.digest
    assert claim(desk.door).run.config == run.config


@ON_ONE_SERVER
def test_a_mistake_in_any_run_changes_none(desk: Desk) -> None:
    one, other = desk.submit(), desk.submit("data.split.kind=kfold")
    answer = desk.publisher("edit", one, other, "data.split.fold=9", "optim.lr=2e-4")
    assert answer.code == 2 and "Traceback" not in answer.err
    assert desk.door.get(one).config["optim"]["lr"] == 1e-3
    typo = desk.publisher("edit", one, "optim.lrr=1")
    assert typo.code == 2 and "did you mean 'optim.lr'" in typo.err


@ON_ONE_SERVER
def test_a_run_that_has_begun_keeps_its_config_but_not_its_priority(desk: Desk) -> None:
    run_id = desk.submit()
    claimed = claim(desk.door)
    save(desk.door, claimed)
    back = Ending(state=State.QUEUED, cause=Cause.DRAINED)
    desk.door.end(run_id, claimed.token, back)
    refused = desk.publisher("edit", run_id, "optim.lr=3e-4")
    assert refused.code == 1 and "its checkpoint is of the config" in refused.err
    assert desk.publisher("edit", run_id, "--priority", "2").code == 0


@ON_ONE_SERVER
def test_the_folds_of_a_batch_keep_their_split(desk: Desk) -> None:
    ids = desk.submit("--folds", "2").split()
    split = desk.publisher("edit", *ids, "data.split.folds=3", "--yes")
    assert split.code == 2 and "belongs to a k-fold" in split.err
    answer = desk.publisher("edit", *ids, "optim.lr=3e-4")
    assert answer.code == 0 and answer.out.count("optim.lr 0.001 -> 0.0003") == 3


# ---- in an editor --------------------------------------------------------------------------------


@ON_ONE_SERVER
def test_several_runs_are_edited_as_one_sheet(desk: Desk) -> None:
    one, other = desk.submit("optim.lr=2e-3"), desk.submit("optim.lr=3e-3", "--time-limit", "90m")
    answer = by_hand(
        desk,
        one,
        other,
        rules=("s/lr: 0.002/lr: 0.004/", "s/epochs: 3/epochs: 5/", "s/on: any/on: a100/"),
    )
    assert answer.code == 0, answer.err
    assert f"{one} " in answer.out and "optim.lr 0.002 -> 0.004; train.epochs 3 -> 5" in answer.out
    assert answer.out.count("on any host -> a100") == 2 and "time limit" not in answer.out
    for run in map(desk.door.get, (one, other)):
        assert (run.state, run.needs_host, run.held_by) == (State.QUEUED, "a100", "")
    assert desk.door.get(one).overrides == ("optim.lr=0.004", "train.epochs=5")


@ON_ONE_SERVER
def test_nobody_starts_a_run_while_it_is_open_in_an_editor(desk: Desk) -> None:
    run_id = desk.submit()
    gate, opened = desk.folder / "gate", desk.folder / "opened"
    script = desk.folder / "editor"
    script.write_text(f"#!/bin/sh\ntouch {opened}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    script.chmod(0o755)
    process = desk.start("publisher", "edit", run_id, "--yes", EDITOR=str(script), VISUAL="")
    wait_until(opened.exists, what="the editor")
    run = desk.door.get(run_id)
    assert run.state is State.HELD and run.held_reason.startswith("is being edited until ")
    assert desk.door.claim(a_worker(), new_nonce()) is None
    other = desk.publisher("edit", run_id, "--yes", EDITOR="true", VISUAL="", TRAINQ_USER="bo")
    assert other.code == 2 and "is being edited by ana" in other.err
    gate.touch()
    assert process.wait(timeout=PATIENCE_S) == 0
    assert claim(desk.door).run.id == run_id


@ON_ONE_SERVER
def test_what_others_do_meanwhile_is_not_overwritten(desk: Desk) -> None:
    mine, gone = desk.submit(), desk.submit()
    script = desk.folder / "editor"
    words = f"{sys.executable} -m publisher"
    script.write_text(
        "#!/bin/sh\n"
        f"{words} edit {mine} --priority 5 >/dev/null\n"
        f"{sys.executable} -m publisher.queue_cli cancel {gone} >/dev/null\n"
        "sed -i 's/epochs: 3/epochs: 5/' \"$1\"\n"
    )
    script.chmod(0o755)
    answer = desk.publisher("edit", mine, gone, "--yes", EDITOR=str(script), VISUAL="", **desk.env)
    assert answer.code == 1
    assert f"run {mine} was changed by somebody else meanwhile" in answer.err
    assert f"run {gone} is cancelled" in answer.err
    assert desk.door.get(mine).config["train"]["epochs"] == 3
    assert desk.door.get(mine).state is State.QUEUED
    assert "epochs: 5" in kept(answer).read_text()


@ON_ONE_SERVER
@pytest.mark.parametrize("started", [False, True], ids=["still waiting", "started meanwhile"])
def test_an_editor_that_is_open_longer_than_its_hold_changes_what_waits_and_loses_no_text(
    desk: Desk, started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handwork, "HOLD_S", 0.2)
    run_id = desk.submit()
    gate, opened = desk.folder / "gate", desk.folder / "opened"

    def meanwhile() -> None:
        wait_until(opened.exists, what="the editor")
        wait_until(lambda: desk.door.reap() or pending(desk, run_id), what="the end of the hold")
        if started:
            claim(desk.door)
        gate.touch()

    others = threading.Thread(target=meanwhile)
    others.start()
    script = Path(editor(desk, "s/epochs: 3/epochs: 5/"))
    waits = f"touch {opened}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n"
    script.write_text(script.read_text() + waits)
    answer = desk.publisher("edit", run_id, "--yes", EDITOR=str(script), VISUAL="")
    others.join()
    run = desk.door.get(run_id)
    assert [e.by for e in desk.door.events(run_id=run_id) if e.kind == "released"] == ["reaper"]
    if started:
        assert (answer.code, run.state) == (1, State.RUNNING)
        assert f"error: run {run_id} is running" in answer.err
        assert run.config["train"]["epochs"] == 3 and "epochs: 5" in kept(answer).read_text()
    else:
        assert (answer.code, run.state) == (0, State.QUEUED), answer.err
        assert run.config["train"]["epochs"] == 5 and "kept" not in answer.err


def pending(desk: Desk, run_id: str) -> bool:
    return desk.door.get(run_id).state is State.QUEUED


@ON_ONE_SERVER
@pytest.mark.parametrize(
    "rule", ["d", "s/x/x/", "s/^[^ #].*//;s/^ .*//"], ids=["empty", "untouched", "comments"]
)
def test_a_sheet_without_a_change_changes_nothing(desk: Desk, rule: str) -> None:
    run_id = desk.submit()
    before = desk.door.get(run_id)
    answer = by_hand(desk, run_id, rules=(rule,))
    assert (answer.code, answer.out, answer.err) == (0, "", "nothing was changed\n")
    assert desk.door.get(run_id) == before


@ON_ONE_SERVER
def test_a_mistake_in_a_sheet_is_shown_at_its_place_and_the_text_is_kept(desk: Desk) -> None:
    run_id = desk.submit()
    answer = by_hand(
        desk, run_id, rules=("s/epochs: 3/epochs: many/", "s/priority: 0/priority: 2000/")
    )
    assert answer.code == 2 and answer.err.count("error: ") == 2
    assert (
        "must be a whole number from -1000 to 1000" in answer.err
        and "nothing was changed" in answer.err
    )
    place = next(line for line in answer.err.splitlines() if "(train.epochs)" in line)
    kept = Path(place.split()[1].rsplit(":", 2)[0])
    assert "epochs: many" in kept.read_text()
    assert desk.door.get(run_id).state is State.QUEUED


@ON_ONE_SERVER
def test_an_editor_that_fails_or_is_not_there_changes_nothing(desk: Desk) -> None:
    run_id = desk.submit()
    failed = desk.publisher("edit", run_id, "--yes", EDITOR="false", VISUAL="")
    assert failed.code == 1 and "false ended with 1; nothing was changed" in failed.err
    missing = desk.publisher("edit", run_id, "--yes", EDITOR="/nowhere/vi", VISUAL="")
    assert missing.code == 2 and "cannot be started" in missing.err
    assert desk.publisher("edit", run_id).code == 2  # no terminal
    assert desk.door.get(run_id).state is State.QUEUED


@ON_ONE_SERVER
def test_a_terminal_sees_the_difference_and_is_asked(desk: Desk) -> None:
    run_id = desk.submit()
    words = (run_id, "EDITOR", editor(desk, "s/epochs: 3/epochs: 5/"))
    refused = at_a_terminal(desk, *words, say="n")
    assert "train.epochs 3 -> 5" in refused and "Change 1 run?" in refused
    assert desk.door.get(run_id).config["train"]["epochs"] == 3
    at_a_terminal(desk, *words, say="y")
    assert desk.door.get(run_id).config["train"]["epochs"] == 5


def at_a_terminal(desk: Desk, run_id: str, name: str, value: str, *, say: str) -> str:
    """What a person sees who types `publisher edit` and one answer."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "publisher", "edit", run_id],
        env={**os.environ, **desk.env, name: value, "VISUAL": ""},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(ours, f"{say}\n".encode())
    out, _ = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    os.close(theirs)
    return out


# ---- the sheet -----------------------------------------------------------------------------------

RUN = Run(
    id="7f3k2q",
    name="resnet18-lr1e-3",
    user="ana",
    state=State.QUEUED,
    config={"model": {"name": "resnet18"}, "optim": {"lr": 2e-3}, "augment": {"kind": "none"}},
    after=(Parent(id="7f3k2p", on="any"),),
    time_limit_s=3661,
    submitted_at=1,
)
OTHER = RUN.model_copy(update={"id": "7f3k2r", "priority": 3, "attempt": 1, "needs_host": "v100"})


def test_a_sheet_on_a_screen() -> None:
    assert sheet([RUN, OTHER], "14:32") == golden("edit_sheet") + "\n"


def test_a_sheet_as_it_was_written_asks_for_nothing() -> None:
    plain = RUN.model_copy(update={"config": _whole(RUN)})
    assert read_sheet(sheet([plain, OTHER], "14:32"), "runs.yaml", [plain, OTHER]) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("7f3k2q:", "7f3k2x:", "no run '7f3k2x' is in this sheet"),
        ("7f3k2r:", "7f3k2q:", "run 7f3k2q stands here twice"),
        ("priority: 0", "prioriti: 0", "did you mean 'priority'?"),
        ('after: ["7f3k2p:any"]', "after: 7f3k2p", "must be a list of runs"),
        ('after: ["7f3k2p:any"]', 'after: ["7f3k2p:bad"]', "'bad' is no end"),
        ('time_limit: "1h01m"', "time_limit: soon", "'soon' is no time"),
        ("lr: 0.002", "lrr: 0.002", "did you mean 'lr'?"),
        ("name: resnet18\n", "name: resnet81\n", "timm"),
        ("    optim:\n", "   optim:\n", "the indentation does not fit"),
        ("lr: 0.002", "lr: \x00", "the character U+0000 may not stand"),
        ("priority: 0", "priority: {a: 1}", "must be a whole number"),
        ("on: any", "on: [a]", "must be a word"),
    ],
)
def test_every_mistake_in_a_sheet_has_its_place(old: str, new: str, said: str) -> None:
    text = sheet([RUN, OTHER], "14:32")
    assert old in text
    with pytest.raises(ConfigError) as caught:
        read_sheet(text.replace(old, new, 1), "runs.yaml", [RUN, OTHER])
    shown = "\n".join(caught.value.lines())
    assert said in shown and "runs.yaml:" in shown and shown.endswith("nothing was changed.")


def _whole(run: Run) -> dict[str, object]:
    from schemas.config import TrainConfig

    return TrainConfig.model_validate(run.config).canonical()


# ---- what it needs -------------------------------------------------------------------------------


def test_another_config_asks_for_another_prediction_but_what_a_person_said_stays() -> None:
    numbers = {**NUMBERS, "img_size": 224, "batch_size": 64, "peak_mb": 3000}
    old = {"model": {"name": "resnet18"}, "data": {"batch_size": 64}}
    new = {**old, "data": {"batch_size": 128}}
    for by_hand, wanted in ((False, 0), (True, 9000)):
        seen = Preflight.model_validate({**numbers, "by_hand": by_hand}).model_dump(mode="json")
        run = RUN.model_copy(update={"config": old, "preflight": seen, "memory_mb": 9000})
        planned = planned_of(Edit(run, {"config": new}, ""))
        assert (planned.needs.memory_mb, planned.preflight) == (wanted, {})
        values = with_needs(Edit(run, {"config": new}, ""), planned).values
        assert (values["memory_mb"], values["preflight"]) == (wanted, {})
