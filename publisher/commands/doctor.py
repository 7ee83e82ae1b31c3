"""`publisher doctor`: every setting with its source, and whether what it names works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import typer

from publisher.desk import console
from publisher.desk.options import AsJson
from publisher.desk.text import Line, Piece, line
from schemas import diagnosis
from schemas.diagnosis import Finding, Level, fail, ok, warn
from schemas.errors import QueueUnreachable
from schemas.settings import Settings, sources, strangers

HELP = console.help_text(
    "Show every setting with its source, and check what it names.\n"
    "Redis, Slack, W&B, git and this machine: each ok, a warning, or a FAIL with what to do.",
    "publisher doctor",
    "publisher doctor --json",
    "REDIS_URL=redis://gpu-host:6379/0 publisher doctor",
)
SLACK_LIMIT_S = 30.0
STYLES = {"FAIL": "bad", "warn": "warn", "ok": "good"}


def doctor(as_json: AsJson = False) -> None:
    from schemas import surroundings  # reads what is installed: 30 ms that only a doctor needs

    env, dotenv, settings = dict(os.environ), Path(".env"), console.settings()
    named = sources(env, dotenv)
    findings = [
        *diagnosis.of_strangers(strangers(env, dotenv)),
        *_redis(),
        *_slack(settings),
        *surroundings.examine(env, settings, host=False),
    ]
    if as_json:
        console.out_json(diagnosis.document(named, findings))
    else:
        width = console.width()
        console.out([*diagnosis.setting_lines(named, width), ""])
        console.out(map(_painted, diagnosis.lines(findings, width)))
    raise typer.Exit(diagnosis.worst(findings))


def _redis() -> list[Finding]:
    try:
        return console.open_queue().health()
    except QueueUnreachable as error:
        return [fail("redis", f"{error.what}; {error.where}", error.fix)]


def _slack(settings: Settings) -> list[Finding]:
    """What Slack says of a token that is set here; its library is the worker's, so a child asks."""
    if not (settings.slack_bot_token or settings.slack_webhook_url or settings.slack_file):
        return [ok("slack", "no token is set here: the workers post, `worker doctor` checks it")]
    command = [sys.executable, "-m", "queue_worker.notices.slack_check"]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=SLACK_LIMIT_S, check=True, text=True
        )
        return [Finding(**{**e, "level": Level(e["level"])}) for e in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError):
        fix = "on a GPU host: worker doctor"
        return [warn("slack", "cannot be asked from here (slack-sdk comes with the worker)", fix)]


def _painted(text: str) -> Line:
    """The level in its colour; the word stands there anyway."""
    level = text.split(" ", maxsplit=1)[0]
    if level not in STYLES:
        return line(text)
    return line(Piece(level, STYLES[level]), text[len(level) :])
