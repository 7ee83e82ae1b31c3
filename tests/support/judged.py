"""A small place with finished runs, for tests of what is done with them."""

import csv
import shutil
from pathlib import Path
from typing import Any

from schemas.events import Part
from schemas.run import State
from support.people import draw_people
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, result_of, tiny, train
from trainer.faults import Leave

TEST = {"root": "sketch", "csv": "sample_submission.csv", "images": "test"}
TEST |= {"image": "image_path", "answer": "target"}


def small(**data: Any) -> dict[str, Any]:
    """The data section of a small run on the sketches."""
    source = {"kind": "sketch_csv", "root": "sketch"}
    sizes = {"img_size": 32, "batch_size": 4, "workers": 0}
    return {"source": source, "test": TEST, **sizes, **data}


def draw_place(folder: Path, people: int = 24) -> Path:
    """`data` with sketches, their test set and its truth, and people with theirs."""
    draw_sketches(folder / "data/sketch", classes=4)
    draw_sketches(folder / "more", classes=4, each=3, side=44)
    tests = sorted((folder / "more/train").rglob("*.JPEG"))
    root = folder / "data/sketch"
    (root / "test").mkdir()
    rows = []
    for number, path in enumerate(tests):
        target = int(path.parent.name[1:])
        shutil.copy(path, root / "test" / f"{number}.JPEG")
        rows.append((number, f"{number}.JPEG", target, f"p{number // 2}"))
    write(folder / "truth.csv", ("ID", "image_path", "target", "person"), rows)
    empty = [(number, name, 0) for number, name, *_ in rows]
    write(root / "sample_submission.csv", ("ID", "image_path", "target"), empty)
    draw_people(folder / "data/mask", people=people, answered=2, side=24)
    return folder


def write(path: Path, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def train_run(place: Path, name: str, **changes: Any) -> Part:
    """A finished run in `runs/NAME`, and how a gather run is told of it."""
    root = place / "runs"
    root.mkdir(exist_ok=True)
    config = tiny(**{"data": small(), "train__epochs": 2, "optim__lr": 3e-3, **changes})
    order = order_for(root / name, place / "data", config, runs_root=str(root))
    done = train(order)
    assert done.exit_code == 0, done.error
    facts = {key: done.facts[key] for key in ("split", "data", "weights")}
    split = config.data.split
    fold = {"fold": split.fold, "folds": split.folds} if split.kind == "kfold" else {}
    told = {"metrics": done.metrics, "metric": config.evaluate.metric}
    return Part(run=name, state=State.FINISHED, **told, **facts, **fold)


def train_folds(place: Path, name: str, folds: int = 3, **changes: Any) -> list[Part]:
    """`runs/NAME0` and so on."""
    data = changes.pop("data", small())
    splits = [{"kind": "kfold", "folds": folds, "fold": number} for number in range(folds)]
    return [
        train_run(place, f"{name}{number}", data={**data, "split": split}, **changes)
        for number, split in enumerate(splits)
    ]


def gather(
    place: Path, name: str, parts: list[Part], leave: Leave | None = None, **changes: Any
) -> Any:
    """The run that puts them together, in `runs/NAME`; its result and its folder."""
    config = tiny(**{"data": small(), **changes})
    root = {"runs_root": str(place / "runs")}
    order = order_for(
        place / "runs" / name, place / "data", config, kind="gather", parts=tuple(parts), **root
    )
    train(order, leave=leave)
    return result_of(order), folder_of(order)
