"""`key.path=value` after the file."""

import pytest

from schemas.components.data import KFold
from schemas.errors import ConfigError
from schemas.overrides import split_arguments
from schemas.source import Loaded, read

FILE = """\
model: {name: resnet18}
optim: {lr: 0.1}
augment: {kind: timm, hflip: 0.1, vflip: 0.2}
data: {split: {kind: holdout, fraction: 0.1}}
"""


def loaded(*overrides: str) -> Loaded:
    return read(FILE, "birds.yaml", overrides)


def refused(*overrides: str) -> tuple[str, str, str]:
    with pytest.raises(ConfigError) as caught:
        loaded(*overrides)
    (problem,) = caught.value.problems
    return problem.message, problem.file, problem.help


def test_an_override_wins_over_the_file_and_the_defaults() -> None:
    config = loaded("optim.lr=1e-3", "train.epochs=3", "seed=7").config
    assert (config.optim.lr, config.train.epochs, config.seed) == (0.001, 3, 7)


def test_the_last_of_two_overrides_of_one_key_wins() -> None:
    assert loaded("seed=1", "seed=2").config.seed == 2


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("note=#12: better, I hope", "#12: better, I hope"),
        ("note=", ""),
        ('note="a,b"', "a,b"),
        ("note='it''s'", "it's"),
        ("note=a=b", "a=b"),
    ],
)
def test_text_needs_no_quotes_in_an_override(override: str, value: str) -> None:
    assert loaded(override).config.note == value


def test_a_channel_needs_no_quotes_in_an_override() -> None:
    assert loaded("notify=#runs").config.notify == "#runs"
    assert loaded("notify=@me").config.notify == "@me"
    assert loaded("notify=null").config.notify is None


def test_lists_and_sections_stand_in_brackets() -> None:
    config = loaded("optim.betas=[0.8, 0.9]", "data.split={kind: kfold, fold: 2}").config
    assert config.optim.betas == (0.8, 0.9)
    assert config.data.split == KFold(folds=5, fold=2)


def test_a_new_kind_begins_its_section_anew_whatever_the_order() -> None:
    assert loaded("augment.kind=none").config.augment.kind == "none"
    split = loaded("data.split.fold=3", "data.split.kind=kfold").config.data.split
    assert split == KFold(folds=5, fold=3)


def test_the_same_kind_keeps_what_the_file_says() -> None:
    config = loaded("augment.kind=timm").config
    assert config.augment.model_dump(include={"hflip"}) == {"hflip": 0.1}


def test_a_section_without_kind_is_of_the_default_kind() -> None:
    config = read("model: {name: resnet18}", "f", ["augment.hflip=0", "data.split.fraction=.3"])
    assert config.config.augment.model_dump(include={"kind", "hflip"}) == {
        "kind": "timm",
        "hflip": 0.0,
    }


def test_a_problem_points_at_the_override() -> None:
    assert refused("optim.lr=abc")[:2] == (
        "must be a number, got 'abc'",
        "override: optim.lr=abc",
    )


@pytest.mark.parametrize(
    ("override", "message", "help"),
    [
        ("optim.lrr=1", "unknown key 'optim.lrr'", "did you mean 'optim.lr'?"),
        ("lr=1", "unknown key 'lr'", "did you mean 'optim.lr'?"),
        ("batchsize=1", "unknown key 'batchsize'", "did you mean 'data.batch_size'?"),
        ("model.kinds=1", "unknown key 'model.kinds'", "did you mean 'model.kind'?"),
        ("a.zzz=1", "unknown key 'a.zzz'", "`publisher schema` has all keys"),
        (
            "augment.steps.0.prob=0.1",
            "unknown key 'augment.steps.0.prob'",
            "a list is written as a whole: augment.steps=[...]",
        ),
        ("seed", "an override is written key.path=value", ""),
        ("seed=\x1b", "a control character cannot be read", ""),
        ("optim.betas=[1", "expected ',' or ']' before this", ""),
        (
            "optim.lr=1e-3,3e-4",
            "one override takes one value",
            "publisher submit -m queues one run a value; a list: optim.lr=[1e-3,3e-4]",
        ),
        (
            "data.split.fold=1",
            "unknown key 'fold'",
            "it belongs to kind: kfold",
        ),
    ],
)
def test_an_override_that_makes_no_sense_says_what_would(
    override: str, message: str, help: str
) -> None:
    found, file, hint = refused(override)
    assert (found, hint) == (message, help)
    assert file.startswith("override")


def test_an_override_below_a_plain_value_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        read("model: {name: resnet18}\noptim: 3\n", "f", ["optim.lr=1"])
    assert [each.message for each in caught.value.problems] == ["optim holds 3, not keys"]


def test_an_override_below_a_list_says_how_lists_are_written() -> None:
    with pytest.raises(ConfigError) as caught:
        read("model: {name: resnet18, freeze: [{until: 2}]}", "f", ["model.freeze.until=3"])
    (problem,) = caught.value.problems
    assert "not keys" in problem.message
    assert problem.help == "a list is written as a whole: model.freeze=[...]"


def test_the_whole_section_may_come_from_overrides() -> None:
    assert read("seed: 1", "f", ["model.name=resnet18"]).config.model.name == "resnet18"


def test_what_was_overridden_is_recorded() -> None:
    assert loaded("seed=1", "optim.lr=1").overrides == ("seed=1", "optim.lr=1")


def test_arguments_are_told_apart_by_their_shape() -> None:
    arguments = ["a.yaml", "optim.lr=1", "runs/lr=1/b.yaml", "seed=2", "./x=1.yaml"]
    assert split_arguments(arguments) == (
        ["a.yaml", "runs/lr=1/b.yaml", "./x=1.yaml"],
        ["optim.lr=1", "seed=2"],
    )
