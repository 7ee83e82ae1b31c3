"""Asks Optuna what to try next and what to give up. Knows no run and no queue; loads no torch.

The study is made anew from the trials at every question: nothing is stored that could be lost.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from schemas.components.loop import LOWER_IS_BETTER
from schemas.components.search import Axis, Choice, Search, WholeRange
from schemas.search import Advice, Ask, Trial
from schemas.writing import written

TRIES = 50  # for a trial that is none of the old ones
DIGITS = 4  # of a number that may be anywhere: people read it


def advise(ask: Ask) -> Advice:
    """New trials by TPE; those to give up by successive halving."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lower = ask.metric in LOWER_IS_BETTER
    study = optuna.create_study(
        direction="minimize" if lower else "maximize",
        # every question is a process of its own, and must not draw what an earlier one drew
        sampler=optuna.samplers.TPESampler(seed=ask.seed + len(ask.trials)),
        pruner=pruner(ask.search),
    )
    prune = []
    places = sorted(range(len(ask.trials)), key=lambda place: ask.trials[place].state == "going")
    for place in places:  # those that have ended first: the others are compared with them
        if tell(study, ask.search, ask.trials[place], lower=lower):
            prune.append(place)
    return Advice(new=tuple(fresh(study, ask)), prune=tuple(prune))


def pruner(search: Search) -> BasePruner:
    """ASHA: of the trials that came to a rung, the best part goes on to the next."""
    if not search.prune_from:
        return NopPruner()
    return SuccessiveHalvingPruner(
        min_resource=search.prune_from, reduction_factor=search.prune_factor
    )


def tell(study: optuna.Study, search: Search, told: Trial, *, lower: bool) -> bool:
    """Repeat a trial to Optuna; whether one that goes on should be given up."""
    params = read(search, told.over)
    if params is None:
        return False
    study.enqueue_trial(params)
    trial = study.ask()
    for axis in search.space:
        drawn(trial, axis)
    hopeless = False
    for epoch, value in sorted(told.values.items()):
        trial.report(value, epoch)
        worth = not trial.should_prune()  # asked in any case: Optuna notes that it came so far
        hopeless |= epoch > told.judged and not worth
    if told.state == "going":
        return hopeless
    if told.state == "failed" or not told.values:
        study.tell(trial, state=TrialState.FAIL)
    elif told.state == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, min(told.values.values()) if lower else max(told.values.values()))
    return False


def fresh(study: optuna.Study, ask: Ask) -> Iterator[tuple[str, ...]]:
    """Trials that nobody has tried; fewer where there are no others."""
    known = {trial.over for trial in ask.trials}
    for _ in range(ask.new):
        for _ in range(TRIES):
            trial = study.ask()
            over = tuple(f"{axis.key}={drawn(trial, axis)}" for axis in ask.search.space)
            if over not in known:
                known.add(over)
                yield over
                break
            study.tell(trial, state=TrialState.FAIL)


def drawn(trial: optuna.Trial, axis: Axis) -> str:
    """Optuna's value for an axis, as an override writes it."""
    if isinstance(axis, Choice):
        return str(trial.suggest_categorical(axis.key, [written(value) for value in axis.of]))
    if isinstance(axis, WholeRange):
        return str(trial.suggest_int(axis.key, axis.low, axis.high, log=axis.log))
    step = axis.step or None
    value = trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log, step=step)
    return f"{value:.12g}" if step else f"{min(max(value, axis.low), axis.high):.{DIGITS}g}"


def read(search: Search, over: tuple[str, ...]) -> dict[str, Any] | None:
    """What an earlier trial had; None when that is not of this space."""
    said = dict(text.split("=", 1) for text in over)
    params: dict[str, Any] = {}
    for axis in search.space:
        text = said.get(axis.key, "")
        try:
            params[axis.key] = value = text if isinstance(axis, Choice) else float(text)
        except ValueError:
            return None
        if isinstance(axis, Choice):
            if value not in [written(each) for each in axis.of]:
                return None
        else:
            params[axis.key] = min(max(float(text), axis.low), axis.high)
        if isinstance(axis, WholeRange):
            params[axis.key] = int(params[axis.key])
    return params


def answer() -> None:
    """One question on stdin, its answer on stdout; what libraries print goes elsewhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write(advise(Ask.model_validate_json(sys.stdin.read())).model_dump_json() + "\n")
    answers.close()
