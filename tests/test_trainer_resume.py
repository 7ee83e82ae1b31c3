"""A run that is interrupted anywhere ends with every tensor of one that never was.

Every run of the table is ended twice at random: by SIGKILL, wherever it then is, after which it
goes on from its last checkpoint, and by the wish to leave, for which it makes one.
"""

import random
import signal
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import torch
from support.doomed import MOMENTS, Moment, killed
from support.sketches import draw_sketches
from support.trainers import folder_of, leaves, order_for, tiny, train

from schemas.config import TrainConfig
from schemas.events import Order
from schemas.rundir import RunDir
from trainer import checkpoint

LEVELS: dict[str, tuple[dict[str, Any], ...]] = {
    "workers": ({}, {"data__workers": 2}),
    "mix": ({}, {"mix": {"mixup": 0.2, "cutmix": 0.5}}),
    "average": ({}, {"train__average": {"kind": "ema", "decay": 0.9}}),
    "accumulate": ({}, {"train__accumulate": 2}),
    "thaw": ({}, {"model__freeze": [{"until": 1}, {"parts": ["conv1", "bn1"], "until": 2}]}),
    "decay": ({}, {"model__lr_scale_min": 0.1}),
    "plateau": ({}, {"schedule": {"kind": "plateau", "patience": 0, "threshold": 0.5}}),
    "smaller": ({}, {"data__smaller": [{"size": 24, "until": 1}]}),
}
# Plackett and Burman's twelve rows: of any two columns every pair of levels is there, three times
FIRST = (1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0)
TABLE = (*(FIRST[turn:] + FIRST[:turn] for turn in range(11)), (0,) * 11)
SPECIAL: dict[str, dict[str, Any]] = {
    "features": {"model__freeze": [{"parts": ["backbone"]}], "model__feature_views": 2},
    "arcface": {
        "model__head": {"kind": "cosine", "scale": 30.0},
        "loss": {"kind": "arcface", "margin": 0.5, "scale": 30.0},
        "train__average": {"kind": "ema", "decay": 0.9},
    },
}
EVERY, LAST = 5, 10  # steps between checkpoints; the last one of the 12 that a run has


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images: 19 train in 4 steps an epoch, 5 validate."""
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def tensors(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in plain containers; random states are no part of what a run goes on from."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key in value.keys() - {"random"}:
            yield from tensors(value[key], f"{name}.{key}")


def everything(order: Order) -> dict[str, torch.Tensor]:
    """Weights, averages and momenta after the last step that was saved."""
    found = checkpoint.read(folder_of(order).checkpoint(LAST))
    return dict(tensors({"weights": found.weights, "state": found.state}))


def goes_on(run: Path, data: Path, config: TrainConfig) -> Order:
    """The next attempt of a run, from the furthest checkpoint that it has."""
    newest = next(iter(checkpoint.newest(RunDir(run))), "")
    return order_for(run, data, config, resume=str(newest))


def dies(order: Order, step: int, moment: Moment) -> None:
    """An attempt that is killed at a step; while it saves, at the next one at which it does."""
    saves = moment == "while it saves"
    assert killed(order, -(-step // EVERY) * EVERY if saves else step, moment) == -signal.SIGKILL
    assert not folder_of(order).result.exists()


def interrupted(run: Path, data: Path, config: TrainConfig, seed: int) -> Order:
    """A run of two attempts that were ended at random; the order of the next one."""
    chance, moment = random.Random(seed), MOMENTS[seed % len(MOMENTS)]
    first, second = sorted(chance.sample(range(1, LAST), 2))
    if chance.random() < 0.5:
        leaves(goes_on(run, data, config), first)
        dies(goes_on(run, data, config), second, moment)
    else:
        dies(goes_on(run, data, config), first, moment)
        leaves(goes_on(run, data, config), second)
    return goes_on(run, data, config)


def test_the_table_holds_every_pair_of_settings() -> None:
    for one, other in combinations(range(len(LEVELS)), 2):
        pairs = {(row[one], row[other]) for row in TABLE}
        assert pairs == set(product((0, 1), repeat=2)), (one, other)


@pytest.mark.parametrize("row", range(len(TABLE)))
def test_every_tensor_is_that_of_a_run_that_never_was_interrupted(
    row: int, data: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"model__name": "test_resnet", "model__drop_rate": 0.1}
    for levels, level in zip(LEVELS.values(), TABLE[row], strict=False):  # it has room for more
        changes |= levels[level]
    insist_on_every_tensor(tiny(**changes, train__save_every_steps=EVERY), row, data, tmp_path)


@pytest.mark.parametrize("special", SPECIAL)
def test_so_are_those_that_go_with_few_others(special: str, data: Path, tmp_path: Path) -> None:
    changes = {"model__name": "test_resnet", "model__drop_rate": 0.1, **SPECIAL[special]}
    insist_on_every_tensor(tiny(**changes, train__save_every_steps=EVERY), 1, data, tmp_path)


def insist_on_every_tensor(config: TrainConfig, seed: int, data: Path, folder: Path) -> None:
    """Ended twice at random steps, a run is what it is without."""
    whole = order_for(folder / "whole", data, config)
    expected = train(whole)
    order = interrupted(folder / "run", data, config, seed)
    result = train(order)
    theirs = everything(whole)
    assert {name for name, value in everything(order).items() if not value.equal(theirs[name])} == (
        set()
    )
    for fact in ("final_weights_sha256", "weights_sha256"):
        assert result.facts[fact] == expected.facts[fact]
    assert folder_of(order).metrics.read_text() == folder_of(whole).metrics.read_text()
