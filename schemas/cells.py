"""All configs of a sweep, each checked word by word; what they share is checked once.

Knows no file: `schemas.source` reads the document and says what is wrong with a bad cell.
"""

from typing import Any

from pydantic import ValidationError

from schemas.components.spec import Spec
from schemas.config import TrainConfig
from schemas.contradictions.referee import Referee
from schemas.document import Document
from schemas.overrides import put_all
from schemas.sweep import Step

WRONG = object()
LEFT_OUT = object()  # the first config's default stands in for all others


class Cells:
    """Makes configs from one document and the steps of its axes.

    The check of a section looks at nothing but that section, so one that was checked stands in, as
    it is, wherever the same overrides make it again; contradictions between the same sections are
    looked for once.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._parts: dict[tuple[str, Step], Any] = {}  # by section and what is put over it
        self._alike: dict[tuple[str, ...], TrainConfig] = {}  # by the sections that steps touch
        self._right: set[tuple[tuple[str, Step], ...]] = set()  # sections that go well together
        self._referee = Referee()

    def config(self, step: Step) -> TrainConfig | None:
        """The config of a cell; None when there is anything to say against it."""
        touched: dict[str, Step] = {}
        for override in step:
            name = str(override.key[0])
            touched[name] = (*touched.get(name, ()), override)
        alike = self._alike.get(tuple(touched))
        if alike and all(part in self._parts for part in touched.items()):
            return self._with(alike, touched)
        config = self._checked(touched)
        if config:
            self._alike[tuple(touched)] = config
        return config

    def _with(self, alike: TrainConfig, touched: dict[str, Step]) -> TrainConfig | None:
        """Of parts that were checked only what is between sections is left to be looked for."""
        parts = {part[0]: self._parts[part] for part in touched.items()}
        config = alike.model_copy(update=parts)
        sections = tuple(part for part in touched.items() if isinstance(parts[part[0]], Spec))
        if sections not in self._right:
            if self._referee.contradictions(config):
                return None
            self._right.add(sections)
        return config

    def _checked(self, touched: dict[str, Step]) -> TrainConfig | None:
        over = dict.fromkeys((*TrainConfig.model_fields, *self._document.mapping), ()) | touched
        parts = {name: self._part(name, step) for name, step in over.items()}
        if self._document.problems or any(part is WRONG for part in parts.values()):
            return None
        values = {name: part for name, part in parts.items() if part is not LEFT_OUT}
        try:
            config = TrainConfig.model_validate(values, context=self._referee)
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
        return WRONG if one.problems else one.mapping.get(name, LEFT_OUT)
