"""Every mistake is said in our words, all of them at once, with the nearest right thing."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.components.spec import Spec
from schemas.config import TrainConfig
from schemas.errors import ConfigError, Problem
from schemas.explain import Fault, examine
from schemas.nearest import hint_for_path, known_keys, nearest
from schemas.sayings import SAYINGS, SHAPES
from schemas.secrecy import secret_key
from schemas.source import read

MODEL = {"model": {"name": "resnet18"}}

# What a validator of pydantic's core can say, by its kind; strict numbers never parse text.
STRICT = {"int": "int_type", "float": "float_type", "bool": "bool_type", "tuple": "tuple_type"}
BOUNDS = {
    "gt": "greater_than",
    "ge": "greater_than_equal",
    "lt": "less_than",
    "le": "less_than_equal",
    "max_length": "string_too_long",
    "pattern": "string_pattern_mismatch",
}
SILENT = {
    "definitions",
    "definition-ref",
    "default",
    "nullable",
    "model-fields",
    "model-field",
    "no-info",
    "with-info",
}
UNION = {"union_tag_invalid", "union_tag_not_found", "model_attributes_type"}
BY_HAND = {"missing", "extra_forbidden", "model_type", *UNION}


def steps(*found: Any) -> dict[str, Any]:
    """Steps of an augmentation, the first of them right."""
    return {"augment": {"kind": "steps", "steps": [{"kind": "hflip"}, *found]}}


def built() -> Any:
    """The schema of a config, which is made when it is first needed."""
    TrainConfig.model_rebuild()
    return TrainConfig.__pydantic_core_schema__


def validators(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        parts = (value for key, value in schema.items() if key != "metadata")
    else:
        parts = iter(schema if isinstance(schema, list | tuple) else ())
    for part in parts:
        yield from validators(part)


def sayable(schema: dict[str, Any]) -> set[str]:
    kind = schema["type"]
    if kind in STRICT:
        assert kind == "tuple" or schema["strict"]
        extra = {"finite_number"} if kind == "float" else set()
        extra |= {"too_long", "missing"} if kind == "tuple" else set()
        extra |= {"too_short"} if "min_length" in schema else set()
        return {STRICT[kind], *extra, *(BOUNDS[key] for key in schema if key in BOUNDS)}
    if kind == "str":
        return {"string_type", "string_unicode", *(BOUNDS[k] for k in schema if k in BOUNDS)}
    known = {
        "literal": {"literal_error"},
        "dict": {"dict_type"},
        "any": set[str](),
        "model": {"model_type", "missing", "extra_forbidden"},
        "tagged-union": UNION,
        "function-after": {"value_error", "unknown_model"},
        "function-before": set[str](),
    }
    return set[str]() if kind in SILENT else known[kind]


def test_every_error_that_our_models_can_raise_has_words() -> None:
    possible = set[str]()
    for schema in validators(built()):
        possible |= sayable(schema)
    assert possible == {*SAYINGS, *BY_HAND}


def test_every_pattern_of_the_models_has_words() -> None:
    found = validators(built())
    assert {schema["pattern"] for schema in found if "pattern" in schema} == set(SHAPES)


@pytest.mark.parametrize(
    ("part", "message", "help"),
    [
        ({"seed": "7"}, "must be a whole number, got '7'", "write 7 without quotes"),
        ({"seed": 7.0}, "must be a whole number, got 7.0", "write 7"),
        ({"seed": 7.5}, "must be a whole number, got 7.5", ""),
        ({"seed": True}, "must be a whole number, got true", ""),
        ({"seed": -1}, "must be at least 0, got -1", ""),
        ({"optim": {"lr": "1e-3"}}, "must be a number, got '1e-3'", "write 1e-3 without quotes"),
        ({"optim": {"lr": None}}, "must be a number, got nothing (null)", ""),
        ({"optim": {"lr": 0}}, "must be more than 0, got 0", ""),
        ({"optim": {"lr": float("inf")}}, "must be a finite number, got inf", ""),
        ({"optim": {"betas": [0.9]}}, "has too few values", ""),
        ({"optim": {"betas": []}}, "has too few values", ""),
        ({"optim": {"betas": [0.9, 0.9, 0.9]}}, "must have 2 values", ""),
        ({"optim": {"betas": [0.9, 1]}}, "must be less than 1, got 1", ""),
        ({"optim": {"betas": "x"}}, "must be a list such as [0.5, 1], got 'x'", ""),
        ({"mix": {"prob": 1.5}}, "must be at most 1, got 1.5", ""),
        ({"train": {"deterministic": "yes"}}, "must be true or false, got 'yes'", "write true"),
        ({"train": {"deterministic": "x"}}, "must be true or false, got 'x'", ""),
        ({"note": 5}, "must be text, got 5", 'put it in quotes: "5"'),
        ({"note": []}, "must be text, got a list", ""),
        ({"note": {}}, "must be text, got a section", ""),
        ({"note": "x" * 501}, "must not be longer than 500 characters", ""),
        ({"note": "\ud800"}, "must be whole characters", "remove the \\u escape"),
        ({"name": "A" * 99}, f"'{'A' * 59}... does not fit here", None),
        (
            {"train": {"precision": "fp61"}},
            "'fp61' is not known here",
            "did you mean 'fp16'? choices: auto, fp32, fp16, bf16",
        ),
        (
            {"train": {"precision": 16}},
            "must be a word, got 16",
            "did you mean 'fp16'? choices: auto, fp32, fp16, bf16",
        ),
        ({"model": {"name": "resnet18", "in_chans": 4}}, "must be 1 or 3, got 4", ""),
        (
            {"data": {"split": {"kind": "k-fold"}}},
            "'k-fold' is not known here",
            "did you mean 'kfold'? choices: holdout, kfold, index_files",
        ),
        (
            {"augment": "none"},
            "must be a section of keys, got 'none'",
            "write augment: {kind: none}",
        ),
        (
            {"model": "resnet18"},
            "must be a section of keys, got 'resnet18'",
            "write model: {name: resnet18}",
        ),
        (
            {"loss": 1},
            "must be a section of keys, got 1",
            None,
        ),
        ({"model": {}}, "model.name is missing", "a config needs model.name"),
        ({"data": {"imgsize": 1}}, "unknown key 'imgsize'", "did you mean 'img_size'?"),
        ({"epochs": 1}, "unknown key 'epochs'", "did you mean 'train.epochs'?"),
        ({"optim": {"kindle": 1}}, "unknown key 'kindle'", "did you mean 'kind'?"),
        ({"data": {"fold": 1}}, "unknown key 'fold'", "did you mean 'data.split.fold'?"),
        ({"data": {"split": {"fold": 1}}}, "unknown key 'fold'", "it belongs to kind: kfold"),
        (steps({"kind": "rotat"}), "'rotat' is not known here", None),
        (steps({"kind": "rotate", "degrees": 200}), "must be at most 180, got 200", ""),
        (steps({"kind": "rotate", "degres": 2}), "unknown key 'degres'", "did you mean 'degrees'?"),
        (
            steps({"kind": "hflip", "degrees": 2}),
            "unknown key 'degrees'",
            "it belongs to kind: rotate",
        ),
        (steps({"prob": 0.5}), "this says no kind", None),
        (steps("hflip"), "must be a section of keys, got 'hflip'", "write - {kind: hflip}"),
        (steps(3), "must be a section of keys, got 3", None),
        ({"data": {"extra": [{"csvv": 1}]}}, "unknown key 'csvv'", "did you mean 'csv'?"),
        ({"data": {"extra": [3]}}, "must be a section of keys, got 3", None),
        (
            {"loss": {"qqq": 1}},
            "unknown key 'qqq'",
            "known here: kind, label_smoothing, class_weights, beta",
        ),
        (
            {"data": {"source": {"root": "../x"}}},
            "must be relative, below the data root (TRAINQ_DATA), without '..'",
            "",
        ),
    ],
)
def test_a_mistake_is_said_in_plain_words(
    part: dict[str, Any], message: str, help: str | None
) -> None:
    config, faults = examine({**MODEL, **part})
    assert config is None
    assert [fault.message for fault in faults] == [message]
    assert help is None or faults[0].help == help


def test_an_empty_config_says_what_it_needs() -> None:
    assert examine({})[1] == [
        Fault(("model",), "model is missing", "a config needs model.name", True)
    ]


def test_a_misspelt_key_is_not_also_missing() -> None:
    assert [fault.message for fault in examine({"modle": {"name": "resnet18"}})[1]] == [
        "unknown key 'modle'"
    ]


# ---- contradictions ------------------------------------------------------------------------------

VIT = {"name": "vit_base_patch16_224"}
CONTRADICTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"data": {"split": {"kind": "kfold", "fold": 5}}}, "data.split.fold", "counted 0 to 4"),
    ({"data": {"batch_size": 7}, "mix": {"mixup": 1}}, "data.batch_size", "must be even, got 7"),
    ({"schedule": {"warmup_epochs": 10}}, "schedule.warmup_epochs", "shorter than the run of 10"),
    (
        {"schedule": {"warmup_epochs": 1, "warmup_lr": 1}},
        "schedule.warmup_lr",
        "at or below optim.lr, which is 0.001",
    ),
    ({"schedule": {"min_lr": 1}}, "schedule.min_lr", "at or below optim.lr, which is 0.001"),
    ({"train": {"accumulate": 3}}, "train.accumulate", "a batch of 32 cannot be cut into 3"),
    ({"train": {"accumulate": 64}}, "train.accumulate", "a batch of 32 cannot be cut into 64"),
    (
        {"model": {**VIT, "pretrained": True, "weights": "a.pth"}},
        "model.weights",
        "exclude each other",
    ),
    (
        {"model": {"name": "coatnet_3_224", "pretrained": True}},
        "model.pretrained",
        "no published weights for coatnet_3_224",
    ),
    ({"model": VIT, "data": {"img_size": 250}}, "data.img_size", "takes multiples of 16, got 250"),
    ({"augment": {"scale": [0.9, 0.1]}}, "augment.scale", "from low to high"),
    ({"augment": {"ratio": [2, 1]}}, "augment.ratio", "from low to high"),
    ({"augment": {"scale": [0.5, 2]}}, "augment.scale", "larger than the image"),
]


@pytest.mark.parametrize(("part", "key", "words"), CONTRADICTIONS)
def test_keys_that_contradict_each_other(part: dict[str, Any], key: str, words: str) -> None:
    (fault,) = examine({**MODEL, **part})[1]
    assert ".".join(map(str, fault.key)) == key
    assert words in fault.message


@pytest.mark.parametrize(("part", "key", "words"), CONTRADICTIONS)
def test_contradictions_are_found_beside_a_wrong_field(
    part: dict[str, Any], key: str, words: str
) -> None:
    messages = [fault.message for fault in examine({**MODEL, **part, "seed": "x"})[1]]
    assert messages[0] == "must be a whole number, got 'x'"
    assert [words in message for message in messages] == [False, True]


def test_a_contradiction_with_a_wrong_key_is_not_guessed() -> None:
    faults = examine({**MODEL, "train": {"epochs": "ten"}, "schedule": {"warmup_epochs": 99}})[1]
    assert [fault.message for fault in faults] == ["must be a whole number, got 'ten'"]


def test_a_wrong_item_of_a_list_hides_no_contradiction_elsewhere() -> None:
    part = {"optim": {"betas": [0.9, "x"]}, "schedule": {"warmup_epochs": 99}}
    assert len(examine({**MODEL, **part})[1]) == 2


def test_a_contradiction_points_at_the_first_of_its_keys_that_is_written() -> None:
    with pytest.raises(ConfigError) as caught:
        read("model: {name: resnet18}\ntrain: {epochs: 2}\nschedule: {warmup_epochs: 2}\n", "f")
    assert caught.value.problems[0].line == 3
    with pytest.raises(ConfigError) as caught:
        read("model: {name: resnet18}\ndata: {batch_size: 1}\nmix: {mixup: 1}", "f")
    assert caught.value.problems[0].line == 2
    with pytest.raises(ConfigError) as caught:
        read("model: {name: levit_128}\nseed: 1\ndata: {img_size: 225}", "f", ["data.img_size=40"])
    assert caught.value.problems[0].file == "override: data.img_size=40"


def test_a_key_in_the_file_is_pointed_at_when_the_wrong_one_is_a_default() -> None:
    with pytest.raises(ConfigError) as caught:
        read("seed: 1\nmodel: {name: halonet26t}\ntrain: {epochs: 1}", "f")
    (problem,) = caught.value.problems
    assert (problem.key, problem.line, problem.column) == ("data.img_size", 2, 15)


def test_the_model_itself_says_all_contradictions_at_once() -> None:
    part = {"schedule": {"warmup_epochs": 10}, "train": {"accumulate": 3}}
    with pytest.raises(ValidationError, match=r"train\.accumulate: .*\nschedule\.warmup_epochs: "):
        TrainConfig.model_validate({**MODEL, **part})


# ---- the catalogue -------------------------------------------------------------------------------


def test_no_key_of_a_config_looks_like_a_secret() -> None:
    assert not [key for key in known_keys() if secret_key(key)]


def test_nearest_folds_case_and_hyphens() -> None:
    assert nearest("Batch-Size", ["batch_size", "workers"]) == "batch_size"
    assert nearest("zzz", ["batch_size"]) == ""


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("optm.lr", "did you mean 'optim.lr'?"),
        ("image_size", "did you mean 'data.img_size'?"),
        ("dat.split.folds", "did you mean 'data.split.folds'?"),
        ("a.b.epochs", "did you mean 'train.epochs'?"),
        ("data.split.fald", "did you mean 'data.split.fold'?"),
        ("optim.rl", "did you mean 'optim.lr'?"),
        ("mix.qqq", "known here: mixup, cutmix, prob, switch_prob, until"),
        ("qqq.qqq", "`publisher schema` has all keys"),
    ],
)
def test_a_path_is_found_among_its_siblings_or_as_a_whole(path: str, hint: str) -> None:
    assert hint_for_path(tuple(path.split("."))) == hint


def test_a_spec_can_be_validated_from_itself() -> None:
    model = TrainConfig.model_validate(MODEL).model
    assert type(model).model_validate(model) is model
    assert isinstance(model, Spec)


def test_a_problem_without_a_line_still_names_its_file_and_key() -> None:
    assert Problem("no", file="a.yaml", key="b").lines() == ["error: no", "  --> a.yaml  (b)"]
    assert Problem("no").lines() == ["error: no"]
