"""What no single key of a vote can know to be wrong."""

from collections.abc import Iterator

from schemas.components.predict import Predict
from schemas.contradictions import Contradiction


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
