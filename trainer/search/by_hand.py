"""`trainer search`: trials of one config here and now, one after the other, without the queue."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from schemas.config import TrainConfig
from schemas.errors import TrainqError, UsageError, count
from schemas.rundir import SearchDir, write_atomic
from schemas.search import Advice, Ask, best, load_search
from schemas.settings import Settings
from schemas.source import load
from schemas.writing import dump
from trainer import lifeline
from trainer.search.diary import Diary, why_of

LOOK_S = 0.2
INTERRUPTED = 130
EPILOG = "Exit codes: 0 all trials have ended; 1 none has finished; 2 config; 130 Ctrl-C."


def search(
    file: Annotated[Path, typer.Argument(help="A config with `search:`, YAML or JSON.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key.path=value, after the file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The search's folder; goes on from what it holds.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA, else FILE's folder]")
    ] = None,
) -> None:
    """Try what `search:` varies, each trial chosen by those before it; give bad ones up.

    \b
    trainer search birds.yaml
    trainer search birds.yaml search.trials=50 search.prune_from=2
    trainer search birds.yaml --out runs/lr --data ~/data
    """
    try:
        settings = Settings.read(os.environ, Path(".env"))
        loaded = load_search(file, overrides or ())
        root = data or (settings.data if "data" in settings.model_fields_set else file.parent)
        name = loaded.config.name or file.stem
        folder = SearchDir(out or settings.runs / f"{name}-search")
        leader = Leader(loaded.config, folder, root)
        leader.begin()
        with leader.alone():
            leader.lead()
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        typer.echo("the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED) from error


class Leader:
    """Leads a search from its folder; keeps nothing that does not stand there."""

    def __init__(self, config: TrainConfig, folder: SearchDir, data: Path) -> None:
        self.config, self.folder, self.data = config, folder, data
        self.diary = Diary(folder, config.search, config.evaluate.metric)

    def begin(self) -> None:
        """A folder holds one search."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        if self.folder.config.exists():
            self.refuse_another()
        else:
            write_atomic(self.folder.config, dump(self.config.canonical()))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Two of them would begin the same trial twice; the lock ends with the process."""
        with self.folder.config.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                what = f"another trainer search leads {self.folder.path}"
                raise UsageError(what, fix="let it end, or another --out") from error
            yield

    def refuse_another(self) -> None:
        """Only how many trials there are may change."""
        if one_trial(load(self.folder.config).config) != one_trial(self.config):
            raise UsageError(
                f"{self.folder.path} holds another search",
                where=str(self.folder.config),
                fix="another --out",
            )

    def lead(self) -> None:
        """Trial after trial; the one that was interrupted goes on first."""
        trials = self.diary.trials()
        going = next((n for n, each in enumerate(trials, 1) if each.state == "going"), 0)
        while going or len(trials) < self.config.search.trials:
            if not going and not (new := self.advice(1).new):
                break  # nothing is left to try
            going = going or self.diary.begin(new[0])
            self.run(going)
            typer.echo(self.line(going))
            trials, going = self.diary.trials(), 0
        self.sum_up()

    def run(self, number: int) -> None:
        """One trial, in a process of its own: whatever it breaks is not the search's."""
        trial = self.folder.trial(number)
        trial.path.mkdir(exist_ok=True)
        words = ["train", str(self.folder.config), *self.diary.begun[number - 1]]
        words += [f"name={trial.path.name}", "--out", str(trial.path), "--data", str(self.data)]
        with trial.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "trainer", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is ours to pass on
                # no thread of ours lives that could hold a lock in the child
                preexec_fn=partial(lifeline.die_with, os.getpid()),  # noqa: PLW1509
            )
        try:
            self.watch(process, number)
        except BaseException:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
        if self.diary.trial(number).state == "going":
            self.diary.give_up(number, "failed")  # it neither finished nor was asked to leave

    def watch(self, process: "subprocess.Popen[bytes]", number: int) -> None:
        """Ask after every epoch whether the trial is worth going on."""
        seen = 0
        while process.poll() is None:
            time.sleep(LOOK_S)
            values = self.diary.trial(number).values
            if len(values) > seen and process.poll() is None:
                if number - 1 in self.advice(0, judged=seen).prune:
                    self.diary.give_up(number, "pruned")
                    process.send_signal(signal.SIGTERM)
                    process.wait()
                seen = len(values)

    def advice(self, new: int, judged: int = 0) -> Advice:
        try:
            from trainer.search.suggest import advise
        except ImportError as error:
            raise TrainqError(f"no advice: {error}", fix='pip install "trainq[search]"') from error

        trials = [
            trial.model_copy(update={"judged": judged}) if trial.state == "going" else trial
            for trial in self.diary.trials()
        ]
        search, metric = self.config.search, self.config.evaluate.metric
        return advise(
            Ask(
                search=search,
                metric=metric,
                seed=self.config.seed,
                trials=tuple(trials),
                new=new,
            )
        )

    def line(self, number: int) -> str:
        """How a trial ended."""
        trial, metric = self.diary.trial(number), self.config.evaluate.metric
        reached = [f"{metric} {trial.values[max(trial.values)]:.4g}"] if trial.values else []
        after = [f"after {count(max(trial.values), 'epoch')}"] if trial.values else []
        run = self.folder.trial(number)
        words = " ".join([run.path.name, trial.state, *reached, *after, *trial.over])
        if trial.state != "failed":
            return words
        return f"{words}: {why_of(run) or f'see {run.log}'}"

    def sum_up(self) -> None:
        """The best of all, which is what somebody wants to train on with."""
        metric = self.config.evaluate.metric
        found = best(metric, self.diary.trials())
        if not found:
            raise TrainqError("no trial has finished", where=str(self.folder.path))
        place, value = found
        words = " ".join(self.diary.begun[place])
        typer.echo(f"best: {self.folder.trial(place + 1).path} {metric} {value:.4g} {words}")


def one_trial(config: TrainConfig) -> str:
    """The same for searches that differ only in how many trials they have."""
    search = config.search.model_copy(update={"trials": 1})
    return config.model_copy(update={"search": search}).digest()
