"""publisher doctor: settings with their sources, and what is well here; the judges."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.desk import MODULES, Desk
from support.golden import golden
from support.servers import ON_ONE_SERVER
from support.slack_server import TOKEN, SlackServer

from schemas import surroundings
from schemas.diagnosis import Finding, Level, document, lines, setting_lines
from schemas.settings import Settings, sources
from schemas.surroundings import Checkout, Folder, Installed, Wandb

SAID = {
    "REDIS_URL": "redis://:hush@gpu-host:6379/0",
    "TRAINQ_RUNS": "/mnt/shared/of/the/vision/team/on/the/second/floor/experiments/runs",
    "SLACK_CHANNEL": "#ml-runs",
}


def found(answer_out: str) -> dict[str, str]:
    return {each["subject"]: each["level"] for each in json.loads(answer_out)["findings"]}


# ---- the command ---------------------------------------------------------------------------------


@ON_ONE_SERVER
def test_a_doctor_tells_every_setting_with_its_source(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    Path(".env").write_text("TRAINQ_STALL_S=60\nSLACK_CHANNEL=#birds\n")
    answer = desk.publisher("doctor", COLUMNS="80")
    told = [row.split(maxsplit=1) for row in answer.out.splitlines() if row[:1].isupper()]
    rows = {words[0]: words[-1] for words in told}
    assert rows["TRAINQ_USER"].split() == ["the", "environment", "ana"]
    assert rows["SLACK_CHANNEL"].split() == [".env", "#birds"]
    assert rows["TRAINQ_LEASE_S"].split() == ["default", "15.0"]
    assert rows.keys() >= {field.alias for field in Settings.model_fields.values()}
    assert desk.server.url not in answer.out.split("redis ")[0]
    assert max(map(len, answer.out.splitlines())) <= 80 or str(desk.folder) in answer.out
    assert answer.code == 0, answer.out


@ON_ONE_SERVER
def test_a_doctor_as_json_holds_the_same(desk: Desk) -> None:
    answer = desk.publisher("doctor", "--json", TRAINQ_RUNZ="x")
    read = json.loads(answer.out)
    assert read["schema_version"] == 1 and answer.code == 0
    assert {"name": "TRAINQ_USER", "value": "ana", "source": "the environment"} in read["settings"]
    assert {each["level"] for each in read["findings"]} <= {"ok", "warn"}
    assert "TRAINQ_RUNZ is no setting" in answer.out
    assert {"redis", "slack", "python", "git", "runs", "data", "wandb"} <= found(answer.out).keys()


def test_a_doctor_without_redis_says_so_and_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", MODULES["publisher"], "doctor", "--json"],
        env={**os.environ, "REDIS_URL": "redis://:hush@127.0.0.1:1/0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, found(done.stdout)["redis"]) == (1, "FAIL")
    assert found(done.stdout)["python"] == "ok" and "hush" not in done.stdout + done.stderr


@ON_ONE_SERVER
def test_a_doctor_asks_slack_by_a_child(desk: Desk, slack: SlackServer) -> None:
    env = {"SLACK_API_URL": slack.api_url, "SLACK_CHANNEL": "#ml-runs"}
    good = desk.publisher("doctor", "--json", SLACK_BOT_TOKEN=TOKEN, **env)
    assert found(good.out)["slack"] == "ok" and slack.count("auth.test") == 1
    assert not slack.messages and TOKEN not in good.out
    bad = desk.publisher("doctor", "--json", SLACK_BOT_TOKEN="xoxb-wrong-wrong-wrong", **env)
    assert found(bad.out)["slack"] == "FAIL" and bad.code == 1, bad.out


@ON_ONE_SERVER
def test_a_doctor_loads_no_torch_and_colours_only_a_terminal(desk: Desk) -> None:
    coloured = desk.publisher("doctor", FORCE_COLOR="1").out
    assert "\x1b[32mok\x1b[0m" in coloured
    assert "\x1b" not in desk.publisher("doctor", FORCE_COLOR="1", NO_COLOR="1").out
    code = "import sys; from publisher.commands import doctor; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"torch", "slack_sdk", "rq", "pynvml"} & set(loaded)


# ---- what it looks like --------------------------------------------------------------------------

FINDINGS = [
    Finding(Level.OK, "redis", "Valkey 9.1.0 at redis://:****@gpu-host:6379/0, 0.4 ms away"),
    Finding(
        Level.FAIL,
        "redis",
        "a full server throws runs away: its eviction policy is allkeys-lru",
        "maxmemory-policy noeviction in redis.conf",
    ),
    *surroundings.judge_git(Checkout("2.45.1", "0c1d2e3f4a5b6c7d", 2)),
    *surroundings.judge_wandb(Wandb(key=True, project="birds", installed=True), host=True),
]


@pytest.mark.parametrize("width", [80, 120])
def test_a_diagnosis_on_a_screen(width: int) -> None:
    named = [each for each in sources(SAID) if each.name in SAID]
    shown = "\n".join([*setting_lines(named, width), "", *lines(FINDINGS, width)])
    assert shown == golden(f"doctor_{width}")
    assert max(map(len, shown.splitlines())) <= width
    assert document(named, FINDINGS)["findings"][1]["level"] == "FAIL" and "hush" not in shown


# ---- judges --------------------------------------------------------------------------------------

RUNS = Folder(Path("/runs"), there=True, readable=True, writable=True, free_gib=500, root_id="ab")


@pytest.mark.parametrize(
    ("folder", "level", "said"),
    [
        (RUNS, "ok", "root ab"),
        (Folder(Path("/runs"), there=False, writable=True, free_gib=500), "ok", "it is made when"),
        (Folder(Path("/runs"), there=False, writable=False), "FAIL", "cannot be written"),
        (Folder(Path("/runs"), there=True, writable=False), "FAIL", "no folder that can be read"),
        (Folder(Path("/r"), True, True, True, free_gib=1), "FAIL", "1 GiB free"),
        (Folder(Path("/r"), True, True, True, free_gib=9), "warn", "9 GiB free"),
    ],
)
def test_a_runs_root_must_take_checkpoints(folder: Folder, level: str, said: str) -> None:
    (told,) = surroundings.judge_runs(folder, host=True)
    assert (str(told.level), said in told.text) == (level, True)
    assert next(surroundings.judge_runs(folder, host=False)).level is Level.OK


def test_a_data_root_must_be_there_to_be_read(tmp_path: Path) -> None:
    def told(path: Path) -> str:
        (one,) = surroundings.judge_data(surroundings.read_folder(path), host=True)
        return f"{one.level} {one.text}"

    assert told(tmp_path / "nowhere").startswith("FAIL there is no")
    assert told(tmp_path).startswith("warn") and "is empty" in told(tmp_path)
    (tmp_path / "sketch").mkdir()
    assert told(tmp_path).startswith("ok")


@pytest.mark.parametrize(
    ("wandb", "level", "said"),
    [
        (Wandb(key=False), "ok", "off: no WANDB_API_KEY"),
        (Wandb(key=False, mode="offlien"), "FAIL", "'offlien' is none"),
        (Wandb(key=True, mode="disabled"), "ok", "disabled"),
        (Wandb(key=False, mode="offline"), "ok", "offline"),
        (Wandb(key=True, installed=False), "warn", "the package is missing"),
        (Wandb(key=False, login="~/.netrc", installed=True), "ok", "key from ~/.netrc"),
    ],
)
def test_weights_and_biases_may_be_off_but_not_half_on(wandb: Wandb, level: str, said: str) -> None:
    (told,) = surroundings.judge_wandb(wandb, host=True)
    assert (str(told.level), said in told.text) == (level, True)


def test_a_login_is_found_where_wandb_looks(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password 0123456789\n")
    assert surroundings.read_wandb({}, tmp_path).login == str(tmp_path / ".netrc")
    own = {"WANDB_BASE_URL": "https://wandb.lab:8080"}
    assert surroundings.read_wandb(own, tmp_path).login == ""
    assert surroundings.read_wandb({"WANDB_API_KEY": "0123"}, tmp_path / "no").key


@ON_ONE_SERVER
def test_who_bears_the_name_of_a_machine_is_told_to_take_one_of_their_own(desk: Desk) -> None:
    assert "TRAINQ_USER=your" not in desk.publisher("doctor").out
    told = " ".join(desk.publisher("doctor", TRAINQ_USER="ubuntu").out.split())
    assert "you are 'ubuntu', as is everybody with that login" in told
    assert "export TRAINQ_USER=your-own-name" in told


def test_python_packages_and_git_are_judged() -> None:
    def levels(installed: Installed) -> list[str]:
        return [str(each.level) for each in surroundings.judge_python(installed, host=True)]

    assert levels(Installed("3.12.1", {"rq": "2.12"}, "abc")) == ["ok", "ok"]
    assert levels(Installed("3.10.9", {"rq": surroundings.ABSENT}, "abc")) == ["FAIL", "FAIL"]
    for checkout, level in (
        (Checkout(""), "warn"),
        (Checkout("2.45"), "ok"),
        (Checkout("2.45", "abc"), "ok"),
        (Checkout("2.45", "abc", 1), "warn"),
    ):
        assert [str(each.level) for each in surroundings.judge_git(checkout)] == [level]


def test_this_very_machine_can_be_examined(tmp_path: Path) -> None:
    settings = Settings(TRAINQ_RUNS=tmp_path, TRAINQ_DATA=tmp_path)
    told = surroundings.examine({}, settings, host=True, home=tmp_path)
    assert {each.subject for each in told} == {"python", "packages", "git", "runs", "data", "wandb"}
