"""Every `--json` against its schema in support/reads.py: a key that goes, or comes, fails here."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import reads
from support.desk import Desk, fail, finish
from support.machine import settle_on
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER, TestServer
from support.transcript import typed
from typer.main import get_command

from publisher import __main__ as publisher_cli
from publisher import queue_cli
from queue_worker import steer

READS: dict[str, type[reads.BaseModel]] = {
    "publisher submit good.yaml --seeds 2 --again --json": reads.Submit,
    "publisher submit good.yaml seed=5 --again --json": reads.Submit,
    "publisher retry bad --json": reads.Submit,
    "queue retry bad seed=7 --json": reads.Submit,
    "publisher validate good.yaml --json": reads.Validate,
    "publisher validate good.yaml bad.yaml --json": reads.Validate,
    "publisher validate good.yaml --seeds 2 --resolved --json": reads.Validate,
    "publisher diff bad good --json": reads.Diff,
    "publisher diff good good.yaml --json": reads.Diff,
    "publisher doctor --json": reads.Doctor,
    "publisher preflight good.yaml --json": reads.Foreseen,
    "publisher preflight good.yaml --gpu-memory 4G --json": reads.Foreseen,
    "queue list --json": reads.List,
    "queue list -o json -s failed": reads.List,
    "queue show good --json": reads.Show,
    "queue show pair --json": reads.ShowBatch,
    "queue why @last --json": reads.Why,
    "queue results --json": reads.Results,
    "queue results -b pair --json": reads.Experiments,
    "queue results --mean --json": reads.Experiments,
    "queue compare good bad --json": reads.Compare,
    "queue admin share --json": reads.Share,
    "queue admin prune --older-than 0.001s --dry-run --json": reads.Prune,
    "queue admin rebuild roots --dry-run --json": reads.Rebuild,
    "worker list --json": reads.Workers,
    "worker doctor --gpu cpu --json": reads.Doctor,
}
LINES: dict[str, type[reads.BaseModel]] = {
    "queue list -o jsonl": reads.Row,
    "queue results -o jsonl": reads.Result,
    "queue results -b pair -o jsonl": reads.Experiment,
    "queue compare good bad -o jsonl": reads.Compared,
}


@pytest.fixture
def desk(server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """One of each: a batch that runs, is held and has failures, a good run, a bad one, a drain."""
    desk = Desk(server, tmp_path)
    for name in ("good", "bad"):
        desk.submit("--name", name)
    finish(desk.door, claim(desk.door))
    fail(desk.door, claim(desk.door))
    desk.publisher("submit", str(desk.config), "--seeds", "3", "--again", "--name", "pair")
    finish(desk.door, claim(desk.door))
    fail(desk.door, claim(desk.door))
    claim(desk.door)
    desk.queue("hold", "-b", "pair", "--reason", "wrong split")
    desk.door.announce(a_worker("v100:0", versions={"torch": "2.10.0"}))
    desk.door.set_control("drain", "worker:v100:0", by="bo", reason="a fan")
    (tmp_path / "bad.yaml").write_text("model: {name: resnet10t}\noptim: {lr: fast}\n")
    (tmp_path / "roots" / "7f3k2q").mkdir(parents=True)
    (tmp_path / "roots" / "root-id").write_text("00000000")
    monkeypatch.chdir(tmp_path)
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    settle_on(desk, monkeypatch)
    return desk


def out_of(line: str) -> str:
    return "".join(text for mark, text in typed(line)[1] if not mark)


@ON_ONE_SERVER
def test_every_read_keeps_its_keys_and_types(desk: Desk) -> None:
    for line, schema in READS.items():
        out = out_of(line)
        assert out.startswith('{\n  "schema_version": 1,'), line
        schema.model_validate_json(out)
    for line, schema in LINES.items():
        rows = out_of(line).splitlines()
        assert rows, line
        for row in rows:
            schema.model_validate_json(row)


@ON_ONE_SERVER
def test_what_goes_wrong_leaves_nothing_where_a_program_would_read(desk: Desk) -> None:
    for line in READS:
        words = shlex.split(line)
        code, told = typed(shlex.join([*words[:-1], "nonsense", words[-1], "--no-such-flag"]))
        assert code == 2 and all(mark for mark, _ in told), line


def verbs_with(flag: str) -> set[str]:
    """The verbs that know a flag."""
    apps: dict[str, Any] = {
        "publisher": publisher_cli.app(),
        "queue": queue_cli.app(),
        "worker": steer.app,
    }
    found = {
        f"{tool} {' '.join(path)}": command
        for tool, app in apps.items()
        for path, command in leaves(get_command(app), ())
    }
    return {n for n, command in found.items() if any(flag in p.opts for p in command.params)}


def leaves(command: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield above, command
    for name, one in (inner or {}).items():
        yield from leaves(one, (*above, name))


def test_no_read_is_without_a_schema() -> None:
    told = " ; ".join(READS)
    assert {verb for verb in verbs_with("--json") if f"{verb} " not in told} == set()
    formats = {verb for verb in verbs_with("--output") if verb.startswith("queue ")}
    assert formats == {"queue list", "queue results", "queue compare", "queue export"}
