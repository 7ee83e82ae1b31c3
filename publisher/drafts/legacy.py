"""Configs from before trainq: what kind a text is, and its keys under one set of names. Pure.

What the keys mean here is `publisher.drafts.translation`'s business.
"""

import ast
import json
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as NotIni
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from schemas.document import parse
from schemas.errors import ConfigError, UsageError

MOST = 1_000_000  # characters


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it was written, and its value."""

    written: str
    value: Any


@dataclass(frozen=True, slots=True)
class Old:
    """An old config; `keys` by the name that all formats share."""

    form: str  # job, experiment, ini, flags
    about: str
    keys: Mapping[str, Key]


ABOUT = MappingProxyType(
    {
        "job": "a job of the old Redis queue",
        "experiment": "a JSON file of one experiment",
        "ini": "an INI file with sections",
        "flags": "a YAML file of command-line names",
    }
)
FORMATS = "; ".join(ABOUT.values())

# What a format calls a thing -> what the table of meanings calls it.
NAMES: Mapping[str, Mapping[str, str]] = {
    "job": {},
    "experiment": {
        "model_name": "model",
        "learning_rate": "lr",
        "valid_split_ratio": "val_ratio",
        "steplr_step_size": "lr_decay_step",
        "steplr_gamma": "gamma",
        "train_data_dir": "data_dir",
        "person_name": "user",
        "wandb_project": "project",
        "project_name": "project",
    },
    "ini": {
        "project.name": "name",
        "project.seed": "seed",
        "data.resize": "resize",
        "data.num_classes": "num_classes",
        "data.train_dataset": "dataset",
        "data.train_dir": "data_dir",
        "data.train_data_dir": "data_dir",
        "data.augmentation": "augmentation",
        "data.train_augmentation": "augmentation",
        "data.val_ratio": "val_ratio",
        "train.lr": "lr",
        "train.criterion": "criterion",
        "train.optimizer": "optimizer",
        "train.epochs": "epochs",
        "train.train_batch_size": "batch_size",
        "train.batch_size": "batch_size",
        "train.log_interval": "log_interval",
        "train.result_dir": "model_dir",
        "valid.valid_batch_size": "valid_batch_size",
        "valid.batch_size": "valid_batch_size",
        "model.model": "model",
        "model.pre_trained": "pretrained",
        "scheduler.name": "scheduler",
        "scheduler.step_size": "lr_decay_step",
        "scheduler.gamma": "gamma",
        "scheduler.eta_min": "min_lr",
    },
    "flags": {
        "max_epochs": "epochs",
        "valid_ratio": "val_ratio",
        "exp_name": "name",
        "project_name": "project",
        "train_data_dir": "data_dir",
        "save_dir": "model_dir",
        "schedular": "scheduler",
    },
}
# A text with this many of these keys is of the format.
MARKS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "job": (4, ("ip", "port", "mode", "criterion", "augmentation", "lr_decay_step", "model_dir")),
    "experiment": (3, ("model_name", "learning_rate", "num_classes", "batch_size", "version")),
    "ini": (2, ("project.name", "data.resize", "model.model", "train.lr", "train.criterion")),
    "flags": (
        3,
        ("dataset", "augmentation", "max_epochs", "criterion", "valid_ratio", "exp_name"),
    ),
}
DETECTION = {"library", "yolo_model_name", "yolo_yaml_name"}  # the second queue's jobs


def read_old(text: str, file: str) -> Old:
    """The old config that a text is; UsageError in one line for anything else."""
    pairs, forms = _pairs(text, file)
    folded = {name.lower().replace("-", "_"): Key(name, value) for name, value in pairs.items()}
    if DETECTION & folded.keys():
        raise UsageError(
            f"{file} is a job of the object detection queue; trainq trains image classifiers",
            fix="publisher init begins a new config",
        )
    for form in forms:
        least, marks = MARKS[form]
        if len(set(marks) & folded.keys()) >= least:
            shared = {NAMES[form].get(name, name): key for name, key in folded.items()}
            hidden = [key for name, key in folded.items() if key not in shared.values()]
            return Old(form, ABOUT[form], {**shared, **{k.written: k for k in hidden}})
    raise UsageError(f"{file} is none of the old formats", where=f"known: {FORMATS}")


def _pairs(text: str, file: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The keys of a text, and which formats its syntax may be."""
    if len(text) > MOST:
        raise UsageError(f"{file} is larger than a config ever was")
    if text.lstrip().startswith("{"):
        return _json(text, file), ("job", "experiment")
    ini = _ini(text)
    if ini is not None:
        return ini, ("ini",)
    try:
        document = parse(text, file)
    except ConfigError as error:
        first = error.problems[0]
        where = f"{first.file}:{first.line}" if first.line else file
        raise UsageError(f"{file} cannot be read: {first.message}", where=where) from error
    return _secrets_too(document.mapping, text), ("flags",)


def _json(text: str, file: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f"{file}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else file
        raise UsageError(f"{file} is not valid JSON", where=line) from error
    return {str(name): value for name, value in found.items()}


def _ini(text: str) -> dict[str, Any] | None:
    reader = ConfigParser(interpolation=None, strict=False)
    reader.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their capitals
    try:
        reader.read_string(text)
    except (NotIni, UnicodeError):
        return None
    if not (reader.sections() or reader.defaults()):
        return None
    unnamed = {name: _literal(value) for name, value in reader.defaults().items()}
    return unnamed | {
        f"{section}.{name}": _literal(value)
        for section in reader.sections()
        for name, value in reader.items(section)
    }


def _secrets_too(values: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Keys that our reader leaves out as secrets are named all the same, without their values."""
    rows = [row.partition(":")[0] for row in text.splitlines() if row[:1].isalpha() and ":" in row]
    return {**dict.fromkeys(rows), **values}


def _literal(text: str) -> Any:
    """What a value of an INI file means: a number, a list, a truth, or the text."""
    words = {"true": True, "yes": True, "false": False, "no": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text.strip()
