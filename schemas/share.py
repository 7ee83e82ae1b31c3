"""Who is next, in one unit: seconds in line. The claim says the same in Lua (`_line.lua`). Pure.

A point of priority is worth a day of waiting. Every GPU second that a person used lately puts them
one second further back, halved every half-life and never more than one half-life in all: so the
heaviest user of all waits no longer than that.
"""

AGEING_S = 86400.0  # of waiting, that one point of priority is worth


def decayed(used_s: float, age_s: float, half_life_s: float) -> float:
    """What is left of GPU seconds after a while."""
    return float(used_s * 2 ** (-max(0.0, age_s) / half_life_s))


def place(seq: int, priority: int, shift: int = 0) -> float:
    """Microseconds; lower goes first among the runs of one person; a move to a place shifts it."""
    return seq - priority * AGEING_S * 1e6 + shift


def rank(seq: int, priority: int, used_s: float, half_life_s: float, shift: int = 0) -> float:
    """Microseconds; lower goes first among all."""
    return place(seq, priority, shift) + min(used_s, half_life_s) * 1e6
