"""Everything that is wrong with the images of a config, its test set included, for people."""

from pathlib import Path
from typing import Any

from schemas.components.data import Data
from schemas.errors import count
from schemas.rundir import RunsRoot
from trainer.data import check, sources
from trainer.data.files import Alive
from trainer.data.images import Images, Row, gathered


def inspect(data: Data, data_root: Path, shared: RunsRoot, alive: Alive) -> dict[str, Any]:
    """What is bad and why, by the names of the images, and whether a run would refuse it."""
    images = sources.read(data, data_root)
    bad = check.troubles(images, shared, alive)
    found = {
        "images": len(images.names),
        "bad": [{"image": images.names[index], "why": why} for index, why in bad.items()],
        "refused": bool(bad) and (data.on_bad == "refuse" or check.too_many(bad, images)),
        "test_images": 0,
        "bad_test": [],
    }
    if data.test:
        answered = gathered(
            [
                Row(name, path, 0, origin="test")
                for name, path in sources.test_images(data.test, data_root).items()
            ],
            images.classes,
        )
        bad_test = check.troubles(both(images, answered), shared, alive)
        names = (*images.names, *answered.names)
        found["test_images"] = len(answered.names)
        found["bad_test"] = [
            {"image": names[index], "why": why}
            for index, why in bad_test.items()
            if index >= len(images.names)
        ]
    return found


def both(images: Images, answered: Images) -> Images:
    """The training images and after them those of the test set: a twin across them is named."""
    extra = len(images.names) - images.own
    return Images(
        paths=images.paths + answered.paths,
        targets=images.targets + answered.targets,
        classes=images.classes,
        names=images.names + answered.names,
        digest="",
        origins=("",) * images.own + ("extra",) * extra + answered.origins,
    )


def page(found: dict[str, Any]) -> list[str]:
    """The same in lines; names are whole, whatever their length."""
    rows = [f"{count(found['images'], 'image')}, {len(found['bad'])} bad"]
    rows += [f"  {each['image']} {each['why']}" for each in found["bad"]]
    if found["test_images"]:
        rows.append(f"{count(found['test_images'], 'test image')}, {len(found['bad_test'])} bad")
        rows += [f"  {each['image']} {each['why']}" for each in found["bad_test"]]
    if found["bad"]:
        word = "refused: nothing would train" if found["refused"] else "left out of both parts"
        rows.append(f"the bad ones are {word} (data.on_bad)")
    return rows
