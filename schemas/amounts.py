"""Amounts as people write them on a command line."""

import re

from schemas.errors import UsageError

MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([GM])(?:i?B)?", re.IGNORECASE)


def megabytes_of(text: str, flag: str) -> int:
    """`12G`, `12GB`, `900MB`; nothing for 0."""
    if not text:
        return 0
    found = MEMORY.fullmatch(text)
    if not found or not float(found[1]):
        raise UsageError(f"{flag} '{text}' is no amount of memory", fix=f"{flag} 12GB")
    return round(float(found[1]) * (1024 if found[2] in "Gg" else 1))
