"""What no single key of a config can know to be wrong: two parts that are right alone."""

from typing import NamedTuple


class Contradiction(NamedTuple):
    """Two keys that are right alone and wrong together."""

    key: str  # the one to point at
    text: str
    others: tuple[str, ...] = ()
    help: str = ""
