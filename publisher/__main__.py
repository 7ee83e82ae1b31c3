"""The `publisher` command line."""

import sys

import typer

from publisher.commands.schema import schema
from publisher.commands.validate import validate
from schemas.errors import TrainqError

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command()(validate)
app.command()(schema)


def main() -> None:
    """Run a command; a person's mistake is a few lines and an exit code."""
    try:
        app()
    except TrainqError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
