"""A chart of values and where each would lie with other people. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.judge.scores import Interval
from trainer.look import axes
from trainer.look.axes import Axes, span, steps
from trainer.look.charts import MOST_LABEL, ROW, WIDTH
from trainer.look.marks import LETTER, SMALL, Chart, Dot, Line, Mark, Words, cut

TOP = 6.0


@dataclass(frozen=True, slots=True)
class Range:
    """A name with its value; what is no run, such as an ensemble, has another colour."""

    name: str
    value: float
    likely: Interval
    other: bool = False


def ranges(name: str, says: str, given: Sequence[Range], under: str) -> Chart:
    """A row each; the line is at the first one's value."""
    label = min(max(len(each.name) for each in given) * SMALL * LETTER + 12, MOST_LABEL)
    ends = [end for each in given for end in (each.likely.low, each.likely.high, each.value)]
    high = ROW * len(given) + TOP
    x = span(ends)
    place = Axes(label, TOP, WIDTH - label - axes.RIGHT, high, x, (0, 1))
    found: list[Mark] = [*place.drawn(under, steps(*x), [])]
    first, _ = place.at(given[0].value, 0)
    found.append(Line([(first, TOP), (first, place.floor)], "faint", 1, (3, 3)))
    for row, each in enumerate(given):
        height, colour = TOP + ROW * (row + 0.5) + TOP / 2, "s1" if each.other else "s0"
        low, value, top = (
            place.at(number, 0)[0] for number in (each.likely.low, each.value, each.likely.high)
        )
        told = f"{each.name}: {each.value:.4f} ({each.likely.low:.4f} to {each.likely.high:.4f})"
        found.append(Words((label - 8, height + 4), cut(each.name, label - 10), "end", says=told))
        found.append(Line([(low, height), (top, height)], colour, 2))
        found += [Line([(end, height - 4), (end, height + 4)], colour, 2) for end in (low, top)]
        found.append(Dot((value, height), 4, colour, told))
    return Chart(name, says, WIDTH, TOP + high + axes.BOTTOM, found)
