"""`worker --update`: between runs the checkout that runs here follows its upstream branch.

Fast-forward only. What cannot be followed is said once, and the worker goes on as it is.
"""

import fcntl
import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from queue_worker.routine import Routine
from schemas.errors import UsageError

log = logging.getLogger(__name__)

LEASES = 2  # between two looks at the upstream branch
GIT_S = 60.0  # a remote that does not answer
SETUP_S = 3600.0  # torch over a slow line
LOCKED = "requirements.lock"  # when it changes, packages do
SETUP = "deploy/setup"


class Failed(Exception):
    """A command of the checkout failed; its last line says why."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A git checkout and what is asked of it."""

    root: Path

    @classmethod
    def here(cls) -> "Checkout":
        """Where this very code lies; a UsageError when no branch is followed there."""
        found = cls(Path(__file__).resolve().parents[1])
        try:
            found.upstream()
        except Failed as error:
            raise UsageError(
                f"--update: {found.root} follows no branch of a remote: {error}",
                fix="git clone trainq, and start the worker of that checkout",
            ) from error
        return found

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def upstream(self) -> str:
        return self.git("rev-parse", "@{upstream}")

    def newer(self) -> str:
        """The commit to go to, by what the remote says now; '' when we are there."""
        self.git("fetch", "--quiet")
        head, upstream = self.head(), self.upstream()
        if head == upstream or self.git("merge-base", head, upstream) == upstream:
            return ""
        return upstream

    def follow(self, commit: str) -> None:
        """Files as of this commit, and packages where their list has changed; or as they were."""
        before = self.head()
        self.git("merge", "--quiet", "--ff-only", commit)
        if not self.git("diff", "--name-only", before, commit, "--", LOCKED):
            return
        try:
            self.said([str(self.root / SETUP)], SETUP_S)
        except Failed:
            self.git("reset", "--quiet", "--keep", before)
            raise

    def git(self, *words: str) -> str:
        return self.said(["git", "-C", str(self.root), *words], GIT_S)

    def said(self, command: list[str], limit_s: float) -> str:
        """What a command answers."""
        what = " ".join(command[3:5]) if command[0] == "git" else SETUP
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{what}: {error}") from error
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise Failed(f"{what}: {lines[-1] if lines else f'exit code {done.returncode}'}")
        return done.stdout.strip()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One worker of a checkout at a time."""
        with Path(self.git("rev-parse", "--absolute-git-dir"), "trainq-update").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Updates:
    """Looks for newer code in a thread of its own; goes there when the worker has no run."""

    def __init__(self, checkout: Checkout, lease_s: float) -> None:
        self._checkout, self._rest_s = checkout, LEASES * lease_s
        self._began_as = checkout.head()
        self._newer, self._refused, self._last_fault = "", "", ""
        self._looks = Routine("updates", self._look)

    def start(self) -> None:
        self._looks.start()

    def applied(self) -> bool:
        """Whether there is newer code on the disk than in this process: begin anew then."""
        wanted = self._newer
        self._newer = ""
        if not wanted or wanted == self._refused:  # looked up while it was being refused
            return False
        try:
            with self._checkout.alone():
                if self._checkout.head() == self._began_as:
                    log.info("updates to %s", wanted[:12])
                    self._checkout.follow(wanted)
        except (Failed, OSError) as error:
            self._refused = wanted
            log.warning("stays at %s, %s cannot be followed: %s", *self._names(wanted), error)
            return False
        return True

    def _names(self, wanted: str) -> tuple[str, str]:
        return self._began_as[:12], wanted[:12]

    def _look(self) -> float:
        try:
            moved = self._checkout.head() != self._began_as  # by a neighbour, or by hand
            newer = self._checkout.newer()
            self._newer = newer if newer != self._refused else ""
            self._newer = self._newer or (self._checkout.head() if moved else "")
            self._last_fault = ""
        except Failed as error:
            if str(error) != self._last_fault:
                log.warning("cannot look for updates: %s", error)
            self._last_fault = str(error)
        return self._rest_s
