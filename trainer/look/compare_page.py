"""The page that compares runs: pure, from what is known of them to HTML."""

from collections.abc import Iterator, Sequence

from schemas.components.data import px
from schemas.errors import count
from trainer.judge import marking
from trainer.look import html, learning
from trainer.look.comparing import Compared, Gain, Row
from trainer.look.html import Html, tag
from trainer.look.ranges import Range, ranges
from trainer.look.run_page import between, card, tile
from trainer.report import duration

CURVES = 8  # runs whose curves can still be told apart
METRICS = ("accuracy", "macro_f1")


def page(given: Compared) -> bytes:
    """All of it."""
    parts = [header(given), standing(given), learned(given), configs(given)]
    title = f"{count(len(given.rows), 'run')} compared"
    return html.page(f"{title}: trainq report", *filter(None, parts))


def header(given: Compared) -> Html:
    """What is compared, and who is best."""
    subjects = [row.subject for row in given.rows if row.subject]
    alike = dict.fromkeys(
        f"{each.config.model.name} at {px(each.config.data.extent)} on "
        f"{each.config.data.source.root}"
        for each in subjects
    )
    lines = [tag("h1", f"{count(len(given.rows), 'run')} compared")]
    lines.append(tag("p", "; ".join(alike), class_="says"))
    lines += [tag("p", text, class_="warn") for text in warnings(given)]
    lines.append(tag("div", *tiles(given), class_="tiles"))
    if given.images:
        words = f"{count(given.images, 'image')} that none of them had learnt from; "
        lines.append(tag("p", f"{words}95% intervals by drawing {given.drawn}.", class_="says"))
    return tag("header", *lines)


def warnings(given: Compared) -> Iterator[str]:
    """Why the scores may not be compared."""
    there = [row for row in given.rows if row.values]
    if len(there) > 1 and not given.images:
        yield (
            "They did not validate the same images: a difference between two scores may be one "
            "between images."
        )
    if absent := [row.name for row in given.rows if not row.values]:
        yield f"No scores of {', '.join(absent)}: what they said of images is not kept."


def tiles(given: Compared) -> Iterator[Html]:
    """The best, and all together."""
    best = given.rows[0]
    if not best.values:
        return
    word = marking.title(given.metric)
    yield tile(f"best {word}", f"{best.values[given.metric]:.4f}", best.name)
    if given.together and given.together.ahead:
        value = given.together.values[given.metric]
        told = f"{ahead(given.together.ahead)} against it"
        yield tile(f"all together, {word}", f"{value:.4f}", told)


def ahead(gain: Gain) -> str:
    """+0.0123 (-0.0010 to +0.0250)"""
    value, likely = gain
    return f"{value:+.4f} ({likely.low:+.4f} to {likely.high:+.4f})"


def standing(given: Compared) -> Html | None:
    """Every score with its interval: as a picture, and in numbers."""
    rows = [row for row in given.rows if row.values]
    if not rows:
        return None
    shown = [*rows, given.together] if given.together else rows
    drawn = [
        card(
            ranges(
                f"compare-{metric}",
                capital(marking.title(metric)),
                [
                    Range(r.name, r.values[metric], r.likely[metric], r is given.together)
                    for r in shown
                ],
                marking.title(metric),
            )
        )
        for metric in METRICS
    ]
    heads = ["run", "accuracy", "95%", "macro F1", "95%"]
    heads += ["to the first", "95%"] if given.images else []
    table = html.table([*heads, "best epoch", "time"], [cells(row, given) for row in shown])
    return html.section("Scores", tag("div", *drawn, class_="grid"), table, says=meant(given))


def capital(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def meant(given: Compared) -> str:
    """How to read it."""
    if not given.images:
        return "The best first."
    return (
        "The best first. How far the others are from it is judged on the same draws: where that "
        "interval holds 0 it may be chance. All together is the mean of what each says. The best "
        "is chosen by these very images, so its luck counts for it."
    )


def cells(row: Row, given: Compared) -> list[str]:
    """One line of the table."""
    found = [row.name]
    for metric in METRICS:
        found += [f"{row.values[metric]:.4f}", between(row.likely[metric])]
    if given.images:
        value, likely = row.ahead or (None, None)
        found.append("" if value is None else f"{value:+.4f}")
        found.append("" if likely is None else f"{likely.low:+.4f} to {likely.high:+.4f}")
    result = row.subject.result if row.subject else None
    found.append(str(result.best.epoch) if result and result.best and result.best.epoch else "")
    found.append(duration(result.seconds) if result else "")
    return found


def learned(given: Compared) -> Html | None:
    """The curves of the best beside each other."""
    several = [row.subject for row in given.rows if row.subject and not row.subject.gathers]
    drawn = list(learning.beside([(each.name, each) for each in several[:CURVES]], "run"))
    if not drawn:
        return None
    says = f"Of the {CURVES} best." if len(several) > CURVES else ""
    return html.section("Learning", tag("div", *map(card, drawn), class_="grid"), says=says)


def configs(given: Compared) -> Html:
    """What they differ in: the longer side downwards."""
    names, keys = [row.name for row in given.rows], list(given.differ)
    if not keys:
        return html.section("Configs", says="They do not differ but in their names.")
    if len(keys) > len(names):
        table = html.table(["key", *names], [[key, *by(given, key, names)] for key in keys])
    else:
        lines = [[name, *(given.differ[key][name] for key in keys)] for name in names]
        table = html.table(["run", *keys], lines)
    return html.section("Configs", table, says="Every key that is not the same in all of them.")


def by(given: Compared, key: str, names: Sequence[str]) -> Iterator[str]:
    return (given.differ[key][name] for name in names)
