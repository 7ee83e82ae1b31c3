"""Sums up runs that belong together: mean and spread of every metric, and who is missing.

What the runs measured comes with the order, as their records had it, and what folds said of their
validation images lies beside their weights. Where there is a test set the folds answer it together.
"""

import logging
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.config import TrainConfig
from schemas.errors import TrainqError, count
from schemas.events import Order, Part
from schemas.run import Best, State
from schemas.rundir import AttemptDir, RunDir, RunsRoot, write_atomic
from schemas.source import load
from trainer import machine
from trainer.answer import finished, panel, predict, views
from trainer.answer.predict import Alive
from trainer.faults import DataFault, Leave
from trainer.judge import predictions
from trainer.judge.predictions import OUT_OF_FOLD, VALIDATION
from trainer.report import Report

SUBMISSION = "submission.csv"
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """What several runs are together."""

    values: dict[str, float]  # each metric's mean, <metric>_std, and n and of: how many of how many
    best: Best | None
    text: str  # one line for people, which says what is missing


def run(order: Order, report: Report, leave: Leave) -> None:
    """A gather run, from its parts to its result; a Fault says why there can be none."""
    report.doing("gathering")
    run_dir = RunDir(Path(order.run_dir))
    attempt = run_dir.attempt(order.token)
    root = RunsRoot(Path(order.runs_root or order.run_dir))
    machine.record(attempt, root, machine.device())
    summary = sum_up(order.parts)
    together, said = out_of_fold(order.parts, root, attempt)

    def alive(what: str) -> None:
        leave.check()
        report.alive(doing=what)

    handed = hand_in(load(run_dir.config).config, order, root, attempt, alive)
    text = ", ".join(filter(None, (summary.text, said, handed)))
    report.best = summary.best
    report.rows = [{"epoch": 0, "step": 0, **summary.values, **together}]
    report.facts |= {"text": text, "parts": [part.run for part in order.parts]}
    if splits := {part.split for part in order.parts if part.split and part.fold is not None}:
        report.facts["split"] = splits.pop()
    LOG.info("%s", text)


def folds_of(parts: Sequence[Part]) -> list[Part]:
    """The folds that finished."""
    return [part for part in parts if part.fold is not None and part.state is State.FINISHED]


def hand_in(
    config: TrainConfig, order: Order, root: RunsRoot, attempt: AttemptDir, alive: Alive
) -> str:
    """The folds' answers to the test set, when there is one; in words, also why there are none.
    What is measured stays, whatever comes of this.
    """
    folds = folds_of(order.parts)
    if config.data.test is None or not folds:
        return ""
    if away := [
        part.fold for part in folds if not (root.run(part.run).path / part.weights).exists()
    ]:
        return f"no {SUBMISSION}: weights of {', '.join(map(str, away))} are not on this host"
    try:
        runs = [
            finished.at(root.run(part.run).path, (root.run(part.run).path / part.weights).parent)
            for part in folds
        ]
        judges = panel.of(config.predict, predict.voices(runs))
        for doubt in judges.note["doubts"]:
            LOG.warning("doubtful: %s", doubt)
        job = predict.Job(
            runs=runs,
            views=views.views(config.predict.tta),
            test=config.data.test,
            data_root=Path(order.data_root),
            cache_root=Path(order.cache_root or root.path),
            work=taken_over(RunDir(Path(order.run_dir)), attempt),
        )
        attempt.predictions.mkdir(exist_ok=True)
        predict.hand_in(job, judges, attempt.predictions / SUBMISSION, alive)
    except TrainqError as error:
        LOG.warning("no submission: %s", "\n".join(error.lines()))
        return f"no {SUBMISSION}: {error}"
    whole = f"{len(runs)} of " if judges.note["missing"] else ""
    return f"{SUBMISSION} by {whole}{count(folds[0].folds, 'fold')}"


def taken_over(run: RunDir, attempt: AttemptDir) -> Path:
    """Where answers are kept until all are there, among them those of an interrupted attempt."""
    attempt.answers.mkdir(exist_ok=True)
    for older in run.attempts.glob("*"):
        for file in run.attempt(older.name).answers.glob("*.npy"):
            if not (attempt.answers / file.name).exists():
                write_atomic(attempt.answers / file.name, file.read_bytes())
    return attempt.answers


