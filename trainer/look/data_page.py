"""The page of a data set: pure, from its statistics to HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.errors import count
from trainer.data.images import Images, enumerate_some
from trainer.data.stats import Look
from trainer.look import charts, html
from trainer.look.charts import Bar, Curve
from trainer.look.html import Html, tag
from trainer.look.marks import Chart
from trainer.look.run_page import card, tile

BARS = 40  # classes with a bar; of more the rarest and the most frequent
ENDS = 15


@dataclass(frozen=True, slots=True)
class Sample:
    """Some images of a class, by their numbers."""

    name: str
    trains: int
    images: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Charts:
    """What is drawn of a data set."""

    classes: tuple[Chart, ...]
    sizes: tuple[Chart, ...]
    colours: tuple[Chart, ...]

    def all(self) -> Iterator[Chart]:
        yield from (*self.classes, *self.sizes, *self.colours)


def page(
    name: str,
    images: Images,
    found: Mapping[str, Any],
    drawn: Charts,
    chosen: Sequence[Sample],
    views: Mapping[str, str],
) -> bytes:
    """All of it."""
    parts = [
        header(name, images, found),
        html.section("Classes", grid(drawn.classes), counted(found)),
        alike(found["alike"], views),
        html.section("Sizes", grid(drawn.sizes), says=sizes(found["sizes"])),
        html.section("Colours", grid(drawn.colours), says=colours(found)),
        sheets(images, chosen, views),
    ]
    return html.page(f"{name}: trainq data", *parts)


def header(name: str, images: Images, found: Mapping[str, Any]) -> Html:
    """How much there is."""
    train, validate = (found["parts"][part] for part in ("train", "validate"))
    shown = [
        tile("images", f"{found['images']:,}", extra(found)),
        tile("classes", f"{len(found['classes']):,}", ""),
        tile("train", f"{train['images']:,}", people(train)),
        tile("validate", f"{validate['images']:,}", people(validate)),
    ]
    lines = [tag("h1", name), tag("div", *shown, class_="tiles")]
    lines.append(
        tag("p", f"Split {found['split'][:12]}, data {images.digest[:12]}.", class_="says")
    )
    if images.bad:
        names = enumerate_some([images.names[index] for index in sorted(images.bad)])
        words = f"{count(len(images.bad), 'bad image')} in neither part: {names}"
        lines.append(tag("p", words, class_="warn"))
    return tag("header", *lines)


def extra(found: Mapping[str, Any]) -> str:
    return f"and {found['extra']:,} extra" if found["extra"] else ""


def people(part: Mapping[str, int]) -> str:
    return f"{part['people']:,} people" if part["people"] else ""


def grid(given: Sequence[Chart]) -> Html:
    return tag("div", *map(card, given), class_="grid")


def counted(found: Mapping[str, Any]) -> Html:
    """Every class in numbers."""
    total = sum(each["train"] for each in found["classes"]) or 1
    rows = [
        [
            each["class"],
            f"{each['train']:,}",
            f"{each['validate']:,}",
            f"{each['train'] / total:.1%}",
        ]
        for each in found["classes"]
    ]
    heads = ("class", "train", "validate", "share")
    return html.folded("Every class in numbers", html.table(heads, rows))


def sizes(found: Mapping[str, tuple[int, int]]) -> str:
    each = ", ".join(f"{name} {width} x {height}" for name, (width, height) in found.items())
    return f"Width x height by area: {each}."


def colours(found: Mapping[str, Any]) -> str:
    """Of red, green and blue, 0 to 1, of the images that train."""
    mean, std = (", ".join(f"{value:.4f}" for value in found[name]) for name in ("mean", "std"))
    gray = f"{count(found['gray'], 'image')} without colour."
    return f"Red, green and blue of what trains: mean {mean}; deviation {std}. {gray}"


def alike(pairs: Sequence[Mapping[str, Any]], views: Mapping[str, str]) -> Html:
    """What looks the same on both sides: validation would flatter."""
    if not pairs:
        says = "No picture that validates looks like one that trains."
        return html.section("Look-alikes", says=says)
    shown = [
        tag(
            "section",
            *([] if pair["same_class"] else [tag("h3", "Different classes")]),
            tag("div", *(twin(pair, side, views) for side in SIDES), class_="pair"),
            class_="card",
        )
        for pair in pairs
        if all(pair[side] in views for side in SIDES)
    ]
    others = sum(not pair["same_class"] for pair in pairs)
    says = f"{count(len(pairs), 'pair')} look the same in train and validation"
    says += f", {others} of them in different classes" if others else ""
    says += ". Such an image is not judged, but remembered."
    if len(shown) < len(pairs):
        says += f" The {len(shown)} most alike are shown; trainer data stats --json has all."
    return html.section("Look-alikes", tag("div", *shown, class_="grid"), says=says)


SIDES = {"train": "trains", "validate": "validates"}


def twin(pair: Mapping[str, Any], side: str, views: Mapping[str, str]) -> Html:
    name = str(pair[side])
    words = tag("figcaption", f"{SIDES[side]}: {name}")
    return tag("figure", tag("img", src=views[name], alt=name), words)


def sheets(images: Images, chosen: Sequence[Sample], views: Mapping[str, str]) -> Html:
    """Some images of each class."""
    shown = [
        tag(
            "section",
            tag("h3", f"{sample.name}: {sample.trains:,} train"),
            tag(
                "div",
                *(cell(images.names[index], sample.name, views) for index in sample.images),
                class_="cells",
            ),
            class_="card",
        )
        for sample in chosen
    ]
    some = len(images.classes)
    says = f"The {len(shown)} rarest of {some} classes." if len(shown) < some else "Every class."
    return html.section("Contact sheets", tag("div", *shown, class_="grid sheets"), says=says)


def cell(name: str, label: str, views: Mapping[str, str]) -> Html:
    """An image under its name, without the folder where that only repeats the class."""
    shown = tag("img", src=views[name], alt=name)
    return tag("figure", shown, tag("figcaption", name.removeprefix(f"{label}/")))


# ---- charts --------------------------------------------------------------------------------------


def charts_of(found: Mapping[str, Any], looks: Sequence[Look]) -> Charts:
    """All of them."""
    width, height = np.array([look.size for look in looks], np.float64).T
    mean = np.array([look.mean for look in looks])
    square = np.array([look.square for look in looks])
    deviation = np.sqrt(np.maximum(square - mean**2, 0)).mean(1)
    spread = mean.max(1) - mean.min(1)
    histogram = charts.histogram
    return Charts(
        tuple(counts(found["classes"])),
        (
            histogram("widths", "Widths", width.tolist(), "pixels", whole=True),
            histogram("heights", "Heights", height.tolist(), "pixels", whole=True),
            histogram("aspects", "Width by height", (width / height).tolist(), "1 is a square"),
        ),
        (
            histogram(
                "brightness", "Brightness", mean.mean(1).tolist(), "0 black, 1 white", (0, 1)
            ),
            histogram("contrast", "Contrast", deviation.tolist(), "deviation of an image's pixels"),
            histogram("tint", "Tint", spread.tolist(), "0 gray; between an image's mean colours"),
        ),
    )


def counts(classes: Sequence[Mapping[str, Any]]) -> Iterator[Chart]:
    """How many images each class has."""
    ordered = sorted(classes, key=lambda each: (-each["train"], each["class"]))
    if len(ordered) <= BARS:
        yield bars("classes-counted", "Images of each class", ordered)
        return
    points = [(float(place + 1), float(each["train"])) for place, each in enumerate(ordered)]
    says = "Images that train, the most frequent class first"
    yield charts.curves("classes-counted", says, [Curve("train", points)], "class", whole=True)
    yield bars("classes-frequent", "The most frequent classes", ordered[:ENDS])
    yield bars("classes-rare", "The rarest classes", ordered[-ENDS:])


def bars(name: str, says: str, classes: Sequence[Mapping[str, Any]]) -> Chart:
    given = [Bar(str(each["class"]), (each["train"], each["validate"])) for each in classes]
    return charts.bars(name, says, given, ("train", "validate"))
