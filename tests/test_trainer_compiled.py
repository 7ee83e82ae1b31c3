"""Compiled training: torch writes kernels of its own for the model, and nothing else changes.

It runs in processes of their own: torch compiles with calls that it has itself declared old, and in
the suite a warning is an error.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from support.attendants import FORK
from support.crews import joined
from support.own_model import Classy
from support.sketches import draw_sketches
from support.trainers import folder_of, judged, order_for, result_of, tiny, train
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

from schemas.components.loop import Ema
from schemas.config import TrainConfig
from schemas.events import ExitCode, Order
from schemas.result import Result
from schemas.run import Cause
from trainer import checkpoint, machine
from trainer.answer import finished, published
from trainer.crew import Solo
from trainer.entry import ranks
from trainer.entry.attempt import execute, judge, telling
from trainer.faults import Leave
from trainer.learn import average
from trainer.report import Report

MODEL = {"kind": "own", "name": "support.own_model:Classy"}
CPU = torch.device("cpu")
LIMIT_S = 200  # a compiler runs, on a machine that has other tests to run
needs_compiler = pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX", "g++")), reason="no C++ compiler on this machine"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINQ_PLUGINS", "support")


def compiled(**changes: Any) -> TrainConfig:
    """19 images train in 3 steps and 5 validate at once: every other size is compiled by itself."""
    usual = {
        "model": MODEL,
        "data__batch_size": 5,
        "data__pixels": {"kind": "files"},  # which timm alone sees the same
        "train": {"epochs": 1, "compile": True, "save_every_steps": 2},
    }
    return tiny(**(usual | changes))


def done(order: Order) -> Result:
    """What came of an attempt in as many processes as it has GPUs."""
    processes = [FORK.Process(target=live, args=(order, rank)) for rank in range(order.gpus)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_S)
    ends = [process.exitcode for process in processes]
    assert not any(ends) and None not in ends, "one still lives, or fell"
    if order.gpus > 1:
        ranks.settle(folder_of(order), {})
    return result_of(order)


def live(order: Order, rank: int) -> None:
    """The child. To try which vectors this CPU has takes torch half a minute, so it has none."""
    os.environ |= {"TRAINQ_PLUGINS": "support", **order.env}
    torch._inductor.config.cpp.vec_isa_ok = False
    torch._inductor.config.compile_threads = 1
    crew = joined(rank, order.gpus, Path(order.run_dir)) if order.gpus > 1 else Solo()
    execute(order, Report([]), Leave(), crew)


@needs_compiler
@pytest.mark.timeout(2 * LIMIT_S + 20)
def test_a_compiled_run_goes_on_to_the_bit_and_leaves_plain_names(
    data: Path, tmp_path: Path
) -> None:
    env = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    whole = order_for(tmp_path / "run", data, compiled(), env=env)
    result = done(whole)
    assert result.exit_code == ExitCode.FINISHED, result.error
    assert list((tmp_path / "kernels").rglob("*.so")), "nothing was compiled"
    saved = folder_of(whole).checkpoint(2)
    assert checkpoint.read(saved).weights.keys() == Classy(3, 3).state_dict().keys()
    losses, _ = judged(folder_of(whole).best, compiled(), data)
    assert result.metrics["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    last = order_for(tmp_path / "run", data, compiled(), env=env, resume=str(saved))
    assert done(last).facts["started_at_step"] == 2
    assert result_of(last).facts["final_weights_sha256"] == result.facts["final_weights_sha256"]


@needs_compiler
@pytest.mark.timeout(LIMIT_S + 20)
def test_two_processes_compile_a_model_of_timm_that_is_exported_as_any_other(
    data: Path, tmp_path: Path
) -> None:
    least = {"embed_dim": 12, "depth": 0, "num_heads": 2}  # no block: the fewest kernels
    config = compiled(model={"name": "vit_base_patch32_224", "options": least}, data__batch_size=8)
    env = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    order = order_for(tmp_path / "run", data, config, env=env, gpus=2)
    result = done(order)
    assert result.exit_code == ExitCode.FINISHED, result.error
    assert list((tmp_path / "kernels").rglob("*.so")), "nothing was compiled"
    losses, _ = judged(folder_of(order).best, config, data)
    assert result.metrics["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    run = finished.find(tmp_path / "run")
    published.write(run, tmp_path / "out")
    plain = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(plain(images), run.net()(images))


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        (InvalidCxxCompiler(), "InvalidCxxCompiler: No working C++ compiler found in "),
        (
            CppCompileError(
                ["g++"], "a.cpp:1:2: note: here\na.cpp:1:9: fatal error: no Python.h\n"
            ),
            "CppCompileError: a.cpp:1:9: fatal error: no Python.h",
        ),
    ],
    ids=["no compiler", "no headers"],
)
def test_what_torch_could_not_compile_is_one_line(inner: Exception, said: str) -> None:
    def inductor() -> None:
        """torch's word for the kernels."""

    end = judge(telling(BackendCompilerFailed(inductor, inner, None)))
    assert (end.code, end.cause) == (ExitCode.CONFIG, Cause.CONFIG)
    assert end.error.startswith(f"torch.compile failed: {said}") and "\n" not in end.error
    assert end.try_this == "train.compile=false"


def test_without_a_compiler_a_compiled_run_is_refused_before_its_first_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "g++-of-nobody")
    result = train(order_for(tmp_path / "run", data, compiled()))
    assert (result.exit_code, result.cause) == (ExitCode.CONFIG, Cause.CONFIG)
    assert result.error == "train.compile needs a C++ compiler, and this host has no g++-of-nobody"


def test_what_torch_would_pass_over_in_silence_is_refused(data: Path, tmp_path: Path) -> None:
    config = tiny(model={**MODEL, "name": "support.own_model:small"}, train__compile=True)
    result = train(order_for(tmp_path / "run", data, config))
    assert (result.exit_code, result.try_this[:7]) == (ExitCode.CONFIG, "a class")
    assert result.error == "torch compiles no bare Sequential, it runs as it is"


@needs_compiler
# what torch.compile itself imports
@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning:torch.jit._script"
)
def test_an_average_of_a_compiled_model_has_plain_names_and_runs() -> None:
    model = machine.place(Classy(3, 3), CPU, compiled=True)
    mean = average.of(Ema(), model, 10)
    assert mean and mean.model.state_dict().keys() == Classy(3, 3).state_dict().keys()
    assert mean.model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_features_that_are_computed_once_leave_nothing_to_compile() -> None:
    frozen = {"name": "test_vit", "freeze": [{"parts": ["backbone"]}], "feature_views": 1}
    with pytest.raises(ValueError, match="nothing is left to compile"):
        tiny(model=frozen, train__compile=True)
