"""Waiting for a condition with a deadline; the one place of the suite that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def wait_until(condition: Callable[[], T], limit_s: float = 20.0, what: str = "") -> T:
    """The first true value of a condition, or a failure that says what was awaited."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    pytest.fail(f"waited {limit_s:g} s for {what or condition}")
