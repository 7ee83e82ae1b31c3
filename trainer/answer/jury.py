"""How the voices of several runs become one answer, as a config's `predict` says; and how good
that was on the images that none of them had learnt from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas.components.predict import Predict
from schemas.errors import UsageError, count
from trainer.answer import fitting, members, votes
from trainer.answer.members import Heard, Member
from trainer.answer.votes import Rule
from trainer.judge import scores
from trainer.judge.marking import title
from trainer.judge.scores import Interval, Labels, Numbers


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted to validation images: weights of members, and of classes."""

    weights: list[float]
    priors: Numbers | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One way to answer, scored; `nested` where something was fitted, by those it was not to."""

    what: str
    values: dict[str, float]
    likely: dict[str, Interval]
    nested: dict[str, float] | None = None


def rule(spec: Predict, folders: Sequence[Path]) -> tuple[Rule, dict[str, Any]]:
    """How the voices of these runs are counted, and a record of it."""
    found = members.members(folders)
    if spec.weights and len(spec.weights) != len(found):
        raise UsageError(
            f"predict.weights has {count(len(spec.weights), 'number')} for "
            f"{count(len(found), 'member')} ({', '.join(each.name for each in found)})",
            fix="one number a member: a run, or all folds of one config",
        )
    weights: list[float] = list(spec.weights) or [1.0] * len(found)
    priors = ties = None
    doubts: list[str] = []
    if spec.search_weights or spec.tune_priors or spec.ties == "rare":
        heard, metric = members.heard(found), found[0].config.evaluate.metric
        fit = fitted(heard, spec, metric)
        weights, priors = fit.weights if spec.search_weights else weights, fit.priors
        ties = rarity(heard) if spec.ties == "rare" else None
        doubts = doubtful(heard, spec, metric)
    note = {
        "vote": spec.vote,
        "ties": spec.ties,
        "members": [
            {"runs": [folder.name for folder in each.folders], "weight": round(weight, 6)}
            for each, weight in zip(found, votes.shares(weights), strict=True)
        ],
        "missing": members.lacking(found),
        "doubts": doubts,
        "priors": None if priors is None else [round(float(prior), 6) for prior in priors],
    }
    return Rule(spec.vote, per_voice(found, weights, folders), ties, priors), note


def per_voice(
    found: Sequence[Member], weights: Sequence[float], folders: Sequence[Path]
) -> list[float]:
    """What each run counts: the folds of a member share its weight."""
    part = {
        folder: weight / len(each.folders)
        for each, weight in zip(found, weights, strict=True)
        for folder in each.folders
    }
    return [part[folder] for folder in folders]


def rarity(heard: Heard) -> Numbers:
    """The weight of each class in a tie: all images through those of the class."""
    images = np.bincount(heard.true, minlength=len(heard.classes))
    return np.asarray(len(heard.true) / np.maximum(images, 1), np.float64)


def fitted(heard: Heard, spec: Predict, metric: str, which: "Labels | slice" = slice(None)) -> Fit:
    """What a config asks to be fitted, to some of the images."""
    said, true = [one[which] for one in heard.said], heard.true[which]
    weights: list[float] = list(spec.weights) or [1.0] * len(said)
    if spec.search_weights:
        weights = fitting.weights(said, true, metric)
    priors = fitting.priors(votes.mean(said, weights), true) if spec.tune_priors else None
    return Fit(weights, priors)


# ---- how good it was -----------------------------------------------------------------------------


def standings(found: Sequence[Member], heard: Heard, metric: str) -> list[Standing]:
    """Every member, all alike, and what is fitted: flattering, and as it is for other people."""
    rows = [
        standing(each.name, one.argmax(1), heard)
        for each, one in zip(found, heard.said, strict=True)
    ]
    if len(found) > 1:
        rows.append(standing("all alike", votes.answers(heard.said), heard))
        rows.append(tried("weights searched", Predict(search_weights=True), heard, metric))
    return [*rows, tried("priors tuned", Predict(tune_priors=True), heard, metric)]


def tried(what: str, spec: Predict, heard: Heard, metric: str) -> Standing:
    """A fit to all images, and what it is worth on people that it was not fitted to."""
    fit = fitted(heard, spec, metric)
    words = " ".join(f"{share:.2f}" for share in votes.shares(fit.weights))
    name = f"{what} {words}" if spec.search_weights else what
    return standing(name, answered(heard, fit, slice(None)), heard, nested(heard, spec, metric))


def nested(heard: Heard, spec: Predict, metric: str) -> Labels:
    """The answers of each part of the people by what was fitted to the others."""
    return fitting.nested(
        heard.people,
        lambda others: fitted(heard, spec, metric, others),
        lambda fit, part: answered(heard, fit, part),
    )


def doubtful(heard: Heard, spec: Predict, metric: str) -> list[str]:
    """What was asked to be fitted and is worse than nothing for other people, in words."""
    asked = [key for key in ("search_weights", "tune_priors") if getattr(spec, key)]
    if not asked or len(np.unique(heard.people)) < 2:
        return []
    judged = "macro_f1" if spec.tune_priors or metric == "macro_f1" else "accuracy"
    without = Fit(list(spec.weights) or [1.0] * len(heard.said))
    plain = values(answered(heard, without, slice(None)), heard)[judged]
    honest = values(nested(heard, spec, metric), heard)[judged]
    if honest >= plain:
        return []
    keys = " and ".join(f"predict.{key}" for key in asked)
    return [f"{keys}: {title(judged)} {honest:.4f} on other people, {plain:.4f} without"]


def gain(found: Sequence[Member], heard: Heard) -> tuple[str, dict[str, tuple[float, Interval]]]:
    """By how much all alike are better than the best member alone; both by the same draws."""
    metric = "macro_f1" if found[0].config.evaluate.metric == "macro_f1" else "accuracy"
    alone = [one.argmax(1) for one in heard.said]
    place = max(range(len(alone)), key=lambda number: values(alone[number], heard)[metric])
    together, best = votes.answers(heard.said), alone[place]
    by = scores.gains(heard.true, together, best, heard.people, len(heard.classes))
    mine, theirs = values(together, heard), values(best, heard)
    return found[place].name, {name: (mine[name] - theirs[name], by[name]) for name in by}


def answered(heard: Heard, fit: Fit, which: "Labels | slice") -> Labels:
    rule = Rule("soft", fit.weights, priors=fit.priors)
    return votes.answers([one[which] for one in heard.said], rule)


def standing(what: str, answers: Labels, heard: Heard, nested: Labels | None = None) -> Standing:
    """A way to answer with its scores."""
    honest = answers if nested is None else nested
    return Standing(
        what,
        values(answers, heard),
        scores.intervals(heard.true, honest, heard.people, len(heard.classes)),
        None if nested is None else values(nested, heard),
    )


def values(answers: Labels, heard: Heard) -> dict[str, float]:
    matrix = scores.confusion(heard.true, answers, len(heard.classes))
    return {"accuracy": scores.accuracy(matrix), "macro_f1": scores.macro_f1(matrix)}
