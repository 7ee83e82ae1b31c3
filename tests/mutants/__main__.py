"""`make mutants`: break each Lua script in many ways; some test must notice every one.

A mutant is one small change to one script, in a copy of the package that only its tests import.
Names of scripts as arguments look at those alone.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "queue_worker" / "door" / "lua"
NOT_COPIED = shutil.ignore_patterns("__pycache__")
PATIENCE = 4  # times what the tests take without a mutant: then it hangs
MOST = 14  # of one script; long ones are sampled evenly
LEAST = 10  # of a script with fewer, every word and number is tried too

Swaps = Sequence[tuple[str, str]]

SWAPS: Swaps = [
    (r"==", "~="),
    (r"~=", "=="),
    (r"<=", ">"),
    (r">=", "<"),
    (r"(?<![<>=~-])>(?!=)", "<="),
    (r"(?<![<>=~])<(?!=)", ">="),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r"\bnot ", ""),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"math\.min", "math.max"),
    (r"math\.max", "math.min"),
    (r"'queued'", "'held'"),
    (r"'waiting'", "'queued'"),
    (r"'finished'", "'failed'"),
    (r"'cancel'", "'cancelled'"),
    (r"'any'", "'ok'"),
    (r"'hold:", "'held:"),
    (r"'drain:", "'dried:"),
]
FINER: Swaps = [
    (r"'(\w+)'", r"'no_\1'"),
    (r"\bA\.(\w+)", r"A.no_\1"),
    (r"(?<=[ (])1\b", "2"),
    (r"(?<=[ (])0\b", "1"),
    (r"\bif (.+) then", r"if not (\1) then"),
    (r"^return .*", "return nil"),
    (r"^\s*[a-z_.]+\(.*\)$", ""),
]
ACTS = (
    *("redis\\.call", "write", "event", "ring", "settle", "charge", "move", "conclude", "expect"),
    *(
        "enter_",
        "leave_",
        "judge_",
        "set_control",
        "put_back",
        "quarantine",
        "index",
        "seen",
        "mend",
    ),
)
CALL = re.compile(rf"^\s*({'|'.join(ACTS)})")

# Mutants that change nothing anybody could see, with the reason.
EQUIVALENT = {
    line.split("  # ")[0]: line.split("  # ")[1]
    for line in (Path(__file__).parent / "equivalent.txt").read_text().splitlines()
    if line and not line.startswith("#")
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One script with one thing wrong."""

    script: str
    line: int
    change: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.script}:{self.line} {self.change}"


def main(names: Sequence[str]) -> None:
    limit_s = PATIENCE * seconds_without_a_mutant()
    survivors: list[str] = []
    for path in sorted(SCRIPTS.glob("*.lua")):
        if names and path.stem not in names:
            continue
        mutants = [mutant for mutant in chosen(path) if mutant.name not in EQUIVALENT]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            dead = list(pool.map(partial(killed, limit_s=limit_s), mutants))
        alive = [mutant.name for mutant, died in zip(mutants, dead, strict=True) if not died]
        print(
            f"{path.stem:16} {len(mutants) - len(alive):3} of {len(mutants):3} killed", flush=True
        )
        for name in alive:
            print(f"  alive: {name}", flush=True)
        survivors += alive
    if survivors:
        sys.exit(
            f"error: {len(survivors)} mutants live: a test is missing, or equivalent.txt a line"
        )


def chosen(path: Path) -> list[Mutant]:
    """At most so many, spread over the whole script."""
    mutants = list(mutants_of(path, SWAPS))
    if len(mutants) < LEAST:
        mutants += mutants_of(path, FINER)
    if len(mutants) <= MOST:
        return mutants
    return [mutants[i * len(mutants) // MOST] for i in range(MOST)]


def mutants_of(path: Path, swaps: Swaps) -> Iterator[Mutant]:
    """Every small change to every line that is code."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        code = line.split("--")[0]
        if not code.strip():
            continue
        for pattern, other in swaps:
            for place, found in enumerate(re.finditer(pattern, code)):
                new = found.expand(other)
                changed = code[: found.start()] + new + code[found.end() :]
                change = f"{found[0].strip()} -> {new.strip() or 'nothing'} ({place + 1})"
                yield mutant(path, lines, number, changed, change)
        if swaps is SWAPS and CALL.match(code) and code.count("(") == code.count(")"):
            yield mutant(path, lines, number, "", f"without {code.strip()[:40]}")


def mutant(path: Path, lines: list[str], number: int, changed: str, change: str) -> Mutant:
    text = "\n".join([*lines[:number], changed, *lines[number + 1 :]]) + "\n"
    return Mutant(path.stem, number + 1, change, text)


def seconds_without_a_mutant() -> float:
    """How long the tests take when nothing is wrong; they must find nothing."""
    began = time.monotonic()
    with copied() as folder:
        if tests_fail(folder, limit_s=None):
            sys.exit("error: a test of the door fails without any mutant: make test")
    return time.monotonic() - began


def killed(mutant: Mutant, limit_s: float) -> bool:
    """Whether some test of the door fails with this script."""
    with copied() as folder:
        (folder / "queue_worker" / "door" / "lua" / f"{mutant.script}.lua").write_text(mutant.text)
        return tests_fail(folder, limit_s)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of what the tests of the door need."""
    with tempfile.TemporaryDirectory(prefix="mutant") as name:
        folder = Path(name)
        for part in ("queue_worker", "schemas", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=NOT_COPIED)
        shutil.copy(ROOT / "pyproject.toml", folder)
        yield folder


def _written_for_mutants(name: str) -> bool:
    """These go first: most mutants are dead within seconds."""
    return "details" not in name


def tests_fail(folder: Path, limit_s: float | None) -> bool:
    """The tests of the door against the package in this folder."""
    tests = sorted(map(str, (folder / "tests").glob("test_door_*.py")), key=_written_for_mutants)
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
        *("--timeout", "60", "--basetemp", str(folder / "t"), "-k", "valkey or not redis"),
        *(*tests, str(folder / "tests" / "test_machine.py")),
    ]
    env = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "TRAINQ_MACHINE_EXAMPLES": "30"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return True  # it hangs: noticed
    if done.returncode not in (0, 1):
        sys.exit(f"error: pytest could not run:\n{done.stdout.decode()[-2000:]}")
    return done.returncode != 0


if __name__ == "__main__":
    main(sys.argv[1:])
