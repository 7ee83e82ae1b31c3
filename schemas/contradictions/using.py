"""Votes, tracking and search: keys that are right alone and wrong together."""

from collections.abc import Iterator

from schemas.components.predict import Predict
from schemas.components.search import Choice, Range, Search
from schemas.components.track import Track
from schemas.contradictions.contradiction import Contradiction


def of_the_vote(predict: Predict) -> Iterator[Contradiction]:
    """Ways to count voices that exclude each other."""
    if predict.ties == "rare" and predict.vote != "hard":
        text = f"only a hard vote has ties, and this one is {predict.vote}"
        yield Contradiction("predict.ties", text, ("predict.vote",), "write vote: hard")
    if predict.tune_priors and predict.vote != "soft":
        text = f"classes are weighed by their mean probability, and this vote is {predict.vote}"
        yield Contradiction("predict.tune_priors", text, ("predict.vote",), "write vote: soft")
    if predict.search_weights and predict.vote != "soft":
        text = f"weights are searched for the mean probability, and this vote is {predict.vote}"
        yield Contradiction("predict.search_weights", text, ("predict.vote",), "write vote: soft")
    if predict.search_weights and predict.weights:
        text = "weights are either given or searched"
        yield Contradiction("predict.search_weights", text, ("predict.weights",), "leave one out")


def of_the_tracking(track: Track) -> Iterator[Contradiction]:
    """Weights for somebody who is not told; one who is told twice."""
    if track.weights and track.to and "wandb" not in track.to:
        text = f"only W&B takes weights, and to names {', '.join(track.to)}"
        yield Contradiction("track.weights", text, ("track.to",), "write to: [wandb]")
    if len(set(track.to)) < len(track.to):
        yield Contradiction("track.to", "each may be named once")


FIXED = ("name", "note", "notify", "evaluate", "track", "search")


def of_the_search(search: Search, epochs: int) -> Iterator[Contradiction]:
    """Ranges without anything in them, and keys that tell no trials apart."""
    for number, axis in enumerate(search.space):
        place = f"search.space.{number}"
        if axis.key in {other.key for other in search.space[:number]}:
            yield Contradiction(f"{place}.key", f"{axis.key} varies twice", (), "leave one out")
        if axis.key.split(".")[0] in FIXED:
            text = f"trials that differ in {axis.key} cannot be compared by what they learn"
            yield Contradiction(f"{place}.key", text)
        if isinstance(axis, Choice):
            if len(axis.of) < 2:
                yield Contradiction(f"{place}.of", "a choice is between two or more")
        elif axis.low >= axis.high:
            text = f"the range must go from low to high, got {axis.low:g} to {axis.high:g}"
            yield Contradiction(f"{place}.high", text, (f"{place}.low",))
        elif axis.log and axis.low <= 0:
            yield Contradiction(f"{place}.low", "log is for numbers above 0", (f"{place}.log",))
        elif isinstance(axis, Range) and axis.log and axis.step:
            text = "log and step exclude each other"
            yield Contradiction(f"{place}.step", text, (f"{place}.log",), "leave one out")
    if search.prune_from >= epochs and search.space:
        text = f"trials of {epochs} epochs end before they could be given up"
        yield Contradiction("search.prune_from", text, ("train.epochs",))
