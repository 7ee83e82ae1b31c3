"""HTML in which nothing stays unescaped by oversight: text is text until a tag is made of it.

A page needs no script and no network: its policy forbids both, and its pictures are inside.
"""

from collections.abc import Iterable, Sequence
from html import escape

from trainer.look import palette

VOID = {"img", "meta", "br"}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *inside: str, **attributes: str | float) -> Html:
    """An element; `class_` is for class, `stroke_width` for stroke-width."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{safe(str(value))}"'
        for key, value in attributes.items()
        if value != ""
    )
    if name in VOID:
        return Html(f"<{name}{words}>")
    return Html(f"<{name}{words}>{joined(inside)}</{name}>")


def joined(parts: Iterable[str]) -> Html:
    """Markup as it is, everything else as text."""
    return Html("".join(part if isinstance(part, Html) else safe(part) for part in parts))


def safe(text: str) -> str:
    """Text for a page; what a file's name can hold and a page cannot becomes a question mark."""
    fit = "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)
    return escape(fit)


def page(title: str, *sections: str) -> bytes:
    """A whole document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        Html(f"<style>{style()}</style>"),
    )
    whole = tag("html", head, tag("body", tag("main", *sections)), lang="en")
    return f"<!doctype html>\n{whole}\n".encode()


def section(title: str, *inside: str, says: str = "") -> Html:
    """A part of the page under a heading, which its address can name."""
    name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    said = [tag("p", says, class_="says")] if says else []
    return tag("section", tag("h2", title), *said, *inside, id=name)


def table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> Html:
    """A table whose first column names the row; of the others numbers stand to the right."""
    cells = [list(row) for row in rows]
    kinds = [numeric([row[place] for row in cells if row]) for place, _ in enumerate(heads)]
    body = [
        tag(
            "tr",
            tag("th", first, scope="row"),
            *(tag("td", cell, class_=kind) for cell, kind in zip(rest, kinds[1:], strict=True)),
        )
        for first, *rest in cells
    ]
    columns = zip(heads, ["", *kinds[1:]], strict=True)
    named = (tag("th", head, scope="col", class_=kind) for head, kind in columns)
    top = tag("thead", tag("tr", *named))
    return tag("div", tag("table", top, tag("tbody", *body)), class_="wide")


def numeric(column: Iterable[str]) -> str:
    """The class of a column that holds numbers and nothing else."""
    return "number" if all(cell.lstrip("+-")[:1].isdigit() for cell in column if cell) else ""


def folded(summary: str, *inside: str) -> Html:
    """Something long that opens when it is asked; on paper it is open."""
    return tag("details", tag("summary", summary), *inside)


def style() -> str:
    """Light and dark by what the reader prefers; paper is light."""
    dark = "@media screen and (prefers-color-scheme:dark){:root{" + roles(palette.DARK) + "}}"
    return f":root{{{roles(palette.LIGHT)}}}{dark}{CSS}"


def roles(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


CSS = """
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:16px}
h1{font-size:1.6rem;margin:.2em 0;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2em 0 .4em;padding-top:.6em;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:0 0 .3em;overflow-wrap:anywhere}
p{margin:.4em 0;max-width:75ch;overflow-wrap:anywhere}
.says,figcaption,.faint,dt{color:var(--faint);font-size:.9rem}
.warn{border-left:4px solid var(--bad);padding:.2em .8em;background:var(--card)}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
.sheets .cells{grid-template-columns:repeat(3,minmax(0,1fr))}
.cells{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(100px,1fr));
align-items:start}
.cells img{width:100%;aspect-ratio:1;object-fit:contain}
h3+.grid{margin-top:8px}
.grid+h3,.card+h3,.wide+h3,.grid+.wide,.grid+p{margin-top:20px}
.card{background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:12px;margin:0;
min-width:0;break-inside:avoid}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:12px 0}
.tile{background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:8px 16px}
.tile b{display:block;font-size:1.5rem;line-height:1.3;font-variant-numeric:tabular-nums}
figure{margin:0;break-inside:avoid;min-width:0}
figcaption{overflow-wrap:anywhere;line-height:1.35;margin-top:4px}
img{display:block;max-width:100%;height:auto;border:1px solid var(--grid)}
.wrong img{border:3px solid var(--bad)}
.pair{display:flex;gap:8px;margin:6px 0}
.pair figure{flex:1}
.pair img{width:100%;aspect-ratio:1;object-fit:contain}
.doubt{display:flex;gap:12px;align-items:flex-start}
.doubt img{width:104px;flex:none;aspect-ratio:1;object-fit:contain}
.doubt>div{flex:1;min-width:0}
svg{display:block;width:100%;height:auto;max-width:540px}
svg text{font-family:inherit}
svg .pixels{image-rendering:pixelated}
.wide{overflow-x:auto;max-width:100%}
.matrix svg{max-width:none;min-width:340px}
.fit{width:fit-content;max-width:100%}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:.25em .6em .25em 0;border-bottom:1px solid var(--grid);text-align:left;
vertical-align:top}
tbody th{font-weight:400;overflow-wrap:anywhere;min-width:6em;max-width:26em}
.number{text-align:right;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15em 1em;margin:.6em 0}
dd{margin:0;overflow-wrap:anywhere}
details{margin:.8em 0}
summary{cursor:pointer;padding:.3em 0;color:var(--good)}
pre{background:var(--card);border:1px solid var(--grid);padding:12px;overflow-x:auto;
font-size:.85rem}
meter{width:4em;height:.7em;vertical-align:baseline}
.tops{list-style:none;margin:.3em 0 0;padding:0;font-size:.9rem}
.chance{flex:none;width:8.5em;text-align:right;font-variant-numeric:tabular-nums}
.chance meter{float:left;margin-top:.4em}
.tops li{display:flex;justify-content:space-between;gap:8px;overflow-wrap:anywhere}
@media print{main{max-width:none;padding:0}h2{break-after:avoid}
details:not([open])::details-content{content-visibility:visible;block-size:auto}
.wide{overflow:visible}body{font-size:11pt}}
"""
