"""Numbers on paper: round steps, and where a value lies. Pure."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainer.look.marks import Line, Mark, Point, Words

Label = Callable[[float], str]
LEFT, RIGHT, BOTTOM = 50.0, 20.0, 36.0  # room for numbers, for half of the last one, for both rows
AIR = 0.06  # of the span, above and below the values
GAP = 6.0


def steps(low: float, high: float, about: int = 4, whole: bool = False) -> list[float]:
    """Round numbers from low to high, about so many."""
    rough = (high - low) / about or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999)
    if whole:
        step = max(1.0, float(math.ceil(step)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def plain(value: float) -> str:
    """A number as short as it can be said."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        mantissa, _, power = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    return f"{value:g}"


@dataclass(frozen=True, slots=True)
class Axes:
    """A field on a sheet, and the values at its edges."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> Point:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * self.width, self.top + (1 - up) * self.height

    @property
    def floor(self) -> float:
        return self.top + self.height

    def drawn(
        self,
        under: str,
        across: Sequence[float],
        up: Sequence[float],
        labels: tuple[Label, Label] = (plain, plain),
    ) -> Iterable[Mark]:
        """Grid, numbers, and what lies on the lower edge."""
        for value in up:
            _, height = self.at(self.x[0], value)
            yield Line([(self.left, height), (self.left + self.width, height)], "grid")
            yield Words((self.left - GAP, height + 4), labels[1](value), "end", "faint")
        for value in across:
            place, _ = self.at(value, self.y[0])
            yield Line([(place, self.floor), (place, self.floor + 4)], "faint")
            yield Words((place, self.floor + 16), labels[0](value), "middle", "faint")
        yield Line([(self.left, self.floor), (self.left + self.width, self.floor)], "faint")
        yield Words((self.left + self.width / 2, self.floor + 31), under, "middle", "faint")


def span(values: Iterable[float]) -> tuple[float, float]:
    """From the smallest to the largest, with some air; never nothing."""
    found = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(found), max(found)
    air = (high - low) * AIR or abs(high) * AIR or 1.0
    return (max(0.0, low - air) if low >= 0 else low - air), high + air
