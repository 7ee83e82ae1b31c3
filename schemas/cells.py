"""All configs of a sweep, each checked word by word; what they share is checked once.

Knows no file: `schemas.source` reads the document and says what is wrong with a bad cell.
"""

from typing import Any

from pydantic import ValidationError

from schemas.config import TrainConfig
from schemas.document import Document
from schemas.overrides import put_all
from schemas.sweep import Step

WRONG = object()


class Cells:
    """Makes configs from one document and the steps of its axes.

    The check of a section looks at nothing but that section, so one that was checked stands in, as
    it is, wherever the same overrides make it again. Contradictions are looked for in every cell.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._parts: dict[tuple[str, Step], Any] = {}  # by section and what is put over it

    def config(self, step: Step) -> TrainConfig | None:
        """The config of a cell; None when there is anything to say against it."""
        over: dict[str, Step] = dict.fromkeys(self._document.mapping, ())
        for override in step:
            name = str(override.key[0])
            over[name] = (*over.get(name, ()), override)
        values = {name: self._part(name, own) for name, own in over.items()}
        if self._document.problems or WRONG in values.values():
            return None
        try:
            config = TrainConfig.model_validate(values)
        except ValidationError:
            return None
        for part in over.items():
            self._parts.setdefault(part, getattr(config, part[0]))
        return config

    def _part(self, name: str, step: Step) -> Any:
        """A section with a few overrides put over it: checked before, or as it is written."""
        if (name, step) in self._parts:
            return self._parts[name, step]
        one = self._document.copy()
        put_all(one, step)
        return WRONG if one.problems else one.mapping[name]
