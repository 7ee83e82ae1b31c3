"""The words that every room shares: errors, settings, run folders, runs."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas import errors
from schemas.errors import ConfigError, Problem, TrainqError, UsageError
from schemas.events import Epoch, metrics_row, parse_line
from schemas.result import Result
from schemas.run import (
    ENDED,
    ID_PATTERN,
    PENDING,
    TRANSITIONS,
    Cause,
    Run,
    State,
    new_id,
    new_nonce,
)
from schemas.rundir import RunDir, RunsRoot, replacing, write_atomic
from schemas.settings import Settings

# ---- errors --------------------------------------------------------------------------------------


def test_an_error_says_what_where_and_what_to_try() -> None:
    error = TrainqError("it broke", where="here", fix="mend it")
    assert error.lines() == ["error: it broke", "  where: here", "  try:   mend it"]
    assert TrainqError("it broke").lines() == ["error: it broke"]


def test_every_exit_code_is_named_in_the_help_text() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.exit_code for each in kinds if issubclass(each, TrainqError)}
    assert codes == {1, 2, 3, 4, 5, 6}
    for code in codes:
        assert f"{code} " in errors.EXIT_CODES


def test_one_error_is_not_called_errors() -> None:
    assert ConfigError([Problem("x")], "a.yaml").what == "1 error in a.yaml"
    assert ConfigError([Problem("x")] * 2, "a.yaml").what == "2 errors in a.yaml"


def caret(line: str, column: int, width: int) -> list[str]:
    problem = Problem("x", file="f", line=7, column=column, width=width, excerpt=line)
    return problem.lines()[2:]


def test_a_caret_stands_below_wide_and_combining_letters() -> None:
    assert caret("日本: x", 5, 1) == ["  7 | 日本: x", "    |       ^"]
    assert caret("日本: x", 1, 2) == ["  7 | 日本: x", "    | ^^^^"]
    assert caret("e\u0301: x", 5, 1) == ["  7 | e\u0301: x", "    |    ^"]


def test_a_tab_and_an_escape_are_shown_as_spaces() -> None:
    assert caret("\ta: \x1b[0m", 2, 1) == ["  7 |  a:  [0m", "    |  ^"]


def test_a_long_line_is_cut_around_its_caret() -> None:
    text, under = caret("a" * 300 + "bcd" + "e" * 300, 301, 3)
    assert len(text) == len("  7 | ") + errors.WIDEST
    assert text[under.index("^") : under.rindex("^") + 1] == "bcd"


def test_a_caret_past_the_end_of_its_line_is_still_one() -> None:
    assert caret("a:", 3, 5) == ["  7 | a:", "    |   ^"]


# ---- settings ------------------------------------------------------------------------------------


def dotenv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / ".env"
    path.write_text(text)
    return path


def test_the_environment_wins_over_dotenv_and_dotenv_over_the_defaults(tmp_path: Path) -> None:
    file = dotenv(tmp_path, "TRAINQ_LEASE_S=5\nTRAINQ_STALL_S=7\n")
    settings = Settings.read({"TRAINQ_LEASE_S": "10", "OTHER": "x"}, file)
    assert (settings.lease_s, settings.stall_s, settings.grace_s) == (10, 7, 60)


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.read({"REDIS_URL": "", "TRAINQ_LEASE_S": ""}).redis_url is None


def test_every_time_follows_from_the_lease() -> None:
    settings = Settings.read({"TRAINQ_LEASE_S": "15"})
    assert (settings.renew_s, settings.beat_s, settings.silence_s) == (3, 1, 9)


def test_dotenv_reads_quotes_comments_and_export(tmp_path: Path) -> None:
    text = "# ours\n\nexport TRAINQ_PREFIX='a:'\nTRAINQ_USER = \"ana\"\n"
    settings = Settings.read({}, dotenv(tmp_path, text))
    assert (settings.prefix, settings.user) == ("a:", "ana")


def test_a_missing_dotenv_is_no_error(tmp_path: Path) -> None:
    assert Settings.read({}, tmp_path / ".env").lease_s == 15


def test_a_line_of_dotenv_that_says_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 2 is not KEY=value"):
        Settings.read({}, dotenv(tmp_path, "A=1\nnonsense\n"))


def test_a_setting_that_makes_no_sense_is_one_error() -> None:
    with pytest.raises(UsageError, match="TRAINQ_LEASE_S must be a number, got 'soon'") as caught:
        Settings.read({"TRAINQ_LEASE_S": "soon"})
    assert caught.value.exit_code == 2
    assert caught.value.where == "the environment or .env"


def test_secrets_are_never_printed() -> None:
    settings = Settings.read({"SLACK_BOT_TOKEN": "xoxb-1", "REDIS_URL": "redis://:pw@h"})
    assert "xoxb-1" not in repr(settings)
    assert "pw@" not in str(settings)


# ---- run folders ---------------------------------------------------------------------------------


def test_a_runs_root_keeps_the_id_it_was_given(tmp_path: Path) -> None:
    root = RunsRoot(tmp_path / "runs")
    assert root.id() == RunsRoot(tmp_path / "runs").id()
    assert RunsRoot(tmp_path / "other").id() != root.id()


def test_many_makers_of_one_root_agree_on_its_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda _: RunsRoot(tmp_path / "runs").id(), range(64)))
    assert len(set(ids)) == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["root-id"]


def test_a_second_maker_of_an_attempt_is_refused(tmp_path: Path) -> None:
    run = RunsRoot(tmp_path).run("abc123")
    attempt = run.make_attempt("1-00000000")
    assert attempt.checkpoints.is_dir()
    with pytest.raises(FileExistsError):
        run.make_attempt("1-00000000")


def test_checkpoints_of_a_finished_run_are_dropped_and_its_best_weights_stay(
    tmp_path: Path,
) -> None:
    run = RunsRoot(tmp_path).run("abc123")
    attempt = run.make_attempt(TOKEN)
    attempt.checkpoint(40).mkdir()
    attempt.best.mkdir()
    run.drop_checkpoints()
    assert [path.name for path in attempt.path.iterdir()] == ["best"]


def test_every_name_of_a_run_is_below_its_folder(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "abc123")
    attempt = run.attempt("2-0123abcd")
    checkpoint = attempt.checkpoint(40)
    assert run.relative(checkpoint) == "attempts/2-0123abcd/checkpoints/step-40"
    for path in [*vars(run).values(), *vars(attempt).values()]:
        assert path.is_relative_to(run.path)


def test_a_file_is_replaced_whole_and_leaves_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["result.json"]  # noqa: PTH208 - hidden names count too


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomic(path, b"old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


# ---- runs ----------------------------------------------------------------------------------------

TOKEN = "1-0123abcd"
GOOD: dict[State, dict[str, Any]] = {
    State.WAITING: {},
    State.QUEUED: {},
    State.HELD: {"held_by": "ana"},
    State.RUNNING: {"token": TOKEN},
    State.FINISHED: {"ended_at": 2.0},
    State.FAILED: {"ended_at": 2.0, "cause": Cause.CODE},
    State.CANCELLED: {"ended_at": 2.0},
    State.SKIPPED: {"ended_at": 2.0},
}


def a_run(state: State, **fields: Any) -> Run:
    return Run(
        id="abc123", name="x", user="ana", state=state, config={}, submitted_at=1.0, **fields
    )


@pytest.mark.parametrize("state", State)
def test_a_run_with_the_fields_of_its_state_is_valid(state: State) -> None:
    assert a_run(state, **GOOD[state]).state is state


@pytest.mark.parametrize(
    ("state", "fields", "words"),
    [
        (State.RUNNING, {}, "needs the token"),
        (State.RUNNING, {"token": "1-xyz"}, "needs the token"),
        (State.RUNNING, {"token": TOKEN, "ended_at": 2.0}, "ended_at does not fit"),
        (State.QUEUED, {"token": TOKEN}, "cannot have a live attempt"),
        (State.QUEUED, {"ended_at": 2.0}, "ended_at does not fit"),
        (State.HELD, {}, "needs who holds it"),
        (State.FAILED, {"ended_at": 2.0}, "needs a cause"),
        *((state, {}, "ended_at does not fit") for state in sorted(ENDED)),
    ],
)
def test_a_run_that_contradicts_itself_is_no_run(
    state: State, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        a_run(state, **fields)


def test_the_table_has_every_state_and_ended_ones_lead_nowhere() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, targets in TRANSITIONS.items() if not targets} == ENDED
    assert ENDED | PENDING | {State.RUNNING} == set(State)


def test_every_state_can_be_left_by_cancelling_or_is_ended() -> None:
    for state in set(State) - ENDED:
        assert State.CANCELLED in TRANSITIONS[state]


def test_only_a_queued_run_starts() -> None:
    assert [s for s, targets in TRANSITIONS.items() if State.RUNNING in targets] == [State.QUEUED]


def test_ids_and_nonces_are_fresh_and_well_formed() -> None:
    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(ID_PATTERN.match(each) for each in ids)
    assert len(new_nonce()) == 8


def test_a_row_of_metrics_begins_with_its_epoch_and_step() -> None:
    row = metrics_row(Epoch(epoch=1, step=2, metrics={"accuracy": 0.5}))
    assert list(row.items()) == [("epoch", 1), ("step", 2), ("accuracy", 0.5)]


def test_a_result_is_the_same_after_its_way_through_a_file() -> None:
    result = Result(token=TOKEN, exit_code=5, cause=Cause.DIVERGED, error="loss is nan")
    assert Result.model_validate_json(result.model_dump_json()) == result


def test_a_line_of_the_pipe_is_read_back_or_refused() -> None:
    line = Epoch(epoch=1, step=2, metrics={"accuracy": 0.5})
    assert parse_line(line.model_dump_json().encode()) == line
    with pytest.raises(ValidationError):
        parse_line(b'{"kind": "gossip"}')
