"""The `trainq` command: `trainq queue list` is `queue list`, where those names are taken."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

MODULES = {
    "publisher": "publisher",
    "queue": "publisher.queue_cli",
    "worker": "queue_worker",
    "trainer": "trainer",
}
USAGE = """Usage: trainq TOOL [ARGS]...

  One name for all tools: publisher, queue, worker, trainer.

  Examples:
    trainq publisher submit birds.yaml
    trainq queue list
    trainq worker --gpu 0"""


def command(tool: str, arguments: Sequence[str], folder: Path) -> list[str]:
    """What to execute: the sibling script in the same folder, or else the module."""
    script = folder / tool
    if os.access(script, os.X_OK) and script.is_file():
        return [str(script), *arguments]
    return [sys.executable, "-m", MODULES[tool], *arguments]


def main() -> None:
    tool, *arguments = sys.argv[1:] or ["-h"]
    if tool in MODULES:
        words = command(tool, arguments, Path(sys.argv[0]).parent)
        os.execv(words[0], words)
    if tool in {"-h", "--help"}:
        sys.stdout.write(USAGE + "\n")
        sys.exit(0 if sys.argv[1:] else 2)
    near = get_close_matches(tool, MODULES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"tools: {', '.join(MODULES)}"
    sys.stderr.write(f"error: there is no tool {tool!r}\n  try:   {hint}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
