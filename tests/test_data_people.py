"""The mask layout: labels from folder and file names, tables of corrections, honest validation."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.people import draw_people
from support.trainers import LeaveAtCheck, folder_of, order_for, tiny, train

from schemas.config import TrainConfig
from schemas.events import ExitCode
from trainer.data import mask, prepare, sources, split
from trainer.data.images import Images
from trainer.faults import DataFault


def data_of(**source: Any) -> TrainConfig:
    """A config on people; `source` are keys of the mask layout."""
    return tiny(data__source={"kind": "mask", **source})


def read(folder: Path, **source: Any) -> Images:
    return sources.read(data_of(**source).data, folder)


def person(folder: Path, name: str, *pictures: str) -> None:
    """A person with empty files: only names are read here."""
    home = folder / "train" / "images" / name
    home.mkdir(parents=True, exist_ok=True)
    for picture in pictures or ("mask1.jpg", "incorrect_mask.png", "normal.JPEG"):
        (home / picture).touch()


def label(folder: Path, name: str, **source: Any) -> int:
    images = read(folder, **source)
    return images.targets[images.names.index(name)]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    person(tmp_path, "000001_male_Asian_29")
    person(tmp_path, "000002_female_Asian_30")
    person(tmp_path, "000003_female_Asian_60")
    return tmp_path


# ---- names are labels ----------------------------------------------------------------------------


def test_a_class_is_mask_times_6_and_gender_times_3_and_age(people: Path) -> None:
    images = read(people)
    assert images.targets == (6, 0, 12, 10, 4, 16, 11, 5, 17)
    assert images.persons == ("000001",) * 3 + ("000002",) * 3 + ("000003",) * 3
    assert images.classes[17] == "not_worn-female-60up" and len(images.classes) == 18


@pytest.mark.parametrize(
    ("task", "targets", "classes"),
    [
        ("mask", (1, 0, 2) * 3, 3),
        ("gender", (0,) * 3 + (1,) * 6, 2),
        ("age", (0,) * 3 + (1,) * 3 + (2,) * 3, 3),
    ],
)
def test_each_task_has_its_own_classes(
    people: Path, task: str, targets: tuple[int, ...], classes: int
) -> None:
    images = read(people, task=task)
    assert (images.targets, len(images.classes)) == (targets, classes)


def test_hidden_files_are_passed_over_and_other_pictures_of_the_same_are_read(people: Path) -> None:
    person(people, "000001_male_Asian_29", "._mask1.jpg", "mask1_rembg.png")
    (people / "train" / "images" / ".DS_Store").touch()
    names = read(people).names
    assert "000001_male_Asian_29/mask1_rembg.png" in names and len(names) == 10


def test_what_is_no_person_or_picture_is_named_all_of_it(people: Path) -> None:
    person(people, "000004_man_Asian_20")
    person(people, "000001_male_Asian_29", "mask6.jpg", "Thumbs.db")
    with pytest.raises(DataFault, match=r"Thumbs\.db.*mask6\.jpg.*000004_man") as caught:
        read(people)
    assert "id_gender_race_age" in caught.value.fix


def test_a_folder_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"cannot read .*train/images"):
        read(tmp_path)


# ---- ages ----------------------------------------------------------------------------------------


def test_age_limits_move_the_classes(people: Path) -> None:
    assert label(people, "000001_male_Asian_29/mask1.jpg", age_limits=[29, 58]) == 1


def test_other_limits_for_training_leave_validation_as_it_is(people: Path) -> None:
    person(people, "000004_male_Asian_58")
    images = read(people, task="age", train_age_limits=[30, 58])
    at = images.names.index("000004_male_Asian_58/normal.JPEG")
    assert images.targets[at] == 1 and images.odds[at] == (0, 0, 1)
    assert set(images.odds) == {9, 10, 11}


def test_doubt_is_even_around_a_limit_and_nothing_far_from_it() -> None:
    younger, older = (mask.age_odds(age, (30, 60), 1.0) for age in (59, 60))
    assert younger[1] == pytest.approx(older[2]) and younger[1] == pytest.approx(0.69, abs=0.01)
    assert mask.age_odds(45, (30, 60), 1.0)[1] == pytest.approx(1)
    assert sum(mask.age_odds(31, (30, 60), 3.0)) == pytest.approx(1)


def test_an_age_that_is_dropped_does_not_train_but_validates(tmp_path: Path) -> None:
    for number in range(30):
        person(tmp_path, f"{number:06d}_male_Asian_{(20, 29, 40, 60)[number % 4]}")
    config = data_of(task="age", drop_ages=[[28, 29], [57, 59]])
    images = sources.read(config.data, tmp_path)
    parts = split.divide(images, config.data.split, seed=1)
    ages = {
        part: Counter(images.names[i].split("_")[3][:2] for i in getattr(parts, part))
        for part in ("train", "validate")
    }
    assert "29" not in ages["train"] and ages["validate"]["29"] > 0


# ---- tables --------------------------------------------------------------------------------------


def test_a_relabel_table_changes_one_picture_or_a_whole_person(people: Path) -> None:
    (people / "fix.csv").write_text(
        "id,image,mask,gender,age\n"
        "000001,mask1,not_worn,,\n"
        "000002,,,male,\n"
        "000003,normal,incorrect,male,20\n"
    )
    images = read(people, relabel="fix.csv")
    assert images.targets == (6, 12, 12, 7, 1, 13, 11, 5, 6)


def test_an_ignore_table_leaves_out_a_picture_or_a_person(people: Path) -> None:
    (people / "gone.csv").write_text("id,image\n000001,mask1\n000003,\n")
    names = read(people, ignore="gone.csv").names
    assert [name.split("_")[0] for name in names] == ["000001"] * 2 + ["000002"] * 3


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("000009,,worn,,", "line 2 fits no picture: id='000009'"),
        ("000001,mask4,worn,,", "line 2 fits no picture: id='000001', image='mask4'"),
        ("000001,,yes,,", "line 2 has no such mask: 'yes'"),
        ("000001,,,man,", "line 2 has no such gender: 'man'"),
        ("000001,,,,old", "line 2 has no such age: 'old'"),
        ("000001,,,,", "line 2 changes nothing"),
    ],
)
def test_a_slip_of_the_pen_in_a_table_is_one_line(people: Path, row: str, problem: str) -> None:
    (people / "fix.csv").write_text(f"id,image,mask,gender,age\n{row}\n")
    with pytest.raises(DataFault, match=problem):
        read(people, relabel="fix.csv")


# ---- honesty -------------------------------------------------------------------------------------


def test_a_split_by_image_scores_far_above_ours_by_person(tmp_path: Path) -> None:
    """Who was seen in training is known by wall, skin and shirt; the age of a stranger is not."""
    data = draw_people(tmp_path / "data", people=36)
    scores = {}
    for by in ("auto", "image_leaking_persons"):
        config = tiny(
            model__name="test_efficientnet",
            data__source={"kind": "mask", "task": "age"},
            data__split={"by": by, "fraction": 0.25},
            data__batch_size=16,
            optim__lr=1e-2,
            augment__kind="none",
            train__epochs=6,
            evaluate__every=6,
        )
        scores[by] = train(order_for(tmp_path / by, data, config)).metrics["macro_f1"]
    assert scores["image_leaking_persons"] > 0.75
    assert scores["auto"] < 0.55


def test_draws_of_images_labels_and_steps_go_on_exactly_where_a_run_was_left(
    tmp_path: Path,
) -> None:
    """Sampler, doubtful labels, mixed people and steps: the end knows of no interruption."""
    data = draw_people(tmp_path / "data", people=24)
    prepare.mix_people(data / "train" / "images", data / "mixed", 60, 1, lambda items, *_: items)
    config = tiny(
        data__source={"kind": "mask", "task": "age", "soft_age": 5.0},
        data__extra=[{"origin": "mixed", "images": "mixed"}],
        data__sampler={"kind": "imbalanced"},
        data__batch_size=16,
        loss__class_weights="balanced",
        augment={"kind": "steps", "steps": [{"kind": "elastic"}, {"kind": "noise"}]},
        train__epochs=2,
    )
    whole = train(order_for(tmp_path / "whole", data, config))
    first = order_for(tmp_path / "run", data, config)
    left = train(first, leave=LeaveAtCheck(18))
    assert left.exit_code == ExitCode.SAVED and 8 < left.step < whole.step
    (saved,) = folder_of(first).checkpoints.glob(f"step-{left.step}")
    second = train(order_for(tmp_path / "run", data, config, resume=str(saved)))
    ends = [each.facts["final_weights_sha256"] for each in (whole, second)]
    assert whole.exit_code == ExitCode.FINISHED and ends[0] == ends[1]
