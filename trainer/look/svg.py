"""A chart as SVG inside a page, in the page's own colours."""

from functools import singledispatch

from trainer.look.html import Html, tag
from trainer.look.marks import Box, Chart, Dot, Line, Pixels, Words
from trainer.look.pictures import png_uri


def svg(chart: Chart) -> Html:
    """The whole chart; it is as wide as there is room for."""
    return tag(
        "svg",
        *(drawn(mark) for mark in chart.marks),
        viewBox=f"0 0 {chart.width:g} {chart.height:g}",
        role="img",
        aria_label=chart.says,
    )


@singledispatch
def drawn(mark: object) -> Html:
    """One mark."""
    raise TypeError(f"no SVG for {mark!r}")


@drawn.register
def _(mark: Line) -> Html:
    return tag(
        "polyline",
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points),
        fill="none",
        stroke=paint(mark.colour),
        stroke_width=f"{mark.width:g}",
        stroke_dasharray=" ".join(f"{length:g}" for length in mark.dashes),
    )


@drawn.register
def _(mark: Box) -> Html:
    return tag(
        "rect",
        *told(mark.says),
        x=f"{mark.left:.1f}",
        y=f"{mark.top:.1f}",
        width=f"{mark.width:.1f}",
        height=f"{mark.height:.1f}",
        fill=paint(mark.colour),
    )


@drawn.register
def _(mark: Dot) -> Html:
    x, y = mark.at
    return tag(
        "circle",
        *told(mark.says),
        cx=f"{x:.1f}",
        cy=f"{y:.1f}",
        r=f"{mark.radius:.1f}",
        fill=paint(mark.colour),
    )


@drawn.register
def _(mark: Words) -> Html:
    x, y = mark.at
    return tag(
        "text",
        mark.text,
        *told(mark.says),
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        text_anchor="" if mark.anchor == "start" else mark.anchor,
        fill=paint(mark.colour),
        font_size=f"{mark.size:g}",
    )


@drawn.register
def _(mark: Pixels) -> Html:
    return tag(
        "image",
        href=png_uri(mark.picture),
        x=f"{mark.left:g}",
        y=f"{mark.top:g}",
        width=f"{mark.width:g}",
        height=f"{mark.height:g}",
        class_="pixels",
        preserveAspectRatio="none",
    )


def paint(colour: str) -> str:
    return colour if colour.startswith("#") else f"var(--{colour})"


def told(says: str) -> list[Html]:
    return [tag("title", says)] if says else []
