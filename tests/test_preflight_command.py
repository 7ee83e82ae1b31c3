"""`trainer preflight` as people type it: one page, one line of refusal, documented exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import TORCH_S
from typer.testing import CliRunner

from trainer.entry import by_hand


def told(*words: str, tool: str = "trainer") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", tool, "preflight", *words],
        capture_output=True,
        text=True,
        timeout=TORCH_S,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "birds.yaml"
    path.write_text("model: {name: resnet10t}\ndata: {img_size: 96}\n")
    return str(path)


def test_the_page_fits_eighty_columns_and_the_answer_is_no_when_it_does_not_fit(
    config: str,
) -> None:
    words = (config, "data.batch_size=4096", "--gpu-memory", "4G")
    done = told(*words, tool="publisher")  # which becomes `trainer preflight`
    assert done.returncode == 2 and max(map(len, done.stdout.splitlines())) <= 80
    assert "5.4 M parameters, all of them learn" in done.stdout and "AMP" in done.stdout
    assert "do not fit" in done.stderr and "train.accumulate=" in done.stderr
    assert "data.batch_size=" in done.stderr and "Traceback" not in done.stderr


def test_json_has_numbers_and_verdict(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the command sets it, here in our own process
    words = ["preflight", config, "--gpu-memory", "32G", "--json"]
    done = CliRunner().invoke(by_hand.app, words)
    answer = json.loads(done.stdout)
    assert done.exit_code == 0 and answer["verdict"]["word"] == "fits"
    assert answer["preflight"]["img_size"] == 96 and answer["preflight"]["peak_mb"] > 60


@pytest.mark.parametrize(
    ("words", "line"), [(["--gpu-memory", "much"], "no amount of memory"), (["nosuch=1"], "nosuch")]
)
def test_a_slip_is_one_line_and_exit_code_2(config: str, words: list[str], line: str) -> None:
    done = told(config, *words)
    assert done.returncode == 2 and line in done.stderr and "Traceback" not in done.stderr
