"""The `trainer` command. Nothing heavy is imported before a command is chosen."""

import logging
import os
import sys

from trainer import imports, lifeline


def main() -> None:
    """`trainer train ...` for people, `attend --parent PID` for a worker, `rank ...` for both."""
    imports.begin()
    # read when torch loads; threads that spin while they wait steal the loader's cores
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.argv[1:2] == ["follow"]:
        follow(*sys.argv[2:])
    if sys.argv[1:2] == ["suggest"]:
        from trainer.search import suggest

        return suggest.answer()
    # timm imports it wherever it is installed: a second, threads, and a hook at our end
    sys.modules["wandb"] = None  # type: ignore[assignment]  # as the import system lets one say it
    if sys.argv[1:2] == ["attend"]:
        attend(int(sys.argv[3]))
    if sys.argv[1:2] == ["rank"]:
        rank(*sys.argv[2:])
    from trainer.entry.by_hand import app

    app(prog_name="trainer")


def attend(parent: int) -> None:
    """Live and die with the worker that started us; never returns."""
    if not lifeline.die_with(parent):
        os._exit(75)
    lifeline.adopt_orphans()
    from trainer.entry import attend as warm

    leave(warm.attend())


def rank(leader: str, events: str, wishes: str, order: str) -> None:
    """One of several processes of an attempt; never returns."""
    if not lifeline.die_with(int(leader)):
        os._exit(75)
    from schemas.events import Order
    from trainer.entry import ranks

    imports.done()
    pipes = int(leader), int(events), int(wishes)
    leave(ranks.work(*pipes, Order.model_validate_json(order)))


def follow(place: str, file: str, why: str = "") -> None:
    """Show the run of the trainer that started us elsewhere; never returns."""
    from pathlib import Path

    from trainer.tracking import follow as following

    sys.exit(following.follow(place, Path(file), why))


def leave(code: int) -> None:
    """End at once: loader processes and the watch threads end with us."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
