"""The edge to the terminal: data to stdout, talk to stderr, errors to lines and exit codes.

The one handler of errors of every command; all text of users passes through `text.clean`.
"""

import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer
from typer.core import TyperGroup

from publisher.desk.text import Line, Piece, clean, line
from schemas.errors import EXIT_CODES, TrainqError, TransitionRefused, UsageError
from schemas.settings import Settings

if TYPE_CHECKING:
    from queue_worker.queue import Queue

CODES = {"good": 32, "bad": 31, "warn": 33, "live": 36, "dim": 2, "bold": 1}
SCHEMA_VERSION = 1  # of everything that `--json` prints; within it keys are only ever added
THE_LINE = "The line now: queue list -s queued"
BETWEEN = "    "  # two commands of one line
WIDTH_OF_A_PIPE = 120  # lines for a file or another program


class Desk(TyperGroup):
    """The group of every app: what is raised below here ends as lines and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # the context of typer's own, private click
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a name may hold what a terminal cannot show
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()
        except TrainqError as error:
            tell_error(error)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            _give_up_stdout()
            raise typer.Exit(0) from None
        except OSError as error:  # a full disk, a folder that may not be written
            _give_up_stdout()
            tell_error(TrainqError(str(error.strerror).lower(), where=str(error.filename or "")))
            raise typer.Exit(TrainqError.exit_code) from error
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        return answer


def desk(sentence: str, *examples: str) -> typer.Typer:
    """An app with the conventions of all our apps."""
    app = typer.Typer(
        cls=Desk,
        help=help_text(sentence, *examples),
        add_completion=True,
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help starts faster and can be piped
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    return app


def add(
    app: typer.Typer, verb: str, command: Callable[..., None], help: str, *, bare: bool = False
) -> None:
    """A verb of an app; one that is given nothing prints its help, unless it can go without."""
    app.command(verb, help=help, no_args_is_help=not bare)(command)


def help_text(sentence: str, *examples: str) -> str:
    """One sentence, examples, exit codes: the shape of every `--help`."""
    shown = "\n".join(f"  {example}" for example in examples)
    return f"{sentence}\n\n\b\nExamples:\n{shown}\n\n\b\n{EXIT_CODES}"


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 30 ms that no other command needs

        out([f"trainq {version('trainq')}"])
        raise typer.Exit


def _common(
    _version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    return None


# ---- the world outside ---------------------------------------------------------------------------


def settings() -> Settings:
    """What the environment and `.env` say."""
    return Settings.read(os.environ, Path(".env"))


def open_queue() -> "Queue":
    """The door to run state."""
    from queue_worker.queue import Queue  # redis costs 0.1 s, and `validate` needs none

    return Queue.connect(settings(), announce=lambda text: talk([text]))


# ---- words ---------------------------------------------------------------------------------------


def out(lines: Iterable[Line | str]) -> None:
    """Data, to stdout."""
    _write(sys.stdout, lines)


def talk(lines: Iterable[Line | str]) -> None:
    """Everything that is not data, to stderr."""
    _write(sys.stderr, lines)


def hint(*steps: str) -> None:
    """What to type next, beside each other where there is room: a command is never broken."""
    begun, *more = steps
    for step in more:
        if len(begun) + len(BETWEEN) + len(step) > width(sys.stderr):
            talk([begun])
            begun = step
        else:
            begun += BETWEEN + step
    talk([begun])


def out_json(record: Mapping[str, object]) -> None:
    """Data for programs, with their schema's number; escapes make every character harmless."""
    sys.stdout.write(json.dumps({"schema_version": SCHEMA_VERSION, **record}, indent=2) + "\n")


def out_raw(text: str) -> None:
    """Data that is already in a format of its own."""
    sys.stdout.write(text + "\n" if text else "")


def out_each(ids: Iterable[str], act: Callable[[str], str]) -> None:
    """Do it to each run and print what became of it; one refusal does not spare the others."""
    refusals: list[TransitionRefused] = []
    for run_id in ids:
        try:
            out([act(run_id)])
        except TransitionRefused as refusal:
            refusals.append(refusal)
    for told in refusals[:-1]:
        tell_error(told)
    if refusals:
        raise refusals[-1]


def confirm(what: str, *, yes: bool) -> None:
    """Ask before something large; without a terminal only `--yes` answers."""
    if not what or yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}; nothing was changed", fix="add --yes")
    if not asked(f"{what[0].upper()}{what[1:]}?"):
        raise TrainqError("nothing was changed")


def asked(question: str, *, default: bool = False) -> bool:
    """The answer of somebody at the terminal; Ctrl-C is none, and ends as it does everywhere."""
    try:
        return typer.confirm(question, default=default, err=True)
    except typer.Abort as left:
        talk([""])  # the question's line has no end
        if isinstance(left.__context__, EOFError):
            return False
        talk(["nothing was changed"])
        raise KeyboardInterrupt from left


def editor() -> list[str]:
    """The program in which somebody edits text, and its arguments."""
    return shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi") or ["vi"]


def tell_now(text: str) -> None:
    """The line of the moment on stderr, in the place of the one before; empty wipes it."""
    if live():
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{clean(text)[:room]}")
        sys.stderr.flush()


def tell_error(error: TrainqError) -> None:
    """One clear block on stderr."""
    sys.stdout.flush()  # what was done before it went wrong comes first
    first, *rest = error.lines() or [""]
    head, colon, tail = first.partition(":")
    talk([line(Piece(head, "bad"), colon + tail) if head == "error" else first, *rest])


def width(stream: TextIO | None = None) -> int:
    """Cells of a line of stdout, or of another stream."""
    if "COLUMNS" not in os.environ and not (stream or sys.stdout).isatty():
        return WIDTH_OF_A_PIPE
    return shutil.get_terminal_size().columns


def live() -> bool:
    """Whether a person watches stderr, so that a line may be rewritten."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def colours(stream: TextIO) -> bool:
    """NO_COLOR wins, then FORCE_COLOR; otherwise only on a terminal that is not dumb."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _write(stream: TextIO, lines: Iterable[Line | str]) -> None:
    paint = _painted if colours(stream) else _bare
    for parts in lines:
        pieces = line(parts) if isinstance(parts, str) else parts
        stream.write("".join(paint(part) for part in pieces) + "\n")
    stream.flush()


def _bare(part: Piece) -> str:
    return part.text


def _painted(part: Piece) -> str:
    return f"\x1b[{CODES[part.style]}m{part.text}\x1b[0m" if part.style else part.text


def _give_up_stdout() -> None:
    """Where nobody takes it any more, keep the interpreter's last flush from complaining."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
