"""Whatever the text, the answer is a config or a ConfigError, and it comes quickly."""

import json
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.config import TrainConfig
from schemas.errors import ConfigError
from schemas.nearest import known_keys
from schemas.source import read

PIECES = [
    *("model", "name", "kind", "resnet18", "kfold", "optim", "lr", "data", "split", "augment"),
    *(": ", ":\n", "\n", "\n  ", "\n    ", "- ", ", ", "[", "]", "{", "}", '"', "'", "#", " # "),
    *("&a ", "*a", "!t ", "? ", "| ", "|\n ", "> ", "%", "@", "---\n", "...\n", "<<", "\t", "\\"),
    *("1e-3", ".5", "-1", "0x", "._", "null", "true", "~", ".inf", "\\u", "\r", "\ufeff", "\0"),
    *("é", "日", "\u2028", "\x85", "=", "xoxb-123456", "token: "),
]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from([key.rpartition(".")[2] for key in known_keys()]) | st.text(max_size=5)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BOUNDED = settings(
    max_examples=200,
    deadline=timedelta(seconds=20),
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    derandomize=True,
)


def answers(text: str, *overrides: str) -> None:
    """A config, or an error that can be shown to a person and to a program."""
    try:
        loaded = read(text, "fuzz.yaml", overrides)
    except ConfigError as error:
        assert error.problems
        shown = "\n".join(error.lines())
        shown.encode()
        json.dumps([problem.record() for problem in error.problems])
    else:
        assert TrainConfig.model_validate(loaded.config.canonical()) == loaded.config


@BOUNDED
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    answers(text)


@BOUNDED
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_mixture_of_the_syntax(text: str) -> None:
    answers(text)
    answers(f"model: {{name: resnet18}}\n{text}")


@BOUNDED
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_values_at_any_keys(values: dict[str, object]) -> None:
    answers(json.dumps({"model": {"name": "resnet18"}, **values}))
    answers(json.dumps(values, ensure_ascii=False))


@BOUNDED
@given(
    st.lists(
        st.builds("{}={}".format, st.sampled_from(known_keys()) | st.text(max_size=5), VALUES)
        | st.text(max_size=20),
        max_size=4,
    )
)
def test_any_overrides(overrides: list[str]) -> None:
    answers("model: {name: resnet18}", *overrides)
