"""Importing without looking for garbage. Standard library only: it runs before torch loads.

Whatever torch, timm and scikit-learn make while they are imported stays. To have Python's collector
go over it, again and again as it grows, was a fifth of the time of importing it.
"""

import atexit
import gc

USUAL = gc.get_threshold()
ROOMY = 500_000  # objects between two looks, which are 700 else


def begin() -> None:
    """Hardly a look from here on, and none at what is left when the process ends."""
    gc.set_threshold(ROOMY)
    atexit.register(gc.freeze)


def done() -> None:
    """Before training: what holds a tensor in a circle is found soon, among what is made by now."""
    gc.freeze()
    gc.set_threshold(*USUAL)
