"""A run as one HTML page that carries everything in itself: no script, no other file. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from trainer import charts, marking, scores
from trainer.failures import Failure
from trainer.marking import Answers, Marks

MATRIX_UP_TO = 60  # classes; of more only the pairs that are confused most
PAIRS = 15
WORST = 25  # classes in the table
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#24292f;background:#fff;margin:2rem auto;
max-width:1080px;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
.quiet{color:#57606a}
.row{display:flex;flex-wrap:wrap;gap:1rem 1.2rem;align-items:flex-start}
svg{max-width:100%;height:auto;font-family:system-ui,sans-serif}
table{border-collapse:collapse}td,th{padding:.15rem .7rem .15rem 0;text-align:right}
td:first-child,th:first-child,td.word,th.word{text-align:left}th{border-bottom:1px solid #d0d7de}
.numbers{font-variant-numeric:tabular-nums}.big{font-size:1.5rem;font-weight:600}
.card{border:1px solid #d0d7de;border-radius:6px;padding:.6rem;width:336px;
box-sizing:border-box;break-inside:avoid}
.card img{width:145px;height:145px;object-fit:contain;background:#f6f8fa;border-radius:3px}
.card .names{font-size:.8rem;overflow-wrap:anywhere}
.bar{display:grid;grid-template-columns:1fr 120px 34px;gap:.4rem;font-size:.8rem;align-items:center}
.bar b{display:block;height:8px;background:#d55e00;border-radius:2px;min-width:1px}
.bar.truth{font-weight:600}.bar.truth b{background:#0072b2}
pre{background:#f6f8fa;padding:1rem;overflow:auto;font-size:.8rem}
"""


@dataclass(frozen=True, slots=True)
class Story:
    """All that a page tells."""

    title: str
    facts: Mapping[str, str]
    answers: Answers
    marks: Marks
    rows: Sequence[Mapping[str, float]] = ()  # of metrics.csv
    best_epoch: int | None = None
    failures: Sequence[Failure] = ()
    wrong: int = 0
    without: str = ""  # why no pictures are shown
    config: str = ""
    notes: Sequence[str] = field(default_factory=list)


def page(story: Story) -> str:
    """The whole page."""
    parts = [
        f"<h1>{escape(story.title)}</h1>",
        facts(story),
        scores_of(story),
        curves(story),
        confusion(story),
        classes(story),
        gallery(story),
        f"<details><summary>Config</summary><pre>{escape(story.config)}</pre></details>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(story.title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{chr(10).join(filter(None, parts))}\n</body></html>\n"
    )


def facts(story: Story) -> str:
    words = " · ".join(f"{escape(name)} {escape(value)}" for name, value in story.facts.items())
    notes = "".join(f"<p>{escape(note)}</p>" for note in story.notes)
    return f'<p class="quiet">{words}</p>{notes}'


def scores_of(story: Story) -> str:
    """Every score with its interval; how sure it was."""
    found = story.marks
    cells = [
        f'<div><div class="quiet">{escape(marking.title(name))}</div>'
        f'<div class="big numbers">{value:.4f}</div>'
        f'<div class="quiet numbers">{found.likely[name].low:.4f} .. '
        f"{found.likely[name].high:.4f}</div></div>"
        for name, value in found.values.items()
    ]
    bins = found.calibration
    drawing = ""
    if bins:
        cells.append(
            f'<div><div class="quiet">ECE</div><div class="big numbers">{bins.error:.4f}</div>'
            f'<div class="quiet">{bins.mean_confidence:.1%} sure, '
            f"{found.values['accuracy']:.1%} right</div></div>"
        )
        columns = bins.confidence.tolist(), bins.accuracy.tolist(), bins.images.tolist()
        drawing = charts.calibration(list(zip(*columns, strict=True)))
    tasks = [
        (words, f"{values['accuracy']:.4f}", f"{values['macro_f1']:.4f}")
        for words, values in found.tasks.items()
    ]
    apart = table(("task", "accuracy", "macro F1"), tasks) if tasks else ""
    images = f"{len(story.answers.true):,} images"
    return (
        f'<h2>Scores</h2><div class="row">{"".join(cells)}</div>'
        f'<p class="quiet">{images}; 95% intervals by drawing {escape(story.answers.drawn)}</p>'
        f'<div class="row">{apart}{drawing}</div>'
    )


