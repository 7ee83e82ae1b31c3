"""What a config says: its values without those that are defaults anyway. The way back from a model
to what a person would have written."""

from typing import Any

from schemas.components.spec import Spec, usual_kind


def said(spec: Spec) -> dict[str, Any]:
    """The values that are no defaults, as plain JSON; a kind only where it is not the usual one."""
    written: dict[str, Any] = {}
    plain = spec.model_dump(mode="json")
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        usual = None if field.is_required() else field.get_default(call_default_factory=True)
        if not field.is_required() and value == usual:
            continue
        if isinstance(value, Spec):
            kind = getattr(value, "kind", "")
            named = kind != usual_kind(field) and bool(field.discriminator)
            written[name] = {**({"kind": kind} if named else {}), **said(value)}
        else:
            written[name] = plain[name]
    return written
