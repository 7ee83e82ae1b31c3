"""What a run must reach on real data: handwritten digits, which come with scikit-learn."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from support.sketches import draw_sketches
from support.trainers import order_for, tiny, train

from schemas.result import Result


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1797 images of 8 x 8, and two tables: as they are, and with their labels dealt out anew."""
    folder, found = tmp_path_factory.mktemp("digits"), load_digits()
    names = [f"{number:04}.png" for number in range(len(found.target))]
    for name, image in zip(names, found.images, strict=True):
        picture = Image.fromarray((image * 255 / 16).astype(np.uint8))
        picture.resize((32, 32), Image.Resampling.BILINEAR).save(folder / name)
    dealt = np.random.default_rng(0).permutation(found.target)
    for table, labels in (("true.csv", found.target), ("dealt.csv", dealt)):
        with (folder / table).open("w", newline="") as file:
            rows = zip(names, labels.tolist(), strict=True)
            csv.writer(file).writerows([("image_path", "target"), *rows])
    return folder


def learnt(digits: Path, table: str, run: Path) -> Result:
    config = tiny(
        model__name="test_resnet",
        data__source={"kind": "csv", "csv": table},
        data__batch_size=32,
        augment={"kind": "none"},
        optim__lr=3e-3,
        schedule__warmup_epochs=0.5,
        train={"epochs": 3, "log_every": 100},
    )
    return train(order_for(run, digits, config))


def test_handwritten_digits_are_read_with_97_percent(digits: Path, tmp_path: Path) -> None:
    assert learnt(digits, "true.csv", tmp_path / "run").metrics["accuracy"] >= 0.97


def test_labels_that_mean_nothing_give_chance(digits: Path, tmp_path: Path) -> None:
    accuracy = learnt(digits, "dealt.csv", tmp_path / "run").metrics["accuracy"]
    assert 0.04 < accuracy < 0.16  # of ten classes, 359 images: nearly four deviations


def test_the_weights_follow_from_the_config_and_from_nothing_else(tmp_path: Path) -> None:
    data = draw_sketches(tmp_path / "data")
    configs = (tiny(), tiny(), tiny(seed=7), tiny(optim__lr=2e-3))
    found = [
        train(order_for(tmp_path / f"run{number}", data, config)).facts["final_weights_sha256"]
        for number, config in enumerate(configs)
    ]
    assert found[0] == found[1] and len(set(found)) == 3
