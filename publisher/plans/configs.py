"""The configs that a command line names: all of them are read, and all their problems kept."""

from collections.abc import Mapping, Sequence

from schemas.errors import ConfigError
from schemas.source import Loaded, load_cells
from schemas.sweep import Spread

NO_SPREAD = Spread()


def load_all(
    files: Sequence[str], overrides: Sequence[str], spread: Spread = NO_SPREAD
) -> tuple[dict[str, list[Loaded]], dict[str, ConfigError]]:
    """The good ones, with every cell of those that are sweeps, and the refused ones, by file."""
    loaded: dict[str, list[Loaded]] = {}
    refused: dict[str, ConfigError] = {}
    for file in dict.fromkeys(files):
        try:
            loaded[file] = load_cells(file, overrides, spread)
        except ConfigError as error:
            refused[file] = error
    return loaded, refused


def all_problems(refused: Mapping[str, ConfigError]) -> ConfigError:
    """The problems of several files as one error; a wrong override is wrong once, not per file."""
    problems = [problem for error in refused.values() for problem in error.problems]
    said = {tuple(problem.lines()): problem for problem in problems}
    return ConfigError(list(said.values()), ", ".join(refused))
