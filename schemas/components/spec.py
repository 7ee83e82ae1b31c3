"""The catalogue's one rule: a small frozen spec for each thing a config can choose.

A spec says what, never how: `trainer` dispatches on its type. A component's name is the `kind`
literal of its spec, and every default stands in its spec and nowhere else.
"""

from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.fields import FieldInfo

Count = Annotated[int, Field(strict=True, ge=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
NonNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Fraction = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
BelowOne = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
Part = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, lt=1)]
Portion = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1)]
Switch = Annotated[bool, Field(strict=True)]


def below_the_root(path: str) -> str:
    """A name below the data root: each host has its own, and nothing may point out of it."""
    if path.startswith("/") or ".." in path.split("/") or "\\" in path:
        raise ValueError("must be relative, below the data root (TRAINQ_DATA), without '..'")
    return path


PATH = r"^[^\x00-\x1f\x7f]+$"
RelativePath = Annotated[
    str, StringConstraints(pattern=PATH, max_length=400), AfterValidator(below_the_root)
]


class Spec(BaseModel):
    """Frozen; an unknown key is an error, not a wish."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True
    )

    @model_validator(mode="before")
    @classmethod
    def a_part_without_kind_is_of_the_default_kind(cls, values: Any) -> Any:
        """`augment: {hflip: 0}` means the kind that an empty config has."""
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        for name, field in cls.model_fields.items():
            part = values.get(name)
            if field.discriminator and isinstance(part, dict) and "kind" not in part:
                filled[name] = {"kind": usual_kind(field), **part}
        return filled


def usual_kind(field: FieldInfo) -> str:
    """The kind that is meant where none is written: of a part that must be there, the first."""
    if field.is_required():
        first = (*get_args(field.annotation), field.annotation)[0]
        return str(getattr(first, "model_fields", {})["kind"].default) if _is_kind(first) else ""
    return getattr(field.get_default(call_default_factory=True), "kind", "")


def _is_kind(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, Spec) and "kind" in one.model_fields
