"""Everything that can go wrong for a person, with its exit code. Imports nothing of ours.

TrainqError              1  the operation failed
|- UsageError            2  a flag, a setting or an override makes no sense
|  `- ConfigError        2  a config file has problems; carries all of them
|- NotFound              3  no such run, or a prefix that fits several
|- QueueUnreachable      4  Redis does not answer, refuses us, or is not what we need
|  `- QueueRefuses       4  it answered, and nothing of what was asked was done
|- TransitionRefused    1  the run's state does not allow it, e.g. hold of a running run
|- IdTaken              1  another run has this id already; the caller makes a new one
|- WaitTimedOut          5  `queue wait --timeout` ran out
`- RunWasCancelled       6  the awaited run was cancelled
"""

from collections.abc import Sequence
from unicodedata import combining, east_asian_width

WIDEST = 100  # characters of a config's line that an error shows

EXIT_CODES = """Exit codes: 0 ok; 1 the run or the operation failed; 2 usage or invalid
config; 3 not found or ambiguous; 4 Redis unreachable; 5 wait timed out;
6 run cancelled; 130 Ctrl-C."""


class TrainqError(Exception):
    """The operation failed."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def lines(self) -> list[str]:
        """What a person reads on stderr: what happened, where, and what to do."""
        rows = [f"error: {self.what}"]
        rows += [f"  where: {self.where}"] if self.where else []
        rows += [f"  try:   {self.fix}"] if self.fix else []
        return rows

    def _render_traceback_(self) -> list[str]:
        """In a notebook the lines stand for the traceback: IPython asks for this by name."""
        return self.lines()


class UsageError(TrainqError):
    """A flag, a setting or an override makes no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """A config has problems. They are shown all at once; nothing was queued."""

    def __init__(
        self, problems: "Sequence[Problem]", source: str, *, so: str = "nothing was queued"
    ) -> None:
        super().__init__(f"{count(len(problems), 'error')} in {source}", where=source)
        self.problems = tuple(problems)
        self.so = so

    def __str__(self) -> str:
        """The first problem and its place, on one line; `lines` has all of them."""
        first, more = self.problems[0], len(self.problems) - 1
        place = f"{first.file}:{first.line}:{first.column}" if first.line else first.file
        said = f"{place}: {first.message}" + (f" ({first.key})" if first.key else "")
        return said + (f" and {count(more, 'more error')}" if more else "")

    def lines(self) -> list[str]:
        blocks = [block for problem in self.problems for block in [*problem.lines(), ""]]
        return [*blocks, f"{self.what}; {self.so}."]


class NotFound(TrainqError):
    """No such run, or a prefix that fits several."""

    exit_code = 3


class QueueUnreachable(TrainqError):
    """Redis does not answer, refuses us, or is not what we need."""

    exit_code = 4


class QueueRefuses(QueueUnreachable):
    """Redis answered, and did nothing of what was asked."""


class TransitionRefused(TrainqError):
    """The run's state does not allow it."""


class IdTaken(TrainqError):
    """Another run has this id already; submit again with a new one."""


class WaitTimedOut(TrainqError):
    """The awaited runs did not end in time; they go on."""

    exit_code = 5


class RunWasCancelled(TrainqError):
    """The awaited run was cancelled."""

    exit_code = 6


class Problem:
    """One mistake in a config: what, at which place, and what would be right."""

    __slots__ = ("column", "excerpt", "file", "help", "key", "line", "message", "width")

    def __init__(  # one field a fact; line and column count from 1, 0 means "no place in a file"
        self,
        message: str,
        *,
        key: str = "",
        file: str = "",
        line: int = 0,
        column: int = 0,
        excerpt: str = "",
        width: int = 1,
        help: str = "",
    ) -> None:
        self.message, self.key, self.file, self.help = message, key, file, help
        self.line, self.column, self.excerpt, self.width = line, column, excerpt, width

    def lines(self) -> list[str]:
        """The caret picture: message, place, the line itself, the caret, and the hint."""
        rows = [f"error: {self.message}"]
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        inside = f"  ({self.key})" if self.key else ""
        if place or inside:
            rows.append(f"  --> {place}{inside}")
        if self.line:
            number = str(self.line)
            text, caret = picture(self.excerpt, self.column, self.width)
            rows.append(f"  {number} | {text}".rstrip())
            rows.append(f"  {' ' * len(number)} | {caret}")
        if self.help:
            rows.append(f"   = help: {self.help}")
        return rows

    def record(self) -> dict[str, object]:
        """The same facts for `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}


def picture(line: str, column: int, width: int) -> tuple[str, str]:
    """A line as a terminal can show it, cut to size, and the caret below the right cells."""
    clean = "".join(letter if letter.isprintable() else " " for letter in line)
    start = max(0, column - 1 - WIDEST // 2) if len(clean) > WIDEST else 0
    shown = clean[start : start + WIDEST]
    before = shown[: column - 1 - start]
    under = shown[len(before) : len(before) + width]
    return shown, " " * cells(before) + "^" * max(1, cells(under))


def cells(text: str) -> int:
    """How many columns of a terminal a text fills."""
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(combining(letter) > 0 for letter in text)


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
