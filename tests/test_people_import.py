"""publisher import: configs of four old kinds become ours; every key of them is accounted for."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.desk import Answer, Desk
from support.golden import golden, screen
from support.servers import ON_ONE_SERVER, TestServer

from publisher.commands.import_ import imported, note_lines
from publisher.drafts.legacy import read_old
from publisher.drafts.translation import translated
from schemas.errors import UsageError
from schemas.source import read

JOB: Mapping[str, Any] = {
    "ip": "10.0.0.5",
    "port": 6379,
    "mode": "train",
    "seed": 42,
    "epochs": 100,
    "dataset": "MaskBaseDataset",
    "augmentation": "ImgaugAugmentation",
    "resize": [260, 260],
    "batch_size": 64,
    "valid_batch_size": 1000,
    "model": "EfficientNet_b2",
    "optimizer": "AdamW",
    "lr": 1e-3,
    "val_ratio": 0.2,
    "criterion": "label_smoothing",
    "lr_decay_step": 20,
    "log_interval": 10,
    "data_dir": "/opt/data/train/images",
    "model_dir": "./model",
    "k_fold": -1,
    "category_train": False,
    "name": "02-14 11:03_kim_EfficientNet_b2",
    "user": "kim",
}
EXPERIMENT: Mapping[str, Any] = {
    "train_data_dir": "./data/train",
    "data_info_file": "./data/train.csv",
    "result_path": "./result",
    "model_name": "coatnet_3_rw_224",
    "epochs": "10",
    "batch_size": 32,
    "learning_rate": "5e-3",
    "num_classes": 500,
    "label_smoothing": 0.1,
    "StepLR_step_size": 2,
    "stepLR_gamma": 0.5,
    "num_model_save": 3,
    "valid_split_ratio": 0.1,
    "slack_token": "xoxb-000000-not-a-token",
    "slack_user_id": "U012ABCDEF",
    "version": "v6",
    "person_name": "lee",
    "cutmix": "False",
    "mixup": "True",
    "mystery": 7,
}
INI = """\
[project]
name = mask_b4
seed = 43
train = True
[data]
train_dataset = SplitByProfileDataset
train_augmentation = TrainAugmentation
num_classes = 18
resize = [128, 96]
[train]
lr = 0.001
criterion = cross_entropy
optimizer = AdamW
epochs = 10
train_batch_size = 128
result_dir = ./results
[test]
test_bacth_size = 100
[model]
model = EfficientNetB4
pre_trained = True
n_hidden = 512
[scheduler]
name = CosineAnnealingWarmRestarts
T_0 = 10
eta_min = 1e-5
"""
FLAGS = """\
dataset: MaskSplitByProfileDataset
augmentation: AutoAugmentation
resize: [256, 192]
valid-ratio: 0.2
age-drop: "False"
cutmix: mixup
seed: 777
max-epochs: 30
batch-size: 32
optimizer: AdamW
lr: 1e-4
scheduler: cosine
criterion: cross_entropy
model: resnet50
exp-name: exp1
wandb-token: 0123456789abcdef
"""
TEXTS = {
    "job.json": json.dumps(JOB, indent="\t"),
    "exp.json": json.dumps(EXPERIMENT),
    "config.ini": INI,
    "base.yml": FLAGS,
}


@pytest.fixture
def desk(server: TestServer, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(server, tmp_path)
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    yield desk
    desk.close()


def importing(desk: Desk, *words: str) -> Answer:
    return desk.publisher("import", *(str(desk.folder / w) if "." in w[-5:] else w for w in words))


@ON_ONE_SERVER
@pytest.mark.parametrize("name", TEXTS)
def test_every_old_format_becomes_a_valid_config(desk: Desk, name: str) -> None:
    answer = importing(desk, name)
    assert answer.code == 0, answer.err
    assert "Traceback" not in answer.err and "Imported from" in answer.out
    assert read(answer.out, "out.yaml").config.model.name


@pytest.mark.parametrize(
    ("name", "form"),
    [("job.json", "job"), ("exp.json", "experiment"), ("config.ini", "ini"), ("base.yml", "flags")],
)
def test_no_key_is_dropped_in_silence(name: str, form: str) -> None:
    old = read_old(TEXTS[name], name)
    assert old.form == form
    written = {key.written for key in old.keys.values()}
    _, notes = translated(old)
    assert {note.key for note in notes if note.kind != "added"} == written
    assert len(written) >= 15


def test_what_is_the_same_thing_here_keeps_its_value() -> None:
    values, _ = translated(read_old(TEXTS["exp.json"], "exp.json"))
    assert values["model"]["name"] == "coatnet_3_rw_224"
    assert (values["train"]["epochs"], values["optim"]["lr"]) == (10, 5e-3)
    assert values["loss"] == {"label_smoothing": 0.1}
    assert values["data"]["split"] == {"fraction": 0.1}
    assert values["mix"] == {"mixup": 0.25} and values["notify"] == "@me"


def test_masks_are_split_by_person_and_say_which_task() -> None:
    values, notes = translated(read_old(TEXTS["job.json"], "job.json"))
    assert values["data"]["source"] == {"kind": "mask"}
    assert values["data"]["split"] == {"by": "person", "fraction": 0.2}
    assert any("no longer fall on both sides" in note.text for note in notes)
    flags = (
        FLAGS.replace("MaskSplitByProfileDataset", "OnlyAgeDataset") + "sampler: WeightedSampler\n"
    )
    values, _ = translated(read_old(flags.replace('"False"', '"True"'), "base.yml"))
    assert (values["data"]["img_size"], values["data"]["img_width"]) == (256, 192)
    assert values["data"]["source"]["task"] == "age"
    assert values["data"]["source"]["drop_ages"] == [[28, 29], [57, 59]]
    assert values["data"]["sampler"] == {"kind": "imbalanced"}


def test_folds_index_files_and_pseudo_labels_find_their_place() -> None:
    more = {
        "train_index_path": "./split/train_0.csv",
        "valid_index_path": "./split/valid_0.csv",
        "pseudo_label": "True",
        "pseudo_label_path": "/data/pseudo/conf08.csv",
        "load_weight": "True",
        "load_weight_path": "result/best.pth",
    }
    values, notes = translated(read_old(json.dumps({**EXPERIMENT, **more}), "exp.json"))
    split = {"kind": "index_files", "train": "train_0.csv", "validate_on": "valid_0.csv"}
    assert values["data"]["split"] == split
    assert values["data"]["extra"] == [{"origin": "pseudo", "csv": "conf08.csv"}]
    assert values["model"]["weights"] == "best.pth"
    assert {note.key for note in notes} >= more.keys()


def test_models_are_found_under_their_old_names() -> None:
    for old, new in (
        ("EfficientNet_b2", "efficientnet_b2"),
        ("EfficientNetB4", "efficientnet_b4"),
        ("custom_resnet34", "resnet34"),
        ("google/efficientnet-b5", "efficientnet_b5"),
        ("efficientnet_v2_m", "tf_efficientnetv2_m"),
        ("ResNet152", "resnet152"),
        ("vit_base_patch16_224", "vit_base_patch16_224"),
    ):
        values, _ = translated(read_old(json.dumps({**JOB, "model": old}), "job.json"))
        assert values["model"]["name"] == new


def test_a_secret_is_named_and_never_shown() -> None:
    for name in ("exp.json", "base.yml"):
        text, notes = imported_text(name)
        assert any("a secret never stands in a config" in note.text for note in notes)
        assert "not-a-token" not in text + str(notes) and "0123456789abcdef" not in text


def imported_text(name: str) -> tuple[str, list[Any]]:
    old = read_old(TEXTS[name], name)
    values, notes = translated(old)
    return json.dumps(values), notes


@pytest.mark.parametrize("width", [80, 120])
def test_what_became_of_the_keys_on_a_screen(width: int, tmp_path: Path) -> None:
    path = tmp_path / "exp.json"
    path.write_text(TEXTS["exp.json"])
    shown = screen(note_lines("exp.json", imported(str(path), ())[1], width))
    assert shown == golden(f"import_{width}")
    assert max(map(len, shown.splitlines())) <= width


@ON_ONE_SERVER
def test_a_model_that_timm_lacks_must_be_named(desk: Desk) -> None:
    path = desk.folder / "own.json"
    path.write_text(json.dumps({**JOB, "model": "Resnet34CategoryModel"}))
    refused = importing(desk, "own.json")
    assert refused.code == 2 and "timm has no model 'Resnet34CategoryModel'" in refused.err
    assert len(refused.err.splitlines()) == 2
    given = importing(desk, "own.json", "model.name=resnet34")
    assert given.code == 0 and read(given.out, "o").config.model.name == "resnet34"
    assert "timm has no such model" in given.err


@ON_ONE_SERVER
def test_several_files_go_into_a_folder_and_overwrite_nothing(desk: Desk) -> None:
    out = desk.folder / "configs"
    out.mkdir()
    answer = importing(desk, "job.json", "config.ini", "-o", str(out))
    assert answer.code == 0 and answer.out == ""
    made = {path.name for path in out.iterdir()}
    assert made == {"job.yaml", "config.yaml", "config.schema.json"}
    assert desk.publisher("validate", str(out / "job.yaml")).code == 0
    assert "is there already" in importing(desk, "job.json", "-o", str(out)).err
    assert importing(desk, "job.json", "-o", str(out), "--force").code == 0
    assert importing(desk, "job.json", "config.ini").code == 2


@ON_ONE_SERVER
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}', "is none of the old formats"),
        ('{"a": ', "is not valid JSON"),
        ("just words", "a config is a set of"),
        ("", "the file is empty"),
        ("[a]\nb = 1\n", "is none of the old formats"),
        ("model: {name: resnet18}\n", "is none of the old formats"),
        ('{"library": "yolov5", "epochs": 3}', "object detection"),
        ("[" * 5000, "nested more than"),
    ],
)
def test_anything_else_is_one_line(desk: Desk, text: str, said: str) -> None:
    (desk.folder / "odd.txt").write_text(text)
    answer = importing(desk, "odd.txt")
    assert answer.code == 2 and said in answer.err, answer.err
    assert len(answer.err.splitlines()) <= 3 and answer.out == ""


ODD = [None, True, -1, 10**30, float("nan"), "", "\u2028\x00", [], [[1]], {"a": 1}, "../.."]


@pytest.mark.parametrize("base", [JOB, EXPERIMENT], ids=["job", "experiment"])
def test_odd_values_are_refused_in_a_line_or_taken_over(
    base: Mapping[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "odd.json"
    for number, name in enumerate(base):
        path.write_text(json.dumps({**base, name: ODD[number % len(ODD)]}))
        with contextlib.suppress(UsageError):
            assert read(imported(str(path), ())[0], "out.yaml").config


def test_numbers_that_were_texts_and_false_that_was_true() -> None:
    old = {**JOB, "epochs": "12", "lr": "oops", "resize": "224", "k_fold": "5"}
    values, notes = translated(read_old(json.dumps(old), "job.json"))
    assert values["train"]["epochs"] == 12 and values["data"]["img_size"] == 224
    assert values["data"]["split"]["folds"] == 5
    assert any(note.key == "lr" and '"oops" -> optim.lr: 0.001' in note.text for note in notes)
    with pytest.raises(UsageError):
        read_old("[project]\nname = x\n", "x.ini")
