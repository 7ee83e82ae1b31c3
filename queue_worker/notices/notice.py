"""What a notice says: pure text from a run, its end and its last log lines, as Slack blocks.

Knows no network and no queue. Whatever people typed is made harmless here, once and for all: it can
neither mention anybody nor break the markup, and it fits into Slack's limits.
"""

import html
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from schemas.errors import count
from schemas.events import Event, EventKind
from schemas.run import Cause, Run

SECTION_LIMIT = 3000  # characters Slack takes in the text of a section
HEADER_LIMIT = 150
FALLBACK_LIMIT = 500  # of the line that a phone shows; Slack takes more, nobody reads more
WORD_LIMIT = 120  # of one name, reason or path inside a sentence
ERROR_LIMIT = 1000
LOG_LINES = 15
LOG_LINE_LIMIT = 300
CUT = " … "

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
MENTION = re.compile(r"([@#])(?=\w)")
WORD_JOINER = "\u2060"  # invisible; behind an @ or # it keeps Slack from making a mention of it
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
OVERRIDES = re.compile(r"[a-z_][\w.]*=[\w.,+-]+( [a-z_][\w.]*=[\w.,+-]+)*", re.ASCII)

CAUSES = {
    Cause.CONFIG: "its config cannot be run",
    Cause.DATA: "its data cannot be read",
    Cause.CODE: "its code raised an error",
    Cause.CUDA_OOM: "the GPU ran out of memory",
    Cause.HOST_OOM: "the host ran out of memory",
    Cause.DIVERGED: "the loss diverged",
    Cause.STALLED: "it made no progress",
    Cause.TIMEOUT: "it ran past its time limit",
    Cause.GPU_FAULT: "the GPU failed",
    Cause.HOST_LOST: "its worker or host was lost too often",
    Cause.CANCELLED: "it was cancelled",
    Cause.DRAINED: "its worker was drained",
}


@dataclass(frozen=True, slots=True)
class Story:
    """Everything a notice is made from."""

    run: Run
    event: Event
    log: tuple[str, ...] = ()
    folder: str = ""  # where the run's files are
    started_over: bool = False
    owner: str = ""  # Slack's id of who submitted, if it is known
    aside: str = ""  # why this message stands here: whom it is for
    skipped: int = 0  # runs that waited for it, directly or not, and never start now


@dataclass(frozen=True, slots=True)
class Message:
    """What Slack is given: blocks, and the one line that stands for them on a phone."""

    text: str
    blocks: tuple[dict[str, Any], ...]


def message(story: Story) -> Message:
    """The notice of a run's end."""
    title, sections = _WRITERS[story.event.kind](story)
    if story.started_over:
        sections.append("It was started over from step 0: no worker could reach its checkpoint.")
    if story.skipped:
        gone = count(story.skipped, "run")
        words = f"{gone} that waited for it never start: {code('queue list -s skipped')}"
        sections.append(words)
    if story.aside:
        sections.append(fit(one_line(story.aside), WORD_LIMIT))
    title = one_line(title)
    header = {"type": "plain_text", "text": fit(title, HEADER_LIMIT), "emoji": False}
    blocks: list[dict[str, Any]] = [{"type": "header", "text": header}]
    blocks += [section(text) for text in sections if text]
    return Message(fit(title, FALLBACK_LIMIT), tuple(blocks))


def as_repeat(first: Message) -> Message:
    """The same notice, where nobody can tell whether Slack has taken it before."""
    note = "This may be a repeat: the answer to the first try was lost."
    return Message(first.text, (*first.blocks, section(note)))


def rendered(shown: Message) -> str:
    """The notice as plain text, for a file or a terminal."""
    texts = [str(block["text"]["text"]) for block in shown.blocks]
    return "\n".join(html.unescape(text) for text in texts)


def _finished(story: Story) -> tuple[str, list[str]]:
    run = story.run
    best = ""
    if text := one_line(str(run.result.get("text", ""))):
        best = fit(text, ERROR_LIMIT)  # of a gather run: it says what is missing
    elif run.best is not None:
        best = f"best {code(run.best.metric)} *{run.best.value:.4g}* at epoch {run.best.epoch}"
    files = f"files: {code(story.folder, ERROR_LIMIT)}" if story.folder else ""
    return f"✅ {run.name} finished{_took(run, ' in')}", [best, _facts(run, code(run.user)), files]


def _failed(story: Story) -> tuple[str, list[str]]:
    run = story.run
    cause = CAUSES[run.cause or Cause.CODE]
    owner = f"<@{story.owner}> {code(run.user)}" if story.owner else code(run.user)
    error = code(run.error, ERROR_LIMIT) if run.error else ""
    title = f"❌ {run.name} failed{_took(run, ' after')}: {cause}"
    return title, [_facts(run, owner), error, fence(story.log), _advice(run)]


def _cancelled(story: Story) -> tuple[str, list[str]]:
    run = story.run
    who = run.wish_by or run.ended_by or story.event.by
    reason = run.wish_reason or story.event.text
    at = f" at epoch {run.progress.epoch} of {run.progress.epochs}" if run.progress.epochs else ""
    why = f"reason: {code(reason)}" if reason else ""
    if run.checkpoint:
        kept = f"its checkpoint (step {run.checkpoint_step}) is kept; to go on from there:"
    else:
        kept = "it has no checkpoint; to begin it again:"
    retry = f"{kept} {code(f'publisher retry {run.id}')}"
    return f"⏹ {run.name} cancelled by {who}{at}", [why, _facts(run, code(run.user)), retry]


