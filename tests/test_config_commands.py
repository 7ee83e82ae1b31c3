"""`publisher validate` and `publisher schema`, as whole processes; and the examples."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML
from support.costs import least_cpu_s

from publisher.commands.schema import json_schema
from schemas import usual
from schemas.source import load, load_cells, read
from schemas.sweep import Spread
from schemas.writing import dump

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SCHEMA = ROOT / "examples" / "config.schema.json"
HEAVY = {"torch", "timm", "redis", "rq", "pandas", "wandb", "matplotlib", "sklearn", "numpy"}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def publisher(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run("-m", "publisher", *arguments, folder=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text("model: {name: resnet18}\noptim:\n  lr: 1e-2\n")
    (tmp_path / "bad.yaml").write_text("model: {name: resnet5O}\nsede: 1\n")
    (tmp_path / "worse.yaml").write_text("model: [\n")
    return tmp_path


def test_a_good_file_is_ok_and_exits_0(folder: Path) -> None:
    done = publisher("validate", "good.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (0, "ok  good.yaml\n")
    assert done.stderr == "Queue it: publisher submit good.yaml\n"


def test_all_errors_of_all_files_are_on_stderr_and_exit_2(folder: Path) -> None:
    done = publisher("validate", "bad.yaml", "good.yaml", "worse.yaml", "no.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (2, "ok  good.yaml\n")
    for words in ("bad.yaml:1:15", "bad.yaml:2:1", "worse.yaml:2:1", "there is no such file"):
        assert words in done.stderr
    assert done.stderr.endswith("4 errors in bad.yaml, worse.yaml, no.yaml; nothing was queued.\n")


def test_overrides_are_validated_like_the_file(folder: Path) -> None:
    done = publisher("validate", "good.yaml", "optim.lr=abc", folder=folder)
    assert done.returncode == 2
    assert "--> override: optim.lr=abc  (optim.lr)" in done.stderr
    assert publisher("validate", "good.yaml", "optim.lr=3e-4", folder=folder).returncode == 0


def test_a_wrong_override_is_one_error_however_many_files(folder: Path) -> None:
    done = publisher("validate", "good.yaml", "good.yaml", "optim.lrr=1", folder=folder)
    assert done.stderr.count("unknown key") == 1
    (folder / "also.yaml").write_text("model: {name: resnet18}")
    done = publisher("validate", "good.yaml", "also.yaml", "optim.lrr=1", folder=folder)
    assert done.stderr.endswith("1 error in good.yaml, also.yaml; nothing was queued.\n")


def test_overrides_without_a_file_are_a_usage_error(folder: Path) -> None:
    done = publisher("validate", "optim.lr=1", folder=folder)
    assert done.returncode == 2
    assert "no config file is named" in done.stderr


def test_resolved_shows_each_value_with_its_origin_and_reads_back(folder: Path) -> None:
    done = publisher("validate", "good.yaml", "--resolved", "train.epochs=3", folder=folder)
    lines = {line.split(":")[0].strip(): line for line in done.stdout.splitlines()}
    assert lines["lr"].endswith("  # good.yaml:3")
    assert lines["epochs"].endswith("  # override: train.epochs=3")
    assert lines["seed"].endswith("  # default")
    again = read(done.stdout, "resolved.yaml").config
    assert again == load(folder / "good.yaml", ["train.epochs=3"]).config


def test_what_is_dumped_with_its_origins_reads_back_whatever_it_holds() -> None:
    hard = 'note="a: # \\"b\\"\\n \\u2028"'
    for given in ([hard, "optim.eps=1e-9"], ["note=two\nlines # of text"]):
        loaded = read("model: {name: resnet18}", "f", given)
        text = dump(loaded.config.canonical(), loaded.origins).decode()
        assert read(text, "again").config == loaded.config


def test_json_says_the_same_to_a_program(folder: Path) -> None:
    done = publisher("validate", "good.yaml", "bad.yaml", "--json", folder=folder)
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (2, "")
    assert (answer["schema_version"], answer["ok"]) == (1, False)
    good, bad = answer["files"]
    assert set(good) == {"file", "ok", "digest", "problems"}
    assert good["digest"] == load(folder / "good.yaml").config.digest()
    assert bad["problems"][0] == {
        "message": "timm has no model 'resnet5O'",
        "key": "model.name",
        "file": "bad.yaml",
        "line": 1,
        "column": 15,
        "width": 8,
        "excerpt": "model: {name: resnet5O}",
        "help": "did you mean 'resnet50' or 'resnet51q' or 'resnet50t'?",
    }


def test_json_with_resolved_holds_the_config_and_its_origins(folder: Path) -> None:
    done = publisher("validate", "good.yaml", "--json", "--resolved", folder=folder)
    (row,) = json.loads(done.stdout)["files"]
    assert done.returncode == 0
    assert row["config"]["optim"]["lr"] == 0.01
    assert row["origins"]["optim.lr"] == "good.yaml:3"


# ---- schema and examples -------------------------------------------------------------------------


def test_the_schema_is_printed_or_written(folder: Path) -> None:
    printed = publisher("schema", folder=folder)
    written = publisher("schema", "-o", "s.json", folder=folder)
    assert (printed.returncode, written.returncode, written.stdout) == (0, 0, "")
    assert printed.stdout == (folder / "s.json").read_text()


def test_every_key_of_the_schema_has_a_description() -> None:
    described = json.loads(json_schema())
    for name, part in [("", described), *described["$defs"].items()]:
        for key, value in part["properties"].items():
            said = {"description", "$ref"} & set(value)  # a section says it where it is defined
            assert key == "kind" or said, f"{name}.{key}"


def test_the_committed_schema_is_fresh() -> None:
    assert SCHEMA.read_text() == json_schema(), (
        "run: publisher schema -o examples/config.schema.json"
    )


def test_there_are_the_four_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["kfold", "sketch_coatnet", "sketch_small", "sweep"]


def test_the_usual_config_is_that_of_today() -> None:
    assert usual.FILE.read_text() == usual.made(), "run: python -m schemas.usual"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_points_at_the_schema(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA.name}"
    written = YAML(typ="safe").load(path.read_text())
    jsonschema.validate(written, json.loads(SCHEMA.read_text()))
    assert len(load_cells(path, (), Spread())) == (12 if "sweep" in written else 1)


# ---- the cost of a start -------------------------------------------------------------------------


def test_validate_loads_nothing_heavy(folder: Path) -> None:
    script = (
        "import sys; from publisher.__main__ import main\n"
        "sys.argv = ['publisher', 'validate', 'good.yaml']\n"
        "try: main()\n"
        "finally: print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = run("-c", script, folder=folder)
    assert not HEAVY & set(done.stdout.split())
    assert "publisher" in done.stdout.split()


def test_validate_costs_little_more_than_its_libraries(folder: Path) -> None:
    """Three times as much where this was written, 0.25 s of a core; machines differ."""
    libraries = least_cpu_s(lambda: run("-c", "import typer, pydantic, ruamel.yaml", folder=folder))
    done = [publisher("validate", "good.yaml", folder=folder)]
    validate = least_cpu_s(lambda: done.append(publisher("validate", "good.yaml", folder=folder)))
    assert {each.returncode for each in done} == {0}
    assert validate < 6 * libraries
