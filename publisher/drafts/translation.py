"""What the keys of an old config mean here. Nothing is dropped without a word. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from publisher.drafts.legacy import Key, Old
from publisher.plans.plan import slug
from schemas import timm_models
from schemas.nearest import known_keys, sections
from schemas.secrecy import masked, secret_key, secret_value

NoteKind = Literal["same", "changed", "added", "gone"]


@dataclass(frozen=True, slots=True)
class Note:
    """What became of one key."""

    kind: NoteKind
    key: str  # as it was written, or, of what was added, ours
    text: str

    def __str__(self) -> str:
        return (
            f"{self.kind:<8} {self.key}{': ' if self.kind == 'gone' else ' '}{self.text}".rstrip()
        )


def translated(old: Old) -> tuple[dict[str, Any], list[Note]]:
    """Our values, and a note on every key of the old config and on every one that was added."""
    book = Book(dict(old.keys), old.form)
    for part in (_names, _model, _data, _split, _optim, _loss, _schedule, _augment, _loop):
        part(book)
    for name, why in GONE.items():
        book.gone((name,), why)
    for name, key in list(book.left.items()):
        del book.left[name]
        secret = secret_key(key.written) or secret_value(str(key.value))
        why = SECRET if secret else f"{_shown(key.value)} means nothing to trainq"
        book.notes.append(Note("gone", key.written, why))
    return book.values, book.notes


@dataclass(slots=True)
class Book:
    """What is left to translate, and what has been made of the rest."""

    left: dict[str, Key]
    form: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def value(self, name: str, default: Any = None) -> Any:
        """The value under a shared name; looking takes nothing away."""
        return self.left[name].value if name in self.left else default

    def use(self, name: str, target: str, value: Any, how: str = "") -> None:
        """The key becomes ours; `how` says what is different about it."""
        key = self.left.pop(name)
        self._put(target, value)
        plain = not how and json.dumps(value) == json.dumps(key.value)
        if plain and key.written.rpartition(".")[2] == target.rpartition(".")[2]:
            self.notes.append(Note("same", key.written, ""))
            return
        why = f" ({how})" if how else ""
        text = f"{_shown(key.value)} -> {target}: {_shown(value)}{why}"
        self.notes.append(Note("changed", key.written, text))

    def add(self, target: str, value: Any, why: str) -> None:
        """What the old code had fixed, or what the new one must be told."""
        self._put(target, value)
        self.notes.append(Note("added", f"{target}: {_shown(value)}", f"({why})"))

    def gone(self, names: Iterable[str], why: str) -> None:
        """Keys that have no meaning any more; each gets its own line."""
        for name in names:
            if name in self.left:
                self.notes.append(Note("gone", self.left.pop(name).written, why))

    def _put(self, target: str, value: Any) -> None:
        *path, leaf = target.split(".")
        here = self.values
        for part in path:
            here = here.setdefault(part, {})
        if isinstance(value, dict) and isinstance(here.get(leaf), dict):
            here[leaf] |= value
        else:
            here[leaf] = value


# ---- parts ---------------------------------------------------------------------------------------


def _names(book: Book) -> None:
    if isinstance(name := book.value("name"), str) and name:
        new = slug(name)
        book.use("name", "name", new, "" if new == name else "names are a-z 0-9 . _ -")
    if "seed" in book.left:
        book.use("seed", "seed", number(book.value("seed"), 42))
    if book.value("slack_user_id"):
        book.use("slack_user_id", "notify", "@me", "ids of people: TRAINQ_SLACK_USERS=you=U012AB")
    if "version" in book.left and str(book.value("version")):
        book.use("version", "note", f"version {book.value('version')}"[:500])


def _model(book: Book) -> None:
    loads = truth(book.value("load_weight"), False) and bool(book.value("load_weight_path"))
    if found := timm_name(book.value("model", "")):
        book.use("model", "model.name", found)
        if loads:
            book.gone(("pretrained",), "its own weights are loaded")
        elif not truth(book.value("pretrained"), True):
            book.use("pretrained", "model.pretrained", False)
        elif timm_models.refusal_of_weights(found):
            book.add("model.pretrained", False, f"timm has no weights of {found}")
        else:
            book.add("model.pretrained", True, "the old code began with published weights")
        book.gone(("pretrained",), "see model.pretrained")
    if loads:
        path = str(book.value("load_weight_path"))
        book.use("load_weight_path", "model.weights", _below(path), "below TRAINQ_DATA")
        book.gone(("load_weight",), "see model.weights")


def _sizes(book: Book) -> None:
    size = book.value("resize", book.value("img_size"))
    sides = [number(each, 0) for each in (size if isinstance(size, list) else [size])]
    for name in ("resize", "img_size"):
        if name in book.left and sides and all(sides):
            book.use(name, "data.img_size", sides[0])
    if len(set(sides)) > 1:
        book.add("data.img_width", sides[-1], "height comes first, then width")


def _data(book: Book) -> None:
    dataset = str(book.value("dataset", ""))
    if book.form == "experiment":
        book.add("data.source.kind", "sketch_csv", "the layout of these experiments")
    elif has("data.source", "mask"):
        _mask(book, dataset.lower())
    _sizes(book)
    if "batch_size" in book.left:
        book.use("batch_size", "data.batch_size", number(book.value("batch_size"), 32))
    sampler = str(book.value("sampler", "")).lower()
    if sampler and has("data.sampler", "imbalanced") and re.search("imbalanced|weighted", sampler):
        how = "every class comes up equally often" if "weighted" in sampler else ""
        book.use("sampler", "data.sampler.kind", "imbalanced", how)
    if truth(book.value("pseudo_label"), False) and has("data", "", "extra"):
        path = _below(str(book.value("pseudo_label_path", "pseudo.csv")))
        book.use("pseudo_label", "data.extra", [{"origin": "pseudo", "csv": path}], "adapt paths")
        book.gone(("pseudo_label_path",), "see data.extra")


def _mask(book: Book, dataset: str) -> None:
    task = next((each for each in ("age", "gender", "mask") if f"only{each}" in dataset), "all")
    if "dataset" in book.left:
        value = {"kind": "mask", **({"task": task} if task != "all" else {})}
        book.use("dataset", "data.source", value)
    else:
        book.add("data.source.kind", "mask", "the layout of these configs")
    if "profile" not in dataset and has("data.split", "holdout", "by"):
        why = "a person's images no longer fall on both sides: expect lower, honest values"
        book.add("data.split.by", "person", why)
    if truth(book.value("age_drop"), False) and has("data.source", "mask", "drop_ages"):
        book.use("age_drop", "data.source.drop_ages", [[28, 29], [57, 59]], "they still validate")
    book.gone(("age_drop",), "off")


def _split(book: Book) -> None:
    folds = number(book.value("k_fold"), -1)
    index = "train_index_path" in book.left and "valid_index_path" in book.left
    if index and book.value("train_index_path") and has("data.split", "index_files"):
        book.values.get("data", {}).pop("split", None)
        book.add("data.split.kind", "index_files", "the split is written down")
        for name, leaf in (("train_index_path", "train"), ("valid_index_path", "validate_on")):
            path = _below(str(book.value(name)))
            book.use(name, f"data.split.{leaf}", path, "below TRAINQ_DATA")
        book.gone(("val_ratio",), "see data.split")
    elif folds > 1:
        book.use(
            "k_fold", "data.split", {"kind": "kfold", "folds": folds}, "submit --folds queues all"
        )
        book.gone(("val_ratio",), "the folds say it")
    elif (share := number(book.value("val_ratio"), 0.0)) and 0 < share < 1:
        book.use("val_ratio", "data.split.fraction", share)
    book.gone(("k_fold",), "off: one part is held out")


def _optim(book: Book) -> None:
    if "lr" in book.left:
        book.use("lr", "optim.lr", number(book.value("lr"), 1e-3))
    name = str(book.value("optimizer", "adam")).lower()
    if "optimizer" in book.left:
        kind = name if has("optim", name) else "adamw"
        how = "" if kind == name else f"{name} is not here; look at the learning rate"
        book.use("optimizer", "optim.kind", kind, how)
    if "weight_decay" in book.left:
        decay = number(book.value("weight_decay"), 0.0)
        book.use("weight_decay", "optim.weight_decay", decay)
    elif book.form != "experiment":
        book.add("optim.weight_decay", 5e-4, "fixed in the old code")


LOSSES: Mapping[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "focal": (("focal", {"gamma": 2.0}),),
    "f1": (("soft_f1", {}), ("f1", {})),
    "bfocal": (("class_balanced_focal", {"gamma": 2.0, "beta": 0.9}),),
    "mse": (("mse", {}),),
}


def _loss(book: Book) -> None:
    name = str(book.value("criterion", "")).lower()
    smoothing = book.value("label_smoothing")
    if smoothing is not None:
        book.use("label_smoothing", "loss.label_smoothing", number(smoothing, 0.0))
    if "criterion" not in book.left:
        return
    if name in ("label_smoothing", "labelsmoothing"):
        amount = 0.1 if book.form == "flags" else 0.0
        how = "as the old code had it" if amount else "the old code smoothed by 0.0"
        book.use("criterion", "loss", {"kind": "cross_entropy", "label_smoothing": amount}, how)
        return
    for kind, values in LOSSES.get(name, ()):
        if has("loss", kind, *values):
            book.use("criterion", "loss", {"kind": kind, **values})
            return
    how = "" if name == "cross_entropy" else f"{name} is not here yet"
    book.use("criterion", "loss.kind", "cross_entropy", how)


SCHEDULES: Mapping[str, str] = {  # a part of the old name, and ours; the first that fits
    "restart": "restarts",
    "cosine": "cosine",
    "exponential": "exponential",
    "plateau": "plateau",
    "onecycle": "one_cycle",
    "step": "step",
}
OF_SCHEDULES: Mapping[str, tuple[tuple[str, str, float], ...]] = {
    "step": (("lr_decay_step", "every", 2), ("gamma", "gamma", 0.5)),
    "exponential": (("gamma", "gamma", 0.5),),
    "restarts": (("scheduler.t_0", "first", 10), ("scheduler.t_mult", "factor", 1)),
}


def _schedule(book: Book) -> None:
    name = str(book.value("scheduler", "")).lower()
    kind = next((ours for part, ours in SCHEDULES.items() if part in name), "cosine")
    if "scheduler" in book.left:
        known = any(part in name for part in SCHEDULES)
        how = "" if known else f"{name} is not here; it ends where a cosine does"
        book.use("scheduler", "schedule.kind", kind, how)
    elif "lr_decay_step" in book.left:
        kind = "step"
        book.add("schedule.kind", kind, "the old code had no other")
    for old, ours, default in OF_SCHEDULES.get(kind, ()):
        if old in book.left:
            book.use(old, f"schedule.{ours}", number(book.value(old), default))
        elif default != 1:
            book.add(f"schedule.{ours}", default, "fixed in the old code")
    if "min_lr" in book.left and has("schedule", kind, "min_lr"):
        book.use("min_lr", "schedule.min_lr", number(book.value("min_lr"), 0.0))
    book.gone(("lr_decay_step", "gamma", "min_lr"), f"schedule.kind={kind} has none")


AUGMENTS: Mapping[str, dict[str, Any]] = {
    "base": {"kind": "none"},
    "custom": {"kind": "timm", "scale": [0.6, 1.0], "hflip": 0.0, "color_jitter": 0.1},
    "imgaug": {"kind": "timm", "scale": [0.8, 1.0], "hflip": 0.5, "color_jitter": 0.1},
    "gender": {"kind": "timm", "scale": [1.0, 1.0], "hflip": 0.5},
    "mask": {"kind": "timm", "scale": [1.0, 1.0], "hflip": 0.5},
    "age": {"kind": "timm", "scale": [1.0, 1.0], "hflip": 0.5, "color_jitter": 0.4},
    "train": {"kind": "timm", "scale": [0.8, 1.0], "hflip": 0.2},
    "rand": {"kind": "timm", "scale": [1.0, 1.0], "auto_augment": "rand-m10-n3"},
    "auto": {"kind": "timm", "scale": [1.0, 1.0], "auto_augment": "original"},
    "augmix": {"kind": "timm", "scale": [1.0, 1.0], "auto_augment": "augmix-m3-w3"},
    "mix": {"kind": "timm", "scale": [1.0, 1.0], "auto_augment": "augmix-m3-w3"},
    "trivial": {"kind": "timm", "scale": [1.0, 1.0], "auto_augment": "rand-m9-n1"},
}


def _augment(book: Book) -> None:
    if "augmentation" in book.left:
        written = book.value("augmentation")
        name = re.sub("augment.*|wide", "", str(written).lower().replace("trivialaug", "trivial"))
        name = "augmix" if str(written).lower() == "augmix" else name
        if values := AUGMENTS.get(name):
            how = "" if name in ("base", "rand") else "the nearest that is here"
            book.use("augmentation", "augment", values, how)
    for name in ("cutmix", "mixup"):
        given = book.value(name)
        if name in book.left and str(given).lower() in ("cutmix", "mixup"):
            book.use(name, f"mix.{str(given).lower()}", 1.0)  # one flag, that names which
        elif truth(given, False):
            book.use(name, f"mix.{name}", 0.25, "the old code's alpha")
        book.gone((name,), "off")


def _loop(book: Book) -> None:
    if "epochs" in book.left:
        book.use("epochs", "train.epochs", number(book.value("epochs"), 10))
    if "accumulation_steps" in book.left:
        steps = number(book.value("accumulation_steps"), 1)
        size = book.values.get("data", {}).get("batch_size", 32)
        book.use("accumulation_steps", "train.accumulate", steps, "of the whole batch")
        book.add("data.batch_size", size * steps, "the effective batch, whatever the GPU holds")
    if "log_interval" in book.left:
        book.use("log_interval", "train.log_every", max(1, number(book.value("log_interval"), 10)))
    metric = "accuracy" if book.form in ("job", "experiment") else "macro_f1"
    book.add("evaluate.metric", metric, "what the old code kept the best by")


# ---- words ---------------------------------------------------------------------------------------

SECRET = "a secret never stands in a config: the environment or .env of the worker; change it"
RUN_FOLDER = "every run has a folder of its own below TRAINQ_RUNS"
COUNTED = "counted from the data"
GONE: Mapping[str, str] = {
    **dict.fromkeys(("ip", "port"), "the queue is where REDIS_URL says"),
    "mode": "there is one queue; publisher submit --priority N",
    "user": "whoever submits (TRAINQ_USER)",
    "project": "WANDB_PROJECT in the environment of the worker",
    **dict.fromkeys(("data_dir", "data_info_file"), "below the worker's TRAINQ_DATA: data.source"),
    **dict.fromkeys(("model_dir", "result_path", "result_fold", "log_path"), RUN_FOLDER),
    **dict.fromkeys(("output_path", "output_fold_path_format", "output_dir"), RUN_FOLDER),
    "num_classes": COUNTED,
    **dict.fromkeys(("valid_batch_size", "num_workers"), "no result hangs on it"),
    "num_model_save": "the two newest checkpoints and the best are kept",
    "random_select_dataset": "splits are stratified, by the seed",
    "category_train": "one head here",
    "balanced_split": "splits are stratified",
    **dict.fromkeys(("load_weight", "load_weight_path"), "off"),
    **dict.fromkeys(("pseudo_label", "pseudo_label_path"), "off"),
    **dict.fromkeys(("train_index_path", "valid_index_path"), "the split follows from the seed"),
    **dict.fromkeys(("scheduler.T_max", "t_max"), "the cosine lasts as long as the run"),
    **dict.fromkeys(("project.train", "project.test", "train"), "a run that is submitted trains"),
    "data.split_by_label": "splits are stratified",
    "test.output_dir": RUN_FOLDER,
    **dict.fromkeys(
        ("test_data_dir", "test_info_file"), "test images are named apart from training"
    ),
    "model": "timm has no such model; model.name says another",
    "hpo": "publisher submit -m key=a,b,c",
    "config": "the file itself",
}


def timm_name(name: Any) -> str:
    """The timm model that an old name meant, or nothing."""
    if not isinstance(name, str) or not name:
        return ""
    if not timm_models.refusal(name):
        return name
    short = re.sub(r"^(custom|hf)_?|^google/", "", name.lower())
    wanted = re.sub("[^a-z0-9]", "", short)
    near = {re.sub("[^a-z0-9]", "", each): each for each in timm_models.models()}
    aliases = {f"efficientnetv2{size}": f"tf_efficientnetv2_{size}" for size in "sml"}
    return aliases.get(wanted) or near.get(wanted, "")


def has(section: str, kind: str, *fields: str) -> bool:
    """Whether a config can say this today; `kind` is empty for a section of one kind."""
    found = sections().get(tuple(section.split(".")))
    if found is None:
        return bool(f"{section}.{kind}" in known_keys())
    spec = found.kinds.get(kind) if kind else next(iter(found.kinds.values()))
    return spec is not None and all(name in spec.model_fields for name in fields)


def number(value: Any, default: Any) -> Any:
    """Numbers were often texts; what is none is the default."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        text = str(value).strip()
        return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    except ValueError:
        return default


def truth(value: Any, default: bool) -> bool:
    """`"False"` was true to argparse; here it is false."""
    if value is None:
        return default
    return str(value).strip().lower() in ("true", "1", "yes")


def _below(path: str) -> str:
    """A path of somebody's machine as a name below the data root."""
    return PurePath(path.replace("\\", "/")).name or "."


def _shown(value: Any) -> str:
    text = masked(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else text[:57] + "..."