def _paused(story: Story) -> tuple[str, list[str]]:
    """A circuit breaker: what takes part no more, the last straw, and the command that mends it."""
    run, event = story.run, story.event
    if batch := held_batch(event, run):
        title, mend = f"⏸ batch {batch} is held", f"queue release -b {batch}"
    else:
        title, mend = f"⏸ worker {event.by} is paused", f"worker resume {event.by}"
    last = f"last: {_facts(run, code(run.user))}"
    error = code(run.error, ERROR_LIMIT) if run.error else ""
    steps = f"look: {code(f'queue show {run.id}')}, go on: {code(mend, 2 * WORD_LIMIT)}"
    return title, [fit(one_line(event.text), ERROR_LIMIT), last, error, steps]


def held_batch(event: Event, run: Run) -> str:
    """The batch that a breaker holds; empty when it holds the worker."""
    return run.batch if run.batch and f"batch {run.batch} " in event.text else ""


_WRITERS = {
    EventKind.PAUSED: _paused,
    EventKind.FINISHED: _finished,
    EventKind.FAILED: _failed,
    EventKind.CANCELLED: _cancelled,
}


def _facts(run: Run, owner: str) -> str:
    facts = [code(run.id), f"by {owner}"]
    facts += [f"on {code(run.worker)}"] if run.worker else []
    facts += [f"batch {code(run.batch)}"] if run.batch else []
    facts += [f"retry of {code(run.retry_of)}"] if run.retry_of else []
    facts += [f"attempt {run.attempt}"] if run.attempt > 1 else []
    return " · ".join(facts)


def _advice(run: Run) -> str:
    """The command that would mend it. Prose is shown beside it: it must not become a command."""
    advice = one_line(str(run.result.get("try_this", "")))
    command = f"publisher retry {run.id}"
    if OVERRIDES.fullmatch(advice) and len(advice) <= WORD_LIMIT:
        return f"retry: {code(f'{command} {advice}', 2 * WORD_LIMIT)}"
    hint = f"\ntry: {code(advice, ERROR_LIMIT)}" if advice else ""
    return f"retry: {code(command)}{hint}"


def _took(run: Run, word: str) -> str:
    if run.started_at is None or run.ended_at is None:
        return ""
    return f"{word} {duration(run.ended_at - run.started_at)}"


def duration(seconds: float) -> str:
    """`12s`, `18m 29s`, `2h 05m`, `3d 04h`."""
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d {hours % 24:02d}h"
    if hours:
        return f"{hours}h {minutes % 60:02d}m"
    return f"{minutes}m {whole % 60:02d}s" if minutes else f"{whole}s"


# ---- markup ------------------------------------------------------------------------------------


def section(markup: str) -> dict[str, Any]:
    """A paragraph. `verbatim` keeps Slack from linking what looks like a channel or an address."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": markup, "verbatim": True}}


def code(text: str, limit: int = WORD_LIMIT) -> str:
    """Somebody's words inside a line, where no markup of theirs counts."""
    return f"`{fit(one_line(text), limit) or '-'}`"


def fence(lines: tuple[str, ...]) -> str:
    """The last lines of a log as one block of code, nothing if there are none."""
    last = [last_overwrite(line) for line in lines[-LOG_LINES:]]
    shown = [row[: LOG_LINE_LIMIT - 1] + "…" if len(row) > LOG_LINE_LIMIT else row for row in last]
    text = "\n".join(shown).strip("\n")
    return f"```\n{fit(text, SECTION_LIMIT - 8)}\n```" if text.strip() else ""


def last_overwrite(line: str) -> str:
    """What a terminal would show of a line that a progress bar has written over itself."""
    seen = [part for part in line.rstrip("\r\n").split("\r") if part.strip()]
    return clean(seen[-1]).replace("\n", " ") if seen else ""


def one_line(text: str) -> str:
    """Cleaned, and every run of white space one blank."""
    return " ".join(clean(text).split())


def clean(text: str) -> str:
    """Without colours, control, bidi and other invisible characters; line breaks stay."""
    plain = ANSI.sub("", text).replace("\t", "    ")
    return "".join(c for c in plain if c == "\n" or unicodedata.category(c) not in _INVISIBLE)


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def fit(text: str, limit: int) -> str:
    """Escaped text of at most `limit` characters; what is too much is cut out of the middle."""
    quiet = MENTION.sub(rf"\1{WORD_JOINER}", clean(text).replace("`", "'"))
    pieces = [ENTITIES.get(character, character) for character in quiet]
    if sum(map(_width, pieces)) <= limit:
        return "".join(pieces)
    room = limit - len(CUT)
    return _take(pieces, room - room // 2) + CUT + _take(pieces[::-1], room // 2, reverse=True)


def _take(pieces: list[str], room: int, reverse: bool = False) -> str:
    """As many whole pieces as fit: an entity is never cut in two."""
    taken: list[str] = []
    for piece in pieces:
        room -= _width(piece)
        if room < 0:
            break
        taken.append(piece)
    return "".join(taken[::-1] if reverse else taken)


def _width(piece: str) -> int:
    return sum(2 if ord(character) > 0xFFFF else 1 for character in piece)  # as JavaScript counts
