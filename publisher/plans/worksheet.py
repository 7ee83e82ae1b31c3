"""Many waiting runs as one YAML text for an editor, and back, every mistake at its place. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from publisher.desk.clock import brief
from publisher.desk.options import parent_of, seconds_of
from publisher.plans.editing import Edit, edit_of, parents
from schemas.config import TrainConfig
from schemas.document import Document, tree_of
from schemas.errors import ConfigError, Problem, TrainqError, UsageError
from schemas.nearest import did_you_mean, nearest
from schemas.run import Parent, Run
from schemas.said import said
from schemas.source import Loaded, checked
from schemas.writing import dump
from schemas.yaml_tree import Pairs, Place, Tree

MOST = 50  # runs in one sheet; more than that is a case for key=value
SO = "nothing was changed"
HEAD = """\
# {runs}, held for you until {until}: nobody starts them meanwhile.
# Change values, save, close: everything is checked, and shown before it is applied.
# A run, or a key, that you delete stays as it is. A key that a config does not name has its
# default. An empty file changes nothing.
"""
KEYS = ("name", "priority", "after", "on", "time_limit", "config")


def sheet(runs: Sequence[Run], until: str) -> str:
    """The text that somebody edits."""
    number = "One run" if len(runs) == 1 else f"{len(runs)} runs"
    return HEAD.format(runs=number, until=until) + "".join(map(_block, runs))


def _block(run: Run) -> str:
    values: dict[str, Any] = {
        "name": run.name,
        "priority": run.priority,
        "after": parents(run),
        "on": run.needs_host or "any",
        "time_limit": _limit(run),
    }
    begun = "  # it has begun: its config stays\n" if run.attempt else ""
    if not run.attempt:
        values["config"] = _said(run)
    return f"\n{dump({run.id: values}).decode()}{begun}"


def _limit(run: Run) -> str:
    return brief(run.time_limit_s) if run.time_limit_s else "none"


def _said(run: Run) -> Mapping[str, Any]:
    """What its config says; all of it, where another version of trainq has written it."""
    try:
        return said(TrainConfig.model_validate(run.config))
    except ValidationError:
        return run.config


@dataclass(slots=True)
class _Reader:
    """Reads a sheet; notes every problem and goes on."""

    file: str
    runs: Mapping[str, Run]
    find: Callable[[str], str]  # the id that a name means
    problems: list[Problem] = field(default_factory=list)

    def edits(self, tree: Pairs) -> Iterator[Edit]:
        seen: set[str] = set()
        for name, part in tree.pairs:
            run = self.runs.get(name.text)
            if run is None:
                near = nearest(name.text, self.runs)
                hint = did_you_mean(near) if near else f"runs here: {', '.join(self.runs)}"
                self.note(name.place, f"no run '{name.text}' is in this sheet", help=hint)
            elif name.text in seen:
                self.note(name.place, f"run {name.text} stands here twice")
            elif isinstance(part, Pairs):
                yield self.edit(run, part)
            else:
                self.note(part.place, f"run {name.text} is a section of keys")
            seen.add(name.text)

    def edit(self, run: Run, part: Pairs) -> Edit:
        asked = tuple(pair for pair in part.pairs if pair[0].text != "config")
        document = Document(self.file)
        given = document.put((), Pairs(part.place, asked, part.size))
        self.problems += document.problems
        wanted: dict[str, Any] = {}
        for key, value in given.items():
            if key == "time_limit" and value == _limit(run):
                continue  # as it was written here: seconds are not shown
            try:
                wanted |= self.wanted(key, value)
            except TrainqError as error:
                place = document.place((key,), of_key=key not in KEYS)
                self.note(place, error.what, key=f"{run.id}.{key}", help=error.fix)
        configs = [tree for name, tree in part.pairs if name.text == "config"]
        loaded = self.config(configs[-1]) if configs else None
        try:
            return edit_of(run, wanted, loaded)
        except UsageError as error:
            self.note(configs[-1].place, error.what, help=error.fix)
            return Edit(run, {}, "")

    def wanted(self, key: str, value: Any) -> dict[str, Any]:
        """The field of the run that a key of the sheet means; UsageError says what is wrong."""
        if key not in KEYS:
            near = nearest(key, KEYS)
            fix = did_you_mean(near) if near else f"known here: {', '.join(KEYS)}"
            raise UsageError(f"unknown key '{key}'", fix=fix)
        if key == "priority":
            if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 1000:
                raise UsageError("must be a whole number from -1000 to 1000")
            return {"priority": value}
        if key == "after":
            return {"after": self.after(value)}
        text = str(value)
        if key == "time_limit":
            limit = 0.0 if text == "none" else seconds_of(text, "time_limit")
            return {"time_limit_s": limit}
        if not text or not text.isprintable() or not isinstance(value, str | int):
            raise UsageError("must be a word")
        return {"name": text} if key == "name" else {"needs_host": "" if text == "any" else text}

    def after(self, value: Any) -> tuple[Parent, ...]:
        if not isinstance(value, list):
            raise UsageError("must be a list of runs, as in [7f3k2p, 7f3k2r:any]")
        pairs = [parent_of(str(word)) for word in value]
        return tuple(Parent(id=self.find(name), on=end) for name, end in pairs)

    def config(self, tree: Tree) -> Loaded | None:
        document = Document(self.file)
        try:
            if not isinstance(tree, Pairs):
                raise ConfigError([tree.place.problem("a config is a section of keys")], self.file)
            document.mapping = document.put((), tree)
            return checked(document)
        except ConfigError as error:
            self.problems += error.problems
            return None

    def note(self, place: Place, message: str, *, key: str = "", help: str = "") -> None:
        self.problems.append(place.problem(message, key=key, help=help))


def read_sheet(
    text: str, file: str, runs: Sequence[Run], find: Callable[[str], str] = str
) -> list[Edit]:
    """What the edited text asks for; raises ConfigError with everything that is wrong."""
    if not any(row.strip() and not row.lstrip().startswith("#") for row in text.splitlines()):
        return []
    try:
        tree = tree_of(text, file)
    except ConfigError as error:
        raise ConfigError(error.problems, file, so=SO) from error
    if not isinstance(tree, Pairs):
        problem = tree.place.problem("a sheet is a set of runs, each a section of keys")
        raise ConfigError([problem], file, so=SO)
    reader = _Reader(file, {run.id: run for run in runs}, find)
    edits = list(reader.edits(tree))
    if reader.problems:
        raise ConfigError(sorted(reader.problems, key=lambda each: each.line), file, so=SO)
    return [each for each in edits if each]
