"""What a doctor's findings look like, and where every setting comes from."""

from pathlib import Path

from schemas.diagnosis import fail, lines, ok, record, warn, worst
from schemas.settings import Settings, sources, strangers

WELL = ok("redis", "Valkey 9.1, AOF on")
ODD = warn("clock", "this host is 3.2 s behind Redis", "start an NTP client")
BAD = fail("gpu", "torch 2.11.0 has no kernels for sm_70 " * 3, "pip install torch==2.10.0")


def test_a_finding_is_a_line_and_whatever_is_not_ok_says_what_to_do() -> None:
    assert list(lines([WELL, ODD], 80)) == [
        "ok    redis      Valkey 9.1, AOF on",
        "warn  clock      this host is 3.2 s behind Redis",
        "                 try: start an NTP client",
        "2 checks: 1 warning",
    ]
    assert list(lines([WELL], 80))[-1] == "1 check: all is well"
    assert list(lines([BAD, BAD, ODD], 80))[-1] == "3 checks: 1 warning, 2 failures"


def test_long_findings_are_wrapped_under_themselves() -> None:
    told = list(lines([BAD], 60))
    assert all(len(line) <= 60 for line in told)
    assert len(told) > 3 and all(line.startswith(" " * 17) for line in told[1:-1])


def test_only_what_does_not_work_makes_the_exit_code() -> None:
    assert [worst(found) for found in ([], [WELL, ODD], [WELL, BAD, ODD])] == [0, 0, 1]


def test_programs_read_the_same_as_people() -> None:
    assert record([ODD]) == [
        {
            "level": "warn",
            "subject": "clock",
            "text": "this host is 3.2 s behind Redis",
            "fix": "start an NTP client",
        }
    ]


def test_every_setting_is_told_with_its_source_and_no_secret(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("TRAINQ_RUNS=/srv/runs\nTRAINQ_DATA=/from/file\nSLACK_CHANNEL=\n")
    env = {"TRAINQ_DATA": "/data", "REDIS_URL": "redis://:hush@box/0", "SLACK_BOT_TOKEN": "xoxb-1"}
    told = {one.name: one[1:] for one in sources(env, dotenv)}
    assert told["TRAINQ_RUNS"] == ("/srv/runs", ".env")
    assert told["TRAINQ_DATA"] == ("/data", "the environment")
    assert told["TRAINQ_LEASE_S"] == ("15.0", "default")
    assert told["SLACK_CHANNEL"] == ("", "default")  # an empty value is none
    assert told["SLACK_WEBHOOK_URL"] == ("", "default")
    assert "hush" not in str(told) and "xoxb" not in str(told)
    assert len(told) == len(Settings.model_fields)


def test_a_name_that_is_almost_a_setting_is_noticed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRAINQ_LEASE=3\n")
    env = {"TRAINQ_RUN": "x", "TRAINQ_TRAINER": "1:2:3", "TRAINQ_RUNS": "y", "HOME": "z"}
    assert strangers(env, tmp_path / ".env") == ["TRAINQ_LEASE", "TRAINQ_RUN"]