def curves(story: Story) -> str:
    """Loss, scores and rate over the epochs."""
    groups = {
        "loss": {"train": "train_loss", "validation": "loss"},
        "score": {"accuracy": "accuracy", "macro F1": "macro_f1"},
        "learning rate": {"lr": "lr"},
    }
    drawn = []
    for title, names in groups.items():
        series = {
            label: points
            for label, column in names.items()
            if (points := [(row["epoch"], row[column]) for row in story.rows if column in row])
        }
        drawn.append(charts.lines(title, series, story.best_epoch))
    if not any(drawn):
        return ""
    best = f"; best epoch {story.best_epoch}" if story.best_epoch else ""
    return (
        f'<h2>Learning curves</h2><div class="row">{"".join(drawn)}</div>'
        f'<p class="quiet">by epoch{best}</p>'
    )


def confusion(story: Story) -> str:
    """Who is taken for whom."""
    matrix, names = story.marks.matrix, story.answers.classes
    pairs = [
        (names[true], names[guessed], f"{times:,}", f"{times / max(matrix[true].sum(), 1):.0%}")
        for true, guessed, times in scores.confused(matrix, PAIRS)
    ]
    drawn = charts.matrix(matrix.tolist(), names) if len(names) <= MATRIX_UP_TO else ""
    listed = table(("truth", "taken for", "images", "of them"), pairs, words=2) if pairs else ""
    return f'<h2>Confusion</h2><div class="row">{drawn}{listed}</div>'


def classes(story: Story) -> str:
    """Precision and recall, the worst first."""
    each = story.marks.each
    order = sorted(np.flatnonzero(each.seen).tolist(), key=lambda label: (each.f1[label], label))
    rows = [
        (
            story.answers.classes[label],
            f"{each.support[label]:,}",
            *(f"{value[label]:.3f}" for value in (each.precision, each.recall, each.f1)),
        )
        for label in order[:WORST]
    ]
    more = f'<p class="quiet">{len(order) - WORST} better ones</p>' if order[WORST:] else ""
    heads = ("class", "images", "precision", "recall", "F1")
    return f"<h2>Classes, the worst first</h2>{table(heads, rows)}{more}"


def gallery(story: Story) -> str:
    """The worst failures; left as the image is, right as the model saw it."""
    if not story.failures:
        return "<h2>Failures</h2><p>No answer is wrong.</p>"
    cards = "".join(card(failure) for failure in story.failures)
    without = f"<p>No pictures: {escape(story.without)}</p>" if story.without else ""
    return (
        f"<h2>Failures</h2><p class='quiet'>{len(story.failures)} of {story.wrong:,} wrong "
        "answers, those first where the truth was said to be least likely. Left the image as it "
        f"is, right as the model saw it.</p>{without}<div class='row'>{cards}</div>"
    )


def card(failure: Failure) -> str:
    shown = "".join(
        f'<img src="{uri}" alt="{what}" title="{what}"> '
        for uri, what in ((failure.given, "as it is"), (failure.seen, "as the model saw it"))
        if uri
    )
    likely = list(failure.likely)
    if failure.truth not in dict(likely):
        likely.append((failure.truth, failure.of_truth))
    bars = "".join(
        f'<div class="bar{" truth" if name == failure.truth else ""}"><span>{escape(name)}</span>'
        f'<b style="width:{100 * share:.0f}%"></b><span>{share:.2f}</span></div>'
        for name, share in likely
    )
    return f'<div class="card">{shown}<div class="names">{escape(failure.name)}</div>{bars}</div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], words: int = 1) -> str:
    """A table; so many columns at its left are words."""

    def line(tag: str, cells: Sequence[Any]) -> str:
        return "".join(
            f"<{tag}{' class=word' if place < words else ''}>{escape(str(cell))}</{tag}>"
            for place, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f'<table class="numbers"><tr>{line("th", heads)}</tr>{body}</table>'
