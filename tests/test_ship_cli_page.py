"""docs/cli.md is what the commands say of themselves."""

import importlib.util
from pathlib import Path
from types import ModuleType

TOOLS = {"publisher", "queue", "worker", "trainer"}
ROOT = Path(__file__).parents[1]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cli_page", ROOT / "docs" / "cli.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_is_fresh() -> None:
    written = (ROOT / "docs" / "cli.md").read_text()
    assert written == generator().page(), "make docs"


def test_every_help_fits_80_columns_and_has_examples_and_exit_codes() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    wide = [row.split()[0] for row in page.splitlines() if len(row) > 80]
    assert set(wide) <= TOOLS  # an example may be as long as it has to be
    for section in page.split("\n### ")[1:]:
        title = section.splitlines()[0]
        if title.startswith(("publisher ", "queue ")):
            assert "Exit codes:" in section and f"Examples:\n    {title[:5]}" in section, title
