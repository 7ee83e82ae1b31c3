"""Every way to be wrong gives one clear block on stderr, the right exit code, and no traceback."""

import shlex
from pathlib import Path

import pytest
from support.desk import Answer, Desk
from support.servers import ON_ONE_SERVER, TestServer

pytestmark = ON_ONE_SERVER


@pytest.fixture
def desk(server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(server, tmp_path)


def ask(desk: Desk, line: str, **env: str) -> Answer:
    tool, *words = shlex.split(line)
    return desk.queue(*words, **env) if tool == "queue" else desk.publisher(*words, **env)


def assert_one_block(answer: Answer, code: int, hint: str) -> None:
    assert answer.code == code, answer.err
    assert hint in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) < 12
    assert "\x1b" not in answer.err


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("queue lst", "Did you mean 'list'?"),
        ("queue list --jsno", "--json"),
        ("queue list -o xml", "'table'"),
        ("queue list -n many", "valid integer"),
        ("queue list -s runing", "did you mean running?"),
        ("queue admin share extra", "extra"),
        ("queue logs @last --grep [", "not a regular expression"),
        ("queue wait @last --timeout soon", "1h30m"),
        ("queue wait --mine --timeout", "requires an argument"),
        ("queue move --first", "no run was named"),
        ("queue move x --priority high", "valid integer"),
        ("queue move x --firts", "--first"),
        ("queue watch x -b y", "-b BATCH"),
        ("queue cancel --alll", "--all"),
        ("queue cancel -s don", "waiting, queued, held"),
        ("queue why x --josn", "--json"),
        ("publisher submit none.yaml", "there is no such file"),
        ("publisher submit .", "folder"),
        ("publisher submit optim.lr=1", "no config file"),
        ("publisher submit good.yaml optim.rl=1", "did you mean 'optim.lr'?"),
        ("publisher submit good.yaml optim.lr=1e-3,1e-4", "takes one value"),
        ("publisher submit good.yaml --notify everybody", "@me"),
        ("publisher submit good.yaml --priority 2000", "1000"),
        ("publisher submit good.yaml good.yaml --name x", "one run"),
        ("publisher submit good.yaml good.yaml --follow", "--wait"),
        ("publisher submit good.yaml --prioritty 2", "--priority"),
        ("publisher retry seed=1", "no run was given"),
        ("publisher validate none.yaml", "there is no such file"),
    ],
)
def test_bad_usage_is_code_2(desk: Desk, line: str, hint: str) -> None:
    assert_one_block(ask(desk, line), 2, hint)
    assert not any(desk.door.counts().values())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("queue show nonsense", "queue list shows the runs"),
        ("queue show ''", "no run"),
        ("queue show @last", "yet"),
        ("queue logs @failed", "no failed run"),
        ("queue cancel '\x1b[2Jgone'", "no run"),
        ("queue wait 7f3k2q", "no run"),
        ("queue why nonsense", "queue list shows the runs"),
        ("queue watch nonsense", "no run"),
        ("queue watch -b nonsense", "there is no batch 'nonsense'"),
        ("queue move nonsense --first", "no run"),
        ("queue cancel -b @last", "no batch of yours yet"),
        ("publisher retry ../../etc/passwd", "no run"),
    ],
)
def test_a_run_that_is_not_there_is_code_3(desk: Desk, line: str, hint: str) -> None:
    assert_one_block(ask(desk, line), 3, hint)


def test_a_name_that_fits_several_is_code_3_and_gives_the_ids(desk: Desk) -> None:
    runs = [desk.submit(), desk.submit()]
    said = f"{runs[0]} queued, {runs[1]} queued"
    assert_one_block(ask(desk, "queue cancel resnet10t"), 3, said)


READS = [
    "queue list",
    "queue show @last",
    "queue why @last",
    "queue watch",
    "queue results",
    "publisher submit good.yaml",
]


@pytest.mark.parametrize("line", READS)
def test_a_redis_that_is_down_is_code_4(desk: Desk, line: str) -> None:
    answer = ask(desk, line, REDIS_URL="redis://:hunter2@localhost:1/0")
    assert_one_block(answer, 4, "cannot reach Redis at redis://:****@localhost:1/0")
    assert "connection refused" in answer.err and "export REDIS_URL=" in answer.err
    assert "hunter2" not in answer.err


@pytest.mark.parametrize(
    "url", ["nonsense", "http://localhost:6379", "redis://host:port", "unix://"]
)
def test_a_url_that_is_none_is_code_4_or_2(desk: Desk, url: str) -> None:
    answer = ask(desk, "queue list", REDIS_URL=url)
    assert answer.code in (2, 4) and "REDIS_URL" in answer.err
    assert "Traceback" not in answer.err and answer.err.count("error:") == 1


def test_a_wrong_password_is_code_4(desk: Desk) -> None:
    desk.door.now()  # the server is there
    url = desk.env["REDIS_URL"].replace("unix://", "unix://ana:hunter2@")
    answer = ask(desk, "queue list", REDIS_URL=url)
    assert_one_block(answer, 4, "refuses us")
    assert "hunter2" not in answer.err


def test_a_setting_that_makes_no_sense_is_code_2(desk: Desk) -> None:
    assert_one_block(ask(desk, "queue list", TRAINQ_LEASE_S="soon"), 2, "TRAINQ_LEASE_S")


def test_a_dotenv_that_is_no_text_is_code_2(desk: Desk) -> None:
    (desk.folder / ".env").write_bytes(b"\xff\xfe\n")
    assert_one_block(ask(desk, "queue list"), 2, "line 1 is not KEY=value")


def test_a_state_folder_that_cannot_be_made_is_one_block(desk: Desk) -> None:
    desk.config.touch()
    answer = ask(desk, "queue list", REDIS_URL="", TRAINQ_STATE=str(desk.config / "state"))
    assert_one_block(answer, 4, str(desk.config))


@pytest.mark.parametrize("user", ["a|b", "\x1b[2J", "u" * 300])
def test_a_user_that_redis_keys_cannot_hold_is_code_2(desk: Desk, user: str) -> None:
    answer = ask(desk, "publisher submit good.yaml", TRAINQ_USER=user)
    assert_one_block(answer, 2, "TRAINQ_USER")


@pytest.mark.parametrize("tool", ["queue", "publisher"])
def test_nothing_at_all_is_answered_with_help(desk: Desk, tool: str) -> None:
    answer = ask(desk, tool)
    assert answer.code == 2 and "Examples:" in answer.err


LOOKING = (
    *(
        "list",
        "show",
        "why",
        "logs",
        "watch",
        "cancel",
        "retry",
        "hold",
        "release",
        "move",
        "wait",
        "results",
    ),
    *("compare", "export"),
)
ASKING = ("submit", "validate", "retry", "schema")
VERBS = [*(f"queue {verb}" for verb in LOOKING), *(f"publisher {verb}" for verb in ASKING)]
BARE = (
    "queue watch",
    "queue list",
    "queue results",
    "queue export",
    "publisher schema",
)  # say something when given nothing


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_has_a_sentence_three_examples_and_the_exit_codes(desk: Desk, verb: str) -> None:
    answer = ask(desk, f"{verb} --help")
    assert answer.code == 0 and answer.err == ""
    examples = answer.out.split("Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(examples) == 3
    assert "Exit codes: 0 ok;" in answer.out and "130 Ctrl-C" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 120


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in BARE])
def test_a_verb_that_is_given_nothing_prints_its_help(desk: Desk, verb: str) -> None:
    answer = ask(desk, verb)
    assert answer.code == 2 and "Examples:" in answer.err
