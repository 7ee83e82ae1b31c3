"""Whatever a config can name is built somewhere: each kind has its branch of a dispatch."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import pytest

import trainer.data
import trainer.learn
from schemas.components.augment import Batched, Curriculum
from schemas.components.data import IndexFiles
from schemas.components.loop import NoAverage
from schemas.components.model import LastLayer
from schemas.components.search import Axis
from schemas.components.spec import Spec
from schemas.config import TrainConfig


def kinds(annotation: Any) -> Iterator[type[Spec]]:
    """All specs with a `kind` in a type, and in the fields of those."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        if "kind" in annotation.model_fields:
            yield annotation
        for field in annotation.model_fields.values():
            yield from kinds(field.annotation)
    for part in get_args(annotation):
        yield from kinds(part)


ELSEWHERE = {
    NoAverage,  # nothing
    LastLayer,  # the model's own
    IndexFiles,  # somebody has cut already: read, `split.divide`
    Batched,  # whole batches after the loader, `course`
    Curriculum,  # one of the others for each epoch, `course`
    *kinds(Axis),  # of a search, not of a run
}


def dispatches() -> Iterator[Any]:
    """Every function of the trainer that chooses by the type of a spec."""
    for room in (trainer.data, trainer.learn):
        for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            for value in vars(importlib.import_module(found.name)).values():
                if hasattr(value, "registry") and value.__module__ == found.name:
                    yield value


CHOSEN = list(dispatches())
SPECS = sorted(set(kinds(TrainConfig)) - ELSEWHERE, key=lambda spec: spec.__name__)


@pytest.mark.parametrize("spec", SPECS, ids=[spec.__name__ for spec in SPECS])
def test_every_kind_that_a_config_can_name_has_a_builder(spec: type[Spec]) -> None:
    assert any(built.dispatch(spec) is not built.dispatch(object) for built in CHOSEN)


def test_there_are_as_many_as_people_know_of() -> None:
    assert len(SPECS) > 50 and len(CHOSEN) > 10
