"""A class that is several answers at once is taken apart, and only such a class."""

import pytest

from schemas.components.sources import Mask
from trainer.data.mask import class_names
from trainer.judge.tasks import combined, tasks


def test_the_eighteen_classes_are_three_tasks() -> None:
    alone = [class_names(Mask(task=task)) for task in ("mask", "gender", "age")]
    assert tasks(class_names(Mask())) == tuple(alone)
    assert combined(alone) == class_names(Mask())


@pytest.mark.parametrize(
    "classes",
    [
        ("cup", "fish"),
        ("a-b", "a-c"),
        ("a-b", "c"),
        ("a-b", "a-c", "d-b"),
        ("a-c", "a-b", "d-c", "d-b", "x-y"),
    ],
    ids=["words", "one word", "uneven", "incomplete", "too many"],
)
def test_other_classes_are_one_task(classes: tuple[str, ...]) -> None:
    assert tasks(classes) == ()
