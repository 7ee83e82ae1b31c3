"""Waiting for a condition with a deadline; the one place of the suite that sleeps."""

import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import pytest

T = TypeVar("T")
PATIENCE_S = 40.0  # for whatever must come: a machine that stalls a process for seconds is no fault


def wait_until(condition: Callable[[], T], limit_s: float = PATIENCE_S, what: str = "") -> T:
    """The first true value of a condition, or a failure that says what was awaited."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {limit_s:g} s for {what or condition}")
        time.sleep(0.01)
    return value


def overslept() -> NoReturn:
    """For the few tests of a real trainer that cannot make it wait for them."""
    pytest.skip("this machine stalled the test for longer than the run takes")
