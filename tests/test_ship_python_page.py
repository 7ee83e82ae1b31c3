"""docs/python.md says what is so: every block runs, in order, beside a real worker."""

import re
from pathlib import Path

import pytest
from support.workers import Site

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
CONFIG = "model: {name: resnet10t}\nnote: steps=3 step_s=0.01\ndata: {batch_size: 32}\n"


def test_every_block_of_the_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path)
    try:
        for name, value in site.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "birds.yaml").write_text(CONFIG)
        site.worker("cpu", "--no-warm")
        blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
        names: dict[str, object] = {}
        for block in blocks:
            exec(compile(block, PAGE.name, "exec"), names)
        said = capsys.readouterr().out
        assert "finished {" in said and "begin at step 0" in said
        promised = re.search(r"print\(error\)  # (.*)", PAGE.read_text())
        assert promised and promised[1] in said
        assert len(names["table"]) == 4  # type: ignore[arg-type]
    finally:
        site.close()
