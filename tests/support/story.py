"""A page of documentation as a play: who types what, and what was answered, block by block."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import pytest

from support.servers import patient
from support.transcript import typed

BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.M | re.S)
PROMPT = re.compile(r"^(\w+)\$ (.+)$")


@dataclass(frozen=True)
class Line:
    """Something that somebody types, and what the page says is answered."""

    who: str
    typed: str
    answer: str


def lines(block: str) -> list[Line]:
    """What is typed in one block."""
    found: list[tuple[str, str, list[str]]] = []
    for text in block.splitlines():
        if prompt := PROMPT.match(text):
            found.append((prompt[1], prompt[2], []))
        else:
            found[-1][2].append(text)
    return [Line(who, typed, "\n".join(answer).strip()) for who, typed, answer in found]


class Stage:
    """A folder, a queue and the people of a page."""

    def __init__(self, folder: Path, env: Mapping[str, str], python: Path) -> None:
        self.folder, self.env, self.trainer = folder, env, f"{python} -m trainer"

    def play(self, page: str) -> Iterator[tuple[Line, str]]:
        """Every line of the page with what is answered now."""
        for kind, name, text in BLOCK.findall(page):
            if name:
                (self.folder / name).write_text(text)
            elif kind == "console":
                yield from ((line, self.type(line.who, line.typed)) for line in lines(text))

    def type(self, who: str, line: str) -> str:
        """What is answered; a worker is a process, all else is asked for in this one."""
        env = {**self.env, "TRAINQ_USER": who}
        program, *words = shlex.split(line)
        told = self._worked(words, env) if program == "worker" else self._asked(line, env)
        told = told.replace(patient(""), "").replace(str(self.folder), "~")
        return self.cut_name.sub("~/…", told).strip()

    def _asked(self, line: str, env: Mapping[str, str]) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in env.items():
                patch.setenv(name, value)
            _, told = typed(line)
        return "".join(text for _, text in told)

    def _worked(self, words: Sequence[str], env: Mapping[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "queue_worker", *words, "--trainer-command", self.trainer],
            env={**os.environ, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    @property
    def cut_name(self) -> re.Pattern[str]:
        """The folder's name where a narrow column ends it."""
        shown, drawn = str(self.folder)[:-8], str(self.folder)[-8:]
        return re.compile(f"{re.escape(shown)}({'|'.join(drawn[:n] for n in range(8))})…")


def ids_of(page: str) -> list[str]:
    """The ids that stand in a page."""
    found = IDS.search(page)
    return found[1].split() if found else []


def rewritten(page: str, answers: list[tuple[Line, str]], ids: Sequence[str]) -> str:
    """The page with the answers of today."""
    new = iter(answers)

    def block(found: re.Match[str]) -> str:
        if found[1] != "console":
            return found[0]
        told = [(line, next(new)[1]) for line in lines(found[3])]
        text = "\n".join(f"{line.who}$ {line.typed}\n{answer}".strip() for line, answer in told)
        return f"```console\n{text}\n```"

    return IDS.sub(f"<!-- ids: {' '.join(ids)} -->", BLOCK.sub(block, page))


# ---- the same answer -----------------------------------------------------------------------------

IDS = re.compile(r"^<!-- ids:(.*) -->$", re.M)  # those of the page; they look like words
DRAWN = re.compile(r"(\broot |attempts/\d+-)[0-9a-f]+")  # names drawn for a folder
COST = re.compile(r"^(\s*GPU hours)\s.*")  # the same to three digits, or not
MOST = re.compile(r"(?<=GPU hour used puts )\w+")  # whoever has used most: it hangs on the machine
NUMBER = re.compile(r"(?<![a-z])\d*\.?\d+(e-?\d+)?")
TIME = re.compile(r"#(ms|[smhd])(#[smh])?(?!\w)")
WORDS = re.compile(r"[\w#]+|[^\w\s#]")


def alike(told: str, ids: Sequence[str], now: str, new_ids: Sequence[str]) -> str:
    """What is another line now, as a difference; ids, numbers, times, widths do not count, and
    neither does the order: the best stands first, and who is best may hang on the processor.
    """
    before, after = (
        sorted(" ".join(words(line, known)) for line in text.splitlines())
        for text, known in ((told, ids), (now, new_ids))
    )
    return "\n".join(unified_diff(before, after, "the page", "now", lineterm=""))


def words(line: str, ids: Sequence[str]) -> list[str]:
    """What a line says, without its numbers."""
    plain = re.sub(r"[▁▂▃▄▅▆▇█]+", "~", line)
    plain = re.sub(rf"\b({'|'.join(ids)})\b", "ID", plain) if ids else plain
    plain = MOST.sub("somebody", COST.sub(r"\1", DRAWN.sub(r"\1", plain)))
    plain = NUMBER.sub("#", plain)
    return WORDS.findall(TIME.sub("#", plain))
