"""A cell of a sweep is checked as strictly, and said to be as wrong, as if it stood alone."""

import json
from datetime import timedelta
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.config import SAID, Scribe, TrainConfig
from schemas.errors import ConfigError
from schemas.source import load_cells, read
from schemas.sweep import Spread

GRID = Spread(lists=True)
BASES = [
    "model: {name: resnet10t}\n",
    "model: {name: resnet10t}\ndata: {img_size: 64, split: {kind: kfold, folds: 3}}\n",
    "model: {name: vit_tiny_patch16_224}\naugment: {kind: none}\nschedule: {warmup_epochs: 2}\n",
    "model: {name: resnet10t, pretrain: true}\noptim: {lr: fast}\n",
    "optim: {lr: 1e-4}\n",
]
VALUES = {
    "model.name": ["resnet10t", "resnet18", "vit_tiny_patch16_224", "resnet1"],
    "model.drop_rate": ["0", "0.1", "2"],
    "optim.lr": ["1e-3", "1e-7", "fast", "0"],
    "data.img_size": ["64", "224", "97", "0x40", "large"],
    "data.batch_size": ["32", "33", "99999999999999999999"],
    "data.split.kind": ["holdout", "kfold", "none"],
    "data.split.fold": ["0", "7"],
    "mix.mixup": ["0", "0.2", "-0.0"],
    "augment.kind": ["none", "timm"],
    "augment.scale": ["[0.5, 1]", "[1, 0.5]", "1"],
    "seed": ["1", "2", "-1"],
    "train": ["{epochs: 1}", "{epochs: 3}", "{epoch: 3}"],
    "note": ["a", "hf_abcdefghijklmnopqrstuvwxyz0123456789"],
}
AXES = st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4, unique=True).flatmap(
    lambda keys: st.tuples(
        *(
            st.tuples(
                st.just(key),
                st.lists(st.sampled_from(VALUES[key]), min_size=1, max_size=3, unique=True),
            )
            for key in keys
        )
    )
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells") / "config.yaml"


def each_alone(text: str, file: Path, axes: list[list[str]]) -> tuple[list[TrainConfig], list[str]]:
    """Every combination read as a file of its own: the configs, and all that is wrong."""
    configs, wrong = [], set()
    for overrides in product(*axes):
        try:
            configs.append(read(text, str(file), overrides).config)
        except ConfigError as error:
            wrong |= {"\n".join(problem.lines()) for problem in error.problems}
    return configs, sorted(wrong)


@settings(
    max_examples=60,
    deadline=timedelta(seconds=20),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
    derandomize=True,
)
@given(st.sampled_from(BASES), AXES)
def test_cells_together_are_what_each_is_alone(
    file: Path, text: str, axes: tuple[tuple[str, list[str]], ...]
) -> None:
    file.write_text(text)
    lists = [[f"{key}={value}" for value in values] for key, values in axes]
    configs, wrong = each_alone(text, file, lists)
    together = [f"{key}={','.join(values)}" for key, values in axes]
    varied = [values for values in lists if len(values) > 1]
    try:
        cells = load_cells(file, together, GRID)
    except ConfigError as error:
        found = sorted({"\n".join(problem.lines()) for problem in error.problems})
        # what is wrong in every cell is said before there are any
        assert found == wrong or (found and set(found) < set(wrong) and len(lists) > len(varied))
    else:
        assert not wrong
        assert [cell.config for cell in cells] == configs
        assert [c.config.canonical() for c in cells] == [c.canonical() for c in configs]
        for cell, overrides in zip(cells, product(*lists), strict=True):
            assert cell.origins == read(text, str(file), overrides).origins


def test_a_key_that_one_cell_has_no_place_for_is_refused_though_it_is_the_same_in_all(
    file: Path,
) -> None:
    file.write_text("model: {name: resnet10t}\n")
    with pytest.raises(ConfigError, match="unknown key 'hflip'"):
        load_cells(file, ["augment.kind=none,timm", "augment.hflip=0"], GRID)


def test_what_is_written_once_for_several_is_what_each_writes_alone(file: Path) -> None:
    file.write_text("model: {name: resnet10t}\nnote: größe\n")
    scribe = Scribe()
    for cell in load_cells(file, ["seed=1,2", "mix.mixup=0,-0.0", "data.img_size=64,96"], GRID):
        canonical = cell.config.canonical()
        written, digest = scribe.write(cell.config)
        assert json.dumps(written) == json.dumps(canonical)
        kept = {name: value for name, value in canonical.items() if name not in SAID}
        text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
        assert digest == cell.config.experiment() == sha256(text.encode()).hexdigest()[:16]


def test_cells_share_the_sections_that_are_equal(file: Path) -> None:
    file.write_text("model: {name: resnet10t}\n")
    one, other = load_cells(file, ["optim.lr=1e-3,3e-4"], GRID)
    apart = {
        name for name, value in vars(one.config).items() if vars(other.config)[name] is not value
    }
    assert apart == {"optim"}  # what is left out of the file is shared too


def test_parts_that_are_right_alone_are_refused_together_in_whatever_cell_they_meet(
    file: Path,
) -> None:
    file.write_text("model: {name: resnet10t}\n")
    with pytest.raises(ConfigError) as refused:
        load_cells(file, ["train.epochs=1,2,3", "train.accumulate=1,7"], GRID)
    assert {problem.key for problem in refused.value.problems} == {"train.accumulate"}
    axes = ["data.batch_size=64,16", "train.accumulate=16,32"]  # 32 is right with 64, not with 16
    with pytest.raises(ConfigError, match="accumulate"):
        load_cells(file, axes, GRID)
    assert len(load_cells(file, ["data.batch_size=32,64", "train.accumulate=16,32"], GRID)) == 4
