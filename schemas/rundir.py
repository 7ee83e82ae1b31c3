"""Every file name of a run, once, and the only way a file is written there: whole or not at all.

runs/<id>/config.yaml run.log result.json last/ best/   for people, from the record, never read
  record.json              the record as it was when the last attempt began or ended, for a rebuild
  attempts/<token>/environment.json events.jsonl metrics.csv result.json run.log
  attempts/<token>/rank-<n>.json                     of an attempt on several GPUs
  attempts/<token>/checkpoints/step-<k>/ best-<k>/   while it lives; best-<k> holds weights only
  attempts/<token>/best/ best-2/ last/               of a finished run, as many as it was to keep
  attempts/<token>/told.jsonl wandb/ tensorboard/    of a run that is shown elsewhere too
  attempts/<token>/diverged/                         the first batch whose loss was no number
  report/                                            a page and pictures, by `trainer report`
runs/<search>/config.yaml trials.jsonl trial-<n>/  of a search by hand; each trial is a run folder
runs/root-id               the id of the runs root
     code/<sha256>         what no commit has of the source that ran; named by environment.json
     splits/<sha256>.csv   which image validates in which fold; the folds of a batch share one
     checked/<sha256>.json what was seen in images that have not changed since
     .unsettled/<id>       an attempt whose end the run's folder does not show yet; holds its token
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MANIFEST = "manifest.json"  # of a checkpoint: the sha256 of every other file in it


class RunsRoot:
    """The folder of run folders; its id is in a file: one id wherever a shared disk is mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marker = path / "root-id"
        self.unsettled = path / ".unsettled"
        self.code = path / "code"
        self.splits = path / "splits"
        self.looked_at = path / "checked"

    def split(self, sha256: str) -> Path:
        return self.splits / f"{sha256}.csv"

    def checked(self, sha256: str) -> Path:
        return self.looked_at / f"{sha256}.json"

    def id(self) -> str:
        """The id that workers announce; made on first use."""
        if not self.marker.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            fresh = self.path / f".root-id.{secrets.token_hex(4)}.tmp"
            write_atomic(fresh, secrets.token_hex(6).encode())
            with suppress(FileExistsError):  # a link, so that nobody reads a half-made file
                os.link(fresh, self.marker)
            fresh.unlink()
        return self.marker.read_text().strip()

    def run(self, run_id: str) -> "RunDir":
        return RunDir(self.path / run_id)

    def discard(self, run_id: str) -> None:
        """Delete a run's folder for good; out of everybody's sight first, so never half of it."""
        hidden = self.path / f".{run_id}.{secrets.token_hex(4)}.tmp"
        (self.path / run_id).rename(hidden)
        shutil.rmtree(hidden)


class RunDir:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.record = path / "record.json"
        self.log = path / "run.log"
        self.result = path / "result.json"
        self.last = path / "last"
        self.best = path / "best"
        self.attempts = path / "attempts"
        self.report = path / "report"

    def attempt(self, token: str) -> "AttemptDir":
        return AttemptDir(self.attempts / token)

    def make_attempt(self, token: str) -> "AttemptDir":
        """Make the folder that only this attempt writes to; a second maker is refused."""
        attempt = self.attempt(token)
        self.attempts.mkdir(parents=True, exist_ok=True)
        attempt.path.mkdir(exist_ok=False)
        attempt.checkpoints.mkdir()
        return attempt

    def drop_checkpoints(self) -> None:
        """The run is finished, and that is on record: nobody will go on from its checkpoints."""
        for name in ("checkpoints", ".answers"):
            for left in self.attempts.glob(f"*/{name}"):
                shutil.rmtree(left, ignore_errors=True)

    def drop_superseded(self, checkpoint: str) -> None:
        """Of attempts before the one whose checkpoint counts nobody needs any, once that one has
        two of its own: the one that counts, and one in case it is found damaged.
        """
        counts = (self.path / checkpoint).parent
        if len(list(counts.glob("step-*"))) < 2:
            return
        number = self.attempt(counts.parent.name).number
        for older in self.attempts.glob("*-*/checkpoints"):
            if 0 < self.attempt(older.parent.name).number < number:
                shutil.rmtree(older, ignore_errors=True)

    def relative(self, path: Path) -> str:
        """How a path inside this folder is named in records and events."""
        return path.relative_to(self.path).as_posix()


class SearchDir:
    """A search by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.trials = path / "trials.jsonl"

    def trial(self, number: int) -> RunDir:
        return RunDir(self.path / f"trial-{number:03}")


class AttemptDir:
    """What one attempt writes; nobody else does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = path / "environment.json"
        self.events = path / "events.jsonl"
        self.metrics = path / "metrics.csv"
        self.result = path / "result.json"
        self.log = path / "run.log"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best"
        self.last = path / "last"
        self.predictions = path / "predictions"
        self.answers = path / ".answers"  # of a gather run, until all are there
        self.told = path / "told.jsonl"
        self.tensorboard = path / "tensorboard"
        self.diverged = path / "diverged"

    def rank(self, number: int) -> Path:
        """What one of several processes says of its end, before the attempt's result is made."""
        return self.path / f"rank-{number}.json"

    @property
    def number(self) -> int:
        """By its token: which attempt of its run it is; 0 for a folder that is none."""
        digits = self.path.name.partition("-")[0]
        return int(digits) if digits.isdecimal() else 0

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step}"

    def best_at(self, step: int) -> Path:
        return self.checkpoints / f"best-{step}"

    def place(self, number: int) -> Path:
        """Of a finished run: its best weights at 1, the second best at 2."""
        return self.best if number == 1 else self.path / f"best-{number}"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: temp beside it, fsync, rename, fsync of the folder."""
    with replacing(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place on success and vanishes on failure."""
    if not path.name:  # "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (temporary, str(temporary)):
            error.filename = str(path)  # nobody asked for the other one
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
