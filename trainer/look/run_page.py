"""The page of a run: pure, from what is known of it to HTML."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.components.data import px
from schemas.errors import count
from schemas.writing import dump
from trainer.judge import marking
from trainer.judge.marking import Answers, Marks
from trainer.judge.scores import Interval, PerClass
from trainer.labels.suspects import Suspect
from trainer.look import charts, doubted, html
from trainer.look.html import Html, tag
from trainer.look.marks import Chart
from trainer.look.picked import Answer, Picked
from trainer.look.subject import Subject
from trainer.look.svg import svg
from trainer.report import duration

WORST_CLASSES = 20  # of more the rest is folded


@dataclass(frozen=True, slots=True)
class Judged:
    """What a run said, its marks, and the images that are worth a look."""

    answers: Answers
    marks: Marks
    picked: Picked
    doubts: Sequence[Suspect]  # labels that may be wrong

    def names(self) -> list[str]:
        """Of all images that are shown, each once."""
        more = [each.image for each in self.doubts[: doubted.SHOWN]]
        return list(dict.fromkeys([*self.picked.names(), *more]))


@dataclass(frozen=True, slots=True)
class Views:
    """Of each image its addresses: as it is, and as the model saw it."""

    given: Mapping[str, str]
    seen: Mapping[str, str]


def page(
    subject: Subject, learning: Sequence[Chart], judged: Judged | None, views: Views, note: str
) -> bytes:
    """All of it; `note` says why there are no pictures."""
    parts = [header(subject, judged, note), learned(learning), folds(subject)]
    if judged:
        parts += [
            mistaken(judged, views),
            calibrated(judged),
            classes(judged),
            gallery(judged, views),
            sheets(judged, views),
            doubted.section(judged.doubts, judged.answers, views.given, subject),
        ]
    parts.append(particulars(subject))
    return html.page(f"{headline(subject)}: trainq report", *filter(None, parts))


def headline(subject: Subject) -> str:
    """What a tab, a bookmark and a mail say of it: name, id, and how good it was."""
    best = subject.result.best if subject.result else None
    score = f", {marking.title(best.metric)} {best.value:.4f}" if best else ""
    return f"{subject.title}{score}"


# ---- at the top ----------------------------------------------------------------------------------


def header(subject: Subject, judged: Judged | None, note: str) -> Html:
    """What it is, how it stands, how good it is."""
    config = subject.config
    what = f"{config.model.name} at {px(config.data.extent)} on {config.data.source.root}"
    lines = [tag("h1", subject.title), tag("p", what, class_="says")]
    lines.append(tag("p", state_of(subject), class_="" if subject.finished else "warn"))
    if judged is None:
        words = "What it said of its validation images is not kept: no scores, no pictures."
        lines.append(tag("p", words, class_="warn"))
    lines += [tag("p", note, class_="warn")] if note else []
    lines.append(tag("div", *tiles(subject, judged), class_="tiles"))
    if judged:
        given = judged.answers
        images, seen = len(given.true), int(judged.marks.each.seen.sum())
        text = f"{count(images, 'image')} of {seen} classes that it had not learnt from; "
        lines.append(tag("p", f"{text}95% intervals by drawing {given.drawn}.", class_="says"))
    return tag("header", *lines)


def state_of(subject: Subject) -> str:
    """How it stands, and what a gather run says of its folds."""
    state = subject.state()
    said = str(subject.result.facts.get("text", "")) if subject.result else ""
    return f"{state[:1].upper()}{state[1:]}" + (f": {said}" if said else "") + "."


def tiles(subject: Subject, judged: Judged | None) -> Iterator[Html]:
    """The few numbers that everybody asks for."""
    if judged:
        for name, value in judged.marks.values.items():
            likely = judged.marks.likely[name]
            yield tile(marking.title(name), f"{value:.4f}", between(likely))
        if bins := judged.marks.calibration:
            told = f"{bins.mean_confidence:.1%} sure, {judged.marks.values['accuracy']:.1%} right"
            yield tile("ECE", f"{bins.error:.4f}", told)
    result = subject.result
    if result and result.best and result.best.epoch:
        told = f"{result.best.metric} {result.best.value:.4f}"
        yield tile("best epoch", f"{result.best.epoch} of {len(subject.rows)}", told)
    elif subject.rows and not subject.gathers:
        yield tile("epochs", f"{len(subject.rows)} of {subject.config.train.epochs}", "")


def tile(name: str, value: str, more: str) -> Html:
    return tag(
        "div",
        tag("span", name, class_="faint"),
        tag("b", value),
        tag("span", more, class_="faint"),
        class_="tile",
    )


def between(likely: Interval) -> str:
    return f"{likely.low:.4f} to {likely.high:.4f}"


# ---- learning ------------------------------------------------------------------------------------


def learned(given: Sequence[Chart]) -> Html | None:
    """The curves."""
    if not given:
        return None
    return html.section("Learning", tag("div", *map(card, given), class_="grid"))


def card(chart: Chart, more: str = "") -> Html:
    return tag("figure", tag("h3", chart.says), svg(chart), more, class_="card")


def folds(subject: Subject) -> Html | None:
    """Of a k-fold: what each fold came to. What is missing is named."""
    if not subject.gathers:
        return None
    rows = []
    for fold in sorted(subject.folds, key=fold_number):
        result = fold.result
        values = result.metrics if result else {}
        rows.append(
            [
                fold_number(fold),
                fold.name,
                fold.state(),
                str(result.best.epoch) if result and result.best else "",
                *(f"{values[name]:.4f}" if name in values else "" for name in METRICS),
                duration(result.seconds) if result else "",
            ]
        )
    gathered = subject.result.metrics if subject.result else {}
    spread = [
        f"{gathered[name]:.4f} ± {gathered[f'{name}_std']:.4f}" if f"{name}_std" in gathered else ""
        for name in METRICS
    ]
    rows.append(["mean", "", "", "", *spread, ""])
    heads = ("fold", "run", "state", "best epoch", "loss", "accuracy", "macro F1", "time")
    absent = [part for part in subject.parts if part not in {fold.name for fold in subject.folds}]
    more = f" Not in this folder: {', '.join(absent)}." if absent else ""
    says = f"Each image is judged by the fold that had not learnt from it.{more}"
    return html.section("Folds", html.table(heads, rows), says=says)


METRICS = ("loss", "accuracy", "macro_f1")


def fold_number(fold: Subject) -> str:
    split = fold.config.data.split
    return str(split.fold) if split.kind == "kfold" else fold.name


# ---- scores --------------------------------------------------------------------------------------


def mistaken(judged: Judged, views: Views) -> Html:
    """What was taken for what."""
    names, matrix = judged.answers.classes, judged.marks.matrix
    chart = charts.confusion(matrix, names)
    size = f"width:{chart.width:g}px;max-width:{'none' if chart.width > 500 else '100%'}"
    wide = tag("div", tag("div", svg(chart), class_="matrix", style=size), class_="wide")
    inside: list[str] = [tag("figure", tag("h3", chart.says), wide, class_="card fit")]
    if judged.picked.confused:
        shown = [
            tag(
                "section",
                tag("h3", f"{names[pair.true]} taken for {names[pair.guessed]}: {pair.times}"),
                tag("div", *cells(pair.answers, views), class_="cells"),
                class_="card",
            )
            for pair in judged.picked.confused
        ]
        inside += [tag("h3", "Most confused"), tag("div", *shown, class_="grid")]
    return html.section("What is taken for what", *inside)


def calibrated(judged: Judged) -> Html | None:
    """How sure it was, and how often that was right."""
    bins, said = judged.marks.calibration, judged.answers.probabilities
    if bins is None or said is None:
        return None
    sure = charts.histogram(
        "confidence",
        "How sure it was of its answers",
        said.max(1).tolist(),
        "how sure it was",
        (0, 1),
    )
    says = (
        "Below the line it is surer than it should be; larger dots are more images. "
        "The expected calibration error is the mean distance to the line."
    )
    both = tag("div", card(charts.reliability(bins)), card(sure), class_="grid")
    return html.section("Calibration", both, says=says)


def classes(judged: Judged) -> Html:
    """Every class; of many the worst first, the others folded."""
    each, names = judged.marks.each, judged.answers.classes
    order = sorted(each.seen.nonzero()[0].tolist(), key=lambda label: (each.f1[label], label))
    rows = class_rows(each, names, order)
    heads = ("class", "images", "precision", "recall", "F1")
    inside = [html.table(heads, rows[:WORST_CLASSES])]
    if more := rows[WORST_CLASSES:]:
        inside.append(html.folded(f"{len(more)} better classes", html.table(heads, more)))
    tasks = [
        [words, f"{task.values['accuracy']:.4f}", f"{task.values['macro_f1']:.4f}"]
        for words, task in judged.marks.tasks.items()
    ]
    if tasks:
        inside.append(tag("h3", "Each task by itself"))
        inside.append(html.table(("task", "accuracy", "macro F1"), tasks))
    for task in judged.marks.tasks.values():
        inside.append(html.table(heads, class_rows(task.each, task.words, range(len(task.words)))))
    return html.section("Classes", *inside, says="The worst first.")


def class_rows(each: PerClass, names: Sequence[str], order: Iterable[int]) -> list[list[str]]:
    """A line a class, as a table shows it."""
    return [
        [
            names[label],
            f"{each.support[label]:,}",
            f"{each.precision[label]:.3f}",
            f"{each.recall[label]:.3f}",
            f"{each.f1[label]:.3f}",
        ]
        for label in order
    ]


# ---- pictures ------------------------------------------------------------------------------------


def gallery(judged: Judged, views: Views) -> Html | None:
    """The images whose truth was thought least likely."""
    worst, names = judged.picked.worst, judged.answers.classes
    wrong = int((judged.answers.true != judged.answers.guessed).sum())
    if not wrong:
        return html.section("Worst images", says="Every answer was right.")
    shown = [
        tag(
            "section",
            tag("h3", names[answer.true], tag("span", " is the truth", class_="faint")),
            both(answer, views),
            tag("ul", *tops(answer, names), class_="tops"),
            tag("p", answer.name, class_="faint"),
            class_="card",
        )
        for answer in worst
    ]
    says = f"{len(worst)} of {wrong:,} wrong answers: those whose truth was thought least likely."
    return html.section("Worst images", tag("div", *shown, class_="grid"), says=says)


def both(answer: Answer, views: Views) -> Html | str:
    """As it is, and as the model saw it."""
    pairs = ((views.given, "as given"), (views.seen, "as the model saw it"))
    shown = [
        tag(
            "figure",
            tag("img", src=found[answer.name], alt=f"{answer.name} {words}"),
            tag("figcaption", words),
        )
        for found, words in pairs
        if answer.name in found
    ]
    return tag("div", *shown, class_="pair") if shown else ""


def tops(answer: Answer, names: Sequence[str]) -> Iterator[Html]:
    """The likeliest classes, and the truth where it is not among them."""
    likely = list(answer.top)
    if answer.true not in dict(likely):
        likely.append((answer.true, answer.own))
    for label, chance in likely:
        true = label == answer.true
        name = tag("b", names[label], " (truth)") if true else tag("span", names[label])
        bar = tag("meter", value=f"{chance:.4f}", aria_label=f"{chance:.1%}")
        yield tag("li", name, tag("span", bar, f" {chance:.1%}", class_="chance"))


def sheets(judged: Judged, views: Views) -> Html | None:
    """A row a class: its worst mistakes, and what was surely right."""
    names, each = judged.answers.classes, judged.marks.each
    if not views.given:
        return None
    shown = [
        tag(
            "section",
            tag("h3", f"{names[one.label]}: F1 {each.f1[one.label]:.3f}"),
            tag("div", *cells((*one.wrong, *one.right), views, names), class_="cells"),
            class_="card",
        )
        for one in judged.picked.classes
    ]
    there = int((each.support > 0).sum())
    some = f"The {len(shown)} worst of {there} classes" if len(shown) < there else "Every class"
    says = f"{some}: the worst mistakes, framed, and the surest right answers."
    return html.section("Contact sheets", tag("div", *shown, class_="grid sheets"), says=says)


def cells(answers: Sequence[Answer], views: Views, names: Sequence[str] = ()) -> Iterator[Html]:
    """Small pictures with what was said of each; without names when that is said above them."""
    for answer in answers:
        if answer.name not in views.given:
            continue
        said = f"{answer.sure:.0%} sure"
        if names:
            said = f"{'right' if answer.right else f'taken for {names[answer.guessed]}'}, {said}"
        yield tag(
            "figure",
            tag("img", src=views.given[answer.name], alt=answer.name),
            tag("figcaption", said),
            class_="" if answer.right else "wrong",
        )


# ---- at the end ----------------------------------------------------------------------------------


def particulars(subject: Subject) -> Html:
    """What it was made of."""
    facts = [
        item
        for name, value in told(subject)
        if value
        for item in (tag("dt", name), tag("dd", value))
    ]
    config = tag("pre", dump(subject.config.canonical()).decode())
    rows: list[str] = []
    if subject.rows:
        heads = list(dict.fromkeys(name for row in subject.rows for name in row))
        lines = [
            [f"{row[name]:.6g}" if name in row else "" for name in heads] for row in subject.rows
        ]
        rows = [html.folded("Every epoch in numbers", html.table(heads, lines))]
    return html.section("Particulars", tag("dl", *facts), *rows, html.folded("Its config", config))


def told(subject: Subject) -> Iterator[tuple[str, str]]:
    """Names and values; what is not known is empty."""
    result, machine = subject.result, subject.machine
    facts = result.facts if result else {}
    yield "attempt", subject.attempt.path.name
    yield "config", subject.config.digest()[:12]
    yield "data", str(facts.get("data", ""))[:12]
    yield "split", str(facts.get("split", ""))[:12]
    yield "parameters", f"{facts['parameters']:,}" if "parameters" in facts else ""
    yield "precision", str(facts.get("precision", ""))
    yield "trained on", str(machine.get("device", ""))
    yield "seconds", f"{result.seconds:,.0f}" if result else ""
    yield "images a second", f"{result.images_per_s:,.0f}" if result and result.images_per_s else ""
    yield "weights", str(facts.get("weights", ""))
    yield "source", str(machine.get("code", {}).get("commit", ""))[:12]
    versions = machine.get("versions", {})
    yield "versions", ", ".join(f"{name} {number}" for name, number in versions.items())
