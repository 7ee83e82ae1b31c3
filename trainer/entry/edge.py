"""What a disk, a pipe or a person at the terminal may do to any command: one line, an exit code."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from schemas.errors import TrainqError

INTERRUPTED = 130


class Edge(TyperGroup):
    """The group of all commands; what they foresee themselves they say themselves."""

    def invoke(self, ctx: Any) -> Any:  # the context of typer's own, private click
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()
        except TrainqError as error:
            say(error)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:  # a full disk, a folder that may not be written
            what, where = str(error.strerror or error).lower(), str(error.filename or "")
            say(TrainqError(what, where=where, fix="a place that may be written, with room"))
            raise typer.Exit(TrainqError.exit_code) from error
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        return answer


def say(error: TrainqError) -> None:
    typer.echo("\n".join(error.lines()), err=True)
