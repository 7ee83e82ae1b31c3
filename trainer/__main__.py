"""The `trainer` command. Nothing heavy is imported before a command is chosen."""

import logging
import os
import sys

from trainer import lifeline


def main() -> None:
    """`trainer train ...` for people, `trainer attend --parent PID` for a worker."""
    # read when torch loads; threads that spin while they wait steal the loader's cores
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.argv[1:2] == ["attend"]:
        attend(int(sys.argv[3]))
    from trainer.by_hand import app

    app()


def attend(parent: int) -> None:
    """Live and die with the worker that started us; never returns."""
    if not lifeline.die_with(parent):
        os._exit(75)
    lifeline.adopt_orphans()
    from trainer import attend as warm

    code = warm.attend()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # loader processes and the watch thread end with us


if __name__ == "__main__":
    main()