def out_of_fold(
    parts: Sequence[Part], root: RunsRoot, attempt: AttemptDir
) -> tuple[dict[str, float], str]:
    """What the folds said of the images that each had not seen, put together and scored; a fold
    that is not there is named, never left out in silence.
    """
    folds = folds_of(parts)
    files = [(root.run(part.run).path / part.weights).with_name(VALIDATION) for part in folds]
    away = [part.fold for part, file in zip(folds, files, strict=True) if not file.is_file()]
    if away or not folds:
        numbers = ", ".join(map(str, away))
        return {}, f"predictions of {numbers} are not on this host" if away else ""
    together = predictions.merged([predictions.read(file) for file in files])
    attempt.predictions.mkdir(exist_ok=True)
    write_atomic(attempt.predictions / OUT_OF_FOLD, together.packed())
    write_atomic(attempt.predictions / "out_of_fold.csv", together.table())
    values, likely = together.scored()
    told = likely["accuracy"]
    return (
        {f"oof_{name}": value for name, value in values.items()},
        f"out of fold {values['accuracy']:.4g} ({told.low:.3f} .. {told.high:.3f})",
    )


def sum_up(parts: Sequence[Part]) -> Summary:
    """Pure: the summary of those that finished, which never hides those that did not."""
    good = [part for part in parts if part.state is State.FINISHED and part.metrics]
    lost = list(missing(parts, good))
    if not good:
        raise DataFault(f"nothing to gather: no run finished ({', '.join(lost) or 'none given'})")
    refuse_strangers(good)
    common = set.intersection(*(set(part.metrics) for part in good))
    values: dict[str, float] = {}
    for name in (name for name in good[0].metrics if name in common):
        found = [part.metrics[name] for part in good]
        values[name] = statistics.fmean(found)
        if len(found) > 1:
            values[f"{name}_std"] = statistics.stdev(found)
    whole = len(good) + len(lost)
    chosen = metric_of(good)
    best = Best(metric=chosen, value=values[chosen], epoch=0) if chosen in values else None
    return Summary(
        {**values, "n": len(good), "of": whole}, best, told(values, chosen, good, whole, lost)
    )


def told(
    values: dict[str, float], chosen: str, good: Sequence[Part], whole: int, lost: Sequence[str]
) -> str:
    """accuracy 0.861 ± 0.012, 4 of 5 folds, missing 3 (failed)"""
    words = []
    if chosen in values:
        spread = f" ± {values[f'{chosen}_std']:.3g}" if len(good) > 1 else ""
        words.append(f"{chosen} {values[chosen]:.4g}{spread}")
    noun = "fold" if good[0].fold is not None else "run"
    words.append(f"{len(good)} of {count(whole, noun)}" if lost else count(whole, noun))
    words += [f"missing {', '.join(lost)}"] if lost else []
    return ", ".join(words)


def missing(parts: Sequence[Part], good: Sequence[Part]) -> Iterator[str]:
    """Who should be there and is not: runs without a result, and folds that have no run at all."""
    for part in parts:
        if part not in good:
            name = part.run if part.fold is None else str(part.fold)
            yield f"{name} ({part.state or 'no record'})"
    there = {part.fold for part in parts}
    for fold in range(max((part.folds for part in parts), default=0)):
        if fold not in there:
            yield f"{fold} (no run)"


def refuse_strangers(good: Sequence[Part]) -> None:
    """A mean over different cuts of the data, or over different data, means nothing."""
    for number, times in Counter(part.fold for part in good if part.fold is not None).items():
        if times > 1:
            twins = ", ".join(part.run for part in good if part.fold == number)
            raise DataFault(f"fold {number} is there {times} times: {twins}", fix="gather one each")
    first = good[0]
    for part in good:
        if (part.fold is None) != (first.fold is None):
            raise DataFault(f"only one of {first.run} and {part.run} is a fold")
        if part.fold is not None and (part.split != first.split or not part.split):
            raise DataFault(
                f"runs {first.run} and {part.run} were not cut by the same split "
                f"({first.split[:12] or 'unknown'} and {part.split[:12] or 'unknown'})",
                fix="submit the folds together, with one seed and the same data",
            )
        if part.data != first.data:
            raise DataFault(f"runs {first.run} and {part.run} did not read the same data")


def metric_of(good: Sequence[Part]) -> str:
    """The metric by which all of them chose their best epoch; empty when they differ."""
    chosen = {part.metric for part in good}
    return chosen.pop() if len(chosen) == 1 else ""
