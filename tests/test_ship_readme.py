"""README.md says what is so: files, links, commands, flags, exit codes, settings and messages."""

import re
import subprocess
from pathlib import Path

import pytest

from publisher.pages import render
from schemas.errors import EXIT_CODES
from schemas.events import ExitCode
from schemas.settings import Settings
from schemas.source import read

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
HELP = (ROOT / "docs" / "cli.md").read_text()
TOOLS = {"publisher", "queue", "worker", "trainer"}
LOGIN = "login name"


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S)
    return [text for name, text in fenced if name == language]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def commands() -> list[str]:
    """Every command of ours that the README shows, in blocks and in running text."""
    shown = [line for block in blocks("sh") for line in block.splitlines()]
    shown += [line[2:] for line in TEXT.splitlines() if line.startswith("$ ")]
    shown += re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S))
    shown = [command.removeprefix("trainq ") for command in shown]
    return [command for command in shown if command.split(" ")[0] in TOOLS and " " in command]


def help_of(*words: str) -> str:
    """What `--help` says: docs/cli.md, of which another test knows that it is fresh."""
    (text,) = re.findall(rf"^#+ {' '.join(words)}$\n(.*?)(?=^#+ |\Z)", HELP, re.M | re.S)
    return str(text)


def test_every_command_shown_exists_with_its_flags() -> None:
    assert len(commands()) > 20
    for command in commands():
        program, *rest = command.split()
        flags = [word for word in rest if re.match(r"--?[a-z]", word)]
        verb = rest[:1] if program != "worker" and rest[0] not in flags else []
        said = help_of(program, *verb)
        missing = [flag for flag in flags if not re.search(rf"(?<![\w-]){flag}\b", said)]
        assert not missing, f"{command}: {missing}"


@pytest.mark.parametrize("program", ["publisher", "queue"])
def test_table_of_commands_has_every_verb(program: str) -> None:
    listed = set(re.findall(rf"`{program} (\w+)", section("Commands").split("\nA run")[0]))
    known = set(re.findall(r"^  (\w+)  ", help_of(program).split("Commands:")[1], re.M))
    assert listed == known


def test_tree_names_only_what_is_there() -> None:
    folder, named = ROOT, set()
    for line in blocks("")[1].splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else ROOT
        assert (folder / name).exists(), name
        named.add(name.rstrip("/"))
        if name.endswith("/") and not line.startswith(" "):
            folder = ROOT / name
    listing = subprocess.check_output(["git", "ls-files", "*/*"], cwd=ROOT, text=True)
    folders = {line.split("/")[0] for line in listing.splitlines() if not line.startswith(".")}
    assert folders - {"docs"} <= named


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert f"\n## {target[1:].capitalize()}\n" in TEXT
        elif "://" not in target:
            assert (ROOT / target).exists(), target


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`?make ([a-z]+)", "\n".join(blocks("sh")))) <= targets
    assert set(re.findall(r"`make ([a-z]+)`", TEXT)) <= targets


def test_configs_shown_are_valid() -> None:
    assert blocks("yaml")
    for block in blocks("yaml"):
        read(block, "README.md")


def test_picture_of_the_list_has_its_columns() -> None:
    titles = re.split(r"\s{2,}", blocks("")[0].splitlines()[1].strip())
    empty = {"PRIO", "AFTER", "GPUS", "MEMORY"}  # of columns that hold nothing there is no title
    assert titles == [column.title for column in render.LIST if column.title not in empty]


def test_exit_codes_are_those_of_help() -> None:
    told = " ".join(EXIT_CODES.split()).removeprefix("Exit codes: ").removesuffix(".")
    assert "; ".join(f"{code} {meaning}" for code, meaning in rows("Exit codes")) == told
    own = ", ".join(f"{code.value} {code.name.lower()}" for code in ExitCode)
    assert f"`trainer` itself: {own}." in TEXT


def test_table_of_settings_has_every_setting_with_its_default() -> None:
    shown = {name.strip("`"): cell.strip("`") for name, cell, _ in rows("Settings")}
    assert shown == {str(f.alias): as_shown(f.default) for f in Settings.model_fields.values()}


def as_shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return LOGIN if "Undefined" in repr(value) else str(value)


def test_messages_explained_are_messages_that_exist() -> None:
    packages = [ROOT / package for package in ("schemas", "publisher", "queue_worker", "trainer")]
    source = "".join(path.read_text() for package in packages for path in package.rglob("*.py"))
    for message, _ in rows("When something goes wrong"):
        for text in re.findall(r"`([^`]+)`", message):
            foreign = text in ("no kernel image", "queue list")
            assert foreign or text in source, text


def test_the_slack_app_asks_for_what_is_called() -> None:
    manifest = (ROOT / "deploy" / "slack-app.yaml").read_text()
    for scope in ("chat:write", "channels:read", "channels:history", "im:write", "im:history"):
        assert f"- {scope}" in manifest
