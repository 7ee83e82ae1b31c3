"""`trainer train` as a person uses it: without a queue, in a folder of their own."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.attendants import ByHand
from support.sketches import draw_sketches
from support.team import tree
from support.trainers import judged
from support.waiting import TORCH_S, overslept, wait_until
from typer.testing import CliRunner

from queue_worker import host
from schemas.events import ExitCode
from schemas.result import Result
from schemas.rundir import RunDir
from schemas.source import load
from trainer.entry.by_hand import app

CONFIG = """
name: tiny
model: {name: test_vit}
data: {img_size: 32, batch_size: 4, workers: 0}
train: {epochs: 2, save_every_steps: 3}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a config and its data, as a person has it."""
    draw_sketches(tmp_path)
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    return tmp_path


def typed(desk: Path, *words: str) -> ByHand:
    """A command, run to its end."""
    done = ByHand(desk, *words)
    done.process.join(TORCH_S)
    return done


def test_a_run_by_hand_prints_one_line_an_epoch_and_where_the_weights_are(desk: Path) -> None:
    done = typed(desk, "tiny.yaml", "--out", "runs/first")
    assert done.code() == ExitCode.FINISHED, done.talk.read_text()
    first, second, weights = done.out.read_text().splitlines()
    shape = r"epoch \d/2 loss=[\d.]+ acc=0\.\d+ f1=0\.\d+ lr=\d\.\de-\d\d \d+img/s eta=\d+s"
    assert re.match(shape, first) and re.match(shape, second)
    assert (desk / weights).is_file()
    assert not list(desk.glob("runs/first/attempts/*/checkpoints"))
    assert "24 images of 3 classes" in done.talk.read_text()


def test_ctrl_c_saves_and_the_same_command_goes_on(desk: Path) -> None:
    words = ("tiny.yaml", "train.epochs=40", "--out", "run")
    first = ByHand(desk, *words)
    wait_until(lambda: "epoch 1/40" in (first.out.read_text() if first.out.exists() else ""))
    first.signal(signal.SIGINT)
    if first.code() == ExitCode.FINISHED:
        overslept()
    assert first.code() == 130
    assert "the same command goes on from here" in first.talk.read_text()
    second = typed(desk, *words)
    assert second.code() == ExitCode.FINISHED
    assert re.search(r"goes on from step \d+", second.talk.read_text())
    rows = next(desk.glob("run/attempts/2-*/metrics.csv")).read_text().splitlines()
    assert len(rows) == 41
    third = typed(desk, *words)
    assert third.code() == 2 and "is finished" in third.talk.read_text()


def test_two_processes_by_hand_die_with_the_one_that_leads(desk: Path) -> None:
    leader = ByHand(desk, "tiny.yaml", "--gpus", "2", "--out", "run")
    assert leader.process.pid
    family = wait_until(lambda: found if len(found := tree(leader.process.pid)) > 2 else [])
    leader.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(host.start_time, family)), what="the end of all")


def test_what_two_processes_by_hand_tell_is_true_of_the_weights_that_they_leave(
    desk: Path, quick_python: Path
) -> None:
    """Also with BatchNorm, of which each has statistics of its own."""
    words = ("tiny.yaml", "model.name=test_resnet", "data.pixels.kind=files", "train.epochs=4")
    done = ByHand(desk, *words, "--gpus", "2", "--out", "run", python=quick_python)
    assert done.code(TORCH_S) == ExitCode.FINISHED, done.talk.read_text()
    assert "BatchNorm sees its own part" in done.talk.read_text()
    *epochs, weights = done.out.read_text().splitlines()
    assert [line.split()[1] for line in epochs] == ["1/4", "2/4", "3/4", "4/4"]
    result = Result.model_validate_json(next(desk.glob("run/attempts/*/result.json")).read_text())
    losses, right = judged((desk / weights).parent, load(desk / "run/config.yaml").config, desk)
    assert result.metrics["accuracy"] == right / len(losses)
    assert result.metrics["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_more_processes_than_a_batch_has_parts_for_are_refused_in_one_line(desk: Path) -> None:
    done = typed(desk, "tiny.yaml", "--gpus", "3", "--out", "run")
    assert done.code() == ExitCode.CONFIG and not (desk / "run").exists()
    assert "a batch of 4 cannot be shared by 3 GPUs" in done.talk.read_text()


def test_a_folder_of_another_config_is_refused(desk: Path) -> None:
    run = RunDir(desk / "run")
    run.path.mkdir()
    run.config.write_text(CONFIG)
    done = CliRunner().invoke(
        app, ["train", str(desk / "tiny.yaml"), "seed=1", "--out", str(run.path)]
    )
    assert done.exit_code == 2 and "holds a run of another config" in done.stderr
    assert not run.attempts.exists()


def test_a_bad_config_is_shown_with_its_place_and_trains_nothing(desk: Path) -> None:
    (desk / "tiny.yaml").write_text(CONFIG.replace("test_vit", "tset_vit"))
    done = CliRunner().invoke(app, ["train", str(desk / "tiny.yaml")])
    assert done.exit_code == 2
    assert "tiny.yaml:3:15" in done.stderr and "test_vit" in done.stderr


def test_help_and_bad_configs_do_not_load_torch(desk: Path) -> None:
    look = "import sys; print(sorted({'torch', 'timm', 'pandas', 'sklearn'} & set(sys.modules)))"
    ask = "import sys; sys.argv[1:] = ['train', 'none.yaml']; from trainer.__main__ import main"
    code = f"{ask}\ntry: main()\nexcept SystemExit: {look}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=desk, check=True
    )
    assert done.stdout.strip() == "[]" and "none.yaml" in done.stderr
