"""The trainer's last word, `result.json`. The exit code says how it ended, this says what."""

from typing import Any

from pydantic import Field

from schemas.run import Best, Cause, Record

# the sha256 of the split file, where the best weights are, and what a gather run says
TOLD = ("split", "weights", "text")


class Result(Record):
    """How an attempt ended, written atomically just before the trainer exits."""

    token: str
    exit_code: int
    cause: Cause | None = None
    error: str = ""  # one line: what happened and where
    try_this: str = ""  # one line: the change that would mend it, e.g. "optim.lr=1e-4"
    step: int = 0
    epoch: int = 0
    best: Best | None = None
    metrics: dict[str, float] = Field(default_factory=dict)  # of the best epoch
    seconds: float = 0
    images_per_s: float | None = None
    facts: dict[str, Any] = Field(default_factory=dict)  # parameters, precision, weights_sha256 ...

    def told(self) -> dict[str, Any]:
        """What of it stands in the record: the metrics, and the few facts that others ask for."""
        return {**self.metrics, **{name: self.facts[name] for name in TOLD if name in self.facts}}
