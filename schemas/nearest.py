"""Which keys a config knows, and which key or value a person may have meant. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, get_args, get_origin

from pydantic.fields import FieldInfo

from schemas.components.spec import Spec, usual_kind
from schemas.config import TrainConfig
from schemas.keys import Key, dotted


@dataclass(frozen=True, slots=True)
class Section:
    """A place of the config that has keys of its own: one spec, or one of several kinds."""

    kinds: Mapping[str, type[Spec]]
    default: str  # the kind that is meant where none is written; "" where one must be
    many: bool = False  # a list of them

    def spec(self, kind: object) -> type[Spec] | None:
        """The spec of this kind, or the only one there is."""
        if len(self.kinds) == 1:
            return next(iter(self.kinds.values()))
        return self.kinds.get(str(kind or self.default))


@cache
def sections() -> Mapping[Key, Section]:
    """Every section of a config by its key; the config itself is at ()."""
    return dict(_sections((), Section({"": TrainConfig}, "")))


@cache
def known_keys() -> tuple[str, ...]:
    """Every key and every section, dotted, of every kind."""
    found = {
        ".".join(map(str, (*key, name))): None
        for key, section in sections().items()
        for spec in section.kinds.values()
        for name in spec.model_fields
    }
    return tuple(found)


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that a word may have meant, or nothing."""
    by_fold, folded = {_folded(choice): choice for choice in choices}, _folded(word)
    close = get_close_matches(folded, by_fold, 1, 0.6)
    close += [each for each in by_fold if sorted(each) == sorted(folded)]  # `rl` is far from `lr`
    return by_fold[close[0]] if close else ""


def hint_for_key(key: Key, siblings: Sequence[str]) -> str:
    """What to write instead of a key that nobody knows, seen among those of its section."""
    name = str(key[-1])
    if close := nearest(name, siblings) or _elsewhere(name):
        return did_you_mean(close)
    return f"known here: {', '.join(siblings)}"


def hint_for_path(key: Key) -> str:
    """The same for a path that may go wrong anywhere."""
    if section := sections().get(key[:-1]):
        names = dict.fromkeys(n for spec in section.kinds.values() for n in spec.model_fields)
        if close := nearest(str(key[-1]), names):
            return did_you_mean(dotted((*key[:-1], close)))
        return hint_for_key(key, list(names))
    close = nearest(dotted(key), known_keys()) or _elsewhere(str(key[-1]))
    return did_you_mean(close) if close else "`publisher schema` has all keys"


def did_you_mean(word: str) -> str:
    """The hint itself."""
    return f"did you mean '{word}'?"


def _elsewhere(name: str) -> str:
    """The known key that ends with this word, or with one near it."""
    leaves: dict[str, str] = {}
    for known in known_keys():
        leaves.setdefault(known.rpartition(".")[2], known)
    return leaves.get(name) or leaves.get(nearest(name, leaves), "")


def _sections(key: Key, section: Section) -> Iterator[tuple[Key, Section]]:
    yield key, section
    for spec in section.kinds.values():
        for name, field in spec.model_fields.items():
            if inner := _section(field):
                yield from _sections((*key, name), inner)


def _section(field: FieldInfo) -> Section | None:
    """What a field holds when it is not a plain value."""
    types = get_args(field.annotation) or (field.annotation,)
    many = get_origin(field.annotation) is tuple
    if many and get_origin(types[0]) is Annotated:  # a list of one of several kinds
        types = get_args(get_args(types[0])[0])
    specs = [one for one in types if isinstance(one, type) and issubclass(one, Spec)]
    kinds = {_kind(spec): spec for spec in specs}
    return Section(kinds, "" if many else usual_kind(field), many) if kinds else None


def _kind(spec: type[Spec]) -> str:
    field = spec.model_fields.get("kind")
    return str(field.default) if field else ""


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")
