"""Reads pages as a browser would, and says whether they need anything but themselves."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image


class Reader(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(path: str | Path) -> Reader:
    return Reader(Path(path).read_text())


def insist_it_stands_alone(page: Reader) -> None:
    """No script, no address outside of the page, every picture whole."""
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "form", "base"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            if name in attributes:
                assert attributes[name].startswith("data:image/")
                shown = Image.open(io.BytesIO(base64.b64decode(attributes[name].split(",")[1])))
                shown.load()
    assert any("default-src 'none'" in meta.get("content", "") for meta in page.all("meta"))
