"""One attempt as two processes: the same experiment, one voice, one end."""

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.attendants import FORK, Attendant
from support.crews import joined
from support.sketches import draw_sketches
from support.team import tree
from support.trainers import folder_of, order_for, result_of, tiny, train
from support.waiting import TORCH_S, overslept, wait_until
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from queue_worker import host
from schemas.components.augment import Mix
from schemas.config import TrainConfig
from schemas.events import FENCED, Chosen, Epoch, ExitCode, Order, parse_line
from schemas.result import Result
from schemas.run import Cause
from schemas.rundir import AttemptDir, RunDir
from trainer import checkpoint, crew
from trainer.data import sources, split
from trainer.data.plan import Plan
from trainer.data.split import Parts
from trainer.entry import ranks
from trainer.entry.attempt import judge
from trainer.faults import ConfigFault, Fault
from trainer.judge import predictions

Start = Callable[..., Attendant]
# no BatchNorm and no dropout: every image's part of a step is the same wherever it is computed
STEPS = tiny(
    model__name="test_vit",
    data__batch_size=8,
    train__epochs=30,
    mix__mixup=0.4,
    mix__cutmix=1.0,
    optim__lr=1e-3,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


@pytest.fixture
def attend(tmp_path: Path) -> Iterator[Start]:
    """Starts trainers as a worker does, and ends those that still live."""
    started: list[Attendant] = []

    def start(python: Path | None = None) -> Attendant:
        started.append(Attendant(tmp_path / f"trainer-{len(started)}", python=python))
        return started[-1]

    yield start
    for trainer in started:
        trainer.kill()


def give(folder: Path, data: Path, config: TrainConfig, **more: object) -> Order:
    return order_for(folder, data, config, gpus=2, env={"OMP_NUM_THREADS": "1"}, **more)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, data: Path, quick_python: Path
) -> Iterator[Order]:
    """A run that two processes trained from its start to its end."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = Attendant(folder / "trainer", python=quick_python)
    order = give(folder / "run", data, STEPS)
    try:
        assert trainer.take(order).code(TORCH_S) == ExitCode.FINISHED, folder_of(
            order
        ).log.read_text()
    finally:
        trainer.kill()
    yield order


def test_two_processes_take_the_steps_of_one(tmp_path: Path, data: Path, whole: Order) -> None:
    alone = order_for(tmp_path / "run", data, STEPS)
    train(alone)
    one, two = rows(alone), rows(whole)
    np.testing.assert_allclose(two, one, rtol=1e-5)  # sums in another order: the last bits
    mine, theirs = (load_file(folder_of(o).best / checkpoint.WEIGHTS) for o in (alone, whole))
    for name, tensor in mine.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=1e-4)  # a tenth of a step


def test_every_validation_image_is_answered_once_and_under_its_own_name(
    data: Path, whole: Order
) -> None:
    said = predictions.read(folder_of(whole).best / predictions.VALIDATION)
    images = sources.read(STEPS.data, data)
    held = split.divide(images, STEPS.data.split, STEPS.seed).validate
    assert sorted(said.names) == sorted(images.names[image] for image in held)
    truth = dict(zip(images.names, images.targets, strict=True))
    assert [truth[name] for name in said.names] == said.true.tolist()
    right = (said.probabilities.argmax(1) == said.true).mean()
    assert result_of(whole).metrics["accuracy"] == right


def test_only_one_of_them_speaks_and_writes(whole: Order) -> None:
    folder = folder_of(whole)
    said = [parse_line(line) for line in folder.events.read_bytes().splitlines()]
    assert [line.epoch for line in said if isinstance(line, Epoch)] == list(range(1, 31))
    assert folder.log.read_text().count("finished, the best weights") == 1
    assert [path.name for path in folder.path.glob("rank-*")] == ["rank-0.json"]
    assert result_of(whole).facts["device"].endswith("and 1 more")


def test_a_shared_run_that_was_asked_to_leave_goes_on_to_the_same_weights(
    tmp_path: Path, data: Path, attend: Start, whole: Order, quick_python: Path
) -> None:
    slow = STEPS.model_copy(update={"train": STEPS.train.model_copy(update={"log_every": 1})})
    first = give(tmp_path / "run", data, slow)
    trainer = attend(quick_python).take(first)
    trainer.next(Chosen, limit_s=TORCH_S)
    log = folder_of(first).log
    trainer.signal(signal.SIGUSR1)  # what a worker sends when nothing moves
    wait_until(
        lambda: log.read_text().count("Current thread") == 2 or not trainer.process.is_alive(),
        what="the stacks of both",
    )
    assert trainer.process.pid
    family = tree(trainer.process.pid)
    if len(family) < 3:
        overslept()
    trainer.signal(signal.SIGTERM)
    assert trainer.code(TORCH_S) == ExitCode.SAVED, log.read_text()
    assert "leaves: SIGTERM" in log.read_text() and "Traceback" not in log.read_text()
    assert not any(map(host.start_time, family))
    saved = result_of(first)
    assert saved.error == "SIGTERM" and saved.step < 60
    found = [str(folder) for folder in checkpoint.newest(RunDir(tmp_path / "run"))]
    second = give(tmp_path / "run", data, slow, resume=found[0] if found else "")
    assert attend(quick_python).take(second).code(TORCH_S) == ExitCode.FINISHED
    ends = [result_of(order).facts["final_weights_sha256"] for order in (whole, second)]
    assert ends[0] == ends[1]


def test_what_goes_wrong_in_one_of_them_is_how_the_attempt_ends(
    tmp_path: Path, attend: Start, quick_python: Path
) -> None:
    folder = draw_sketches(tmp_path / "data")
    config = STEPS.model_copy(update={"mix": Mix()})
    images = sources.read(config.data, folder)
    parts = split.divide(images, config.data.split, config.seed)
    second = Plan.of(config, parts, SimpleNamespace(rank=1, size=2))
    _, spoilt = next(second.batches(0, 1))[0]  # in the second step, by the second process
    images.paths[spoilt].write_bytes(b"no picture")
    order = give(tmp_path / "run", folder, config)
    code = attend(quick_python).take(order).code(TORCH_S)
    log = folder_of(order).log.read_text()
    assert code == ExitCode.DATA, log
    result = result_of(order)
    assert result.cause is Cause.DATA and images.paths[spoilt].name in result.error
    assert result.error in log and "Traceback" not in log


@pytest.mark.parametrize(("words", "silence_s"), [(b"", 3.0), (FENCED, 60.0)])
def test_without_their_worker_or_its_lease_all_of_them_are_gone(
    words: bytes, silence_s: float, tmp_path: Path, data: Path, attend: Start
) -> None:
    endless = STEPS.model_copy(update={"train": STEPS.train.model_copy(update={"epochs": 9999})})
    order = give(tmp_path / "run", data, endless, silence_s=silence_s)
    trainer = attend().take(order)
    assert trainer.process.pid
    family = wait_until(lambda: found if len(found := tree(trainer.process.pid)) == 3 else [])
    trainer.say(words)
    assert trainer.code() == ExitCode.SAVED
    wait_until(lambda: not any(map(host.start_time, family)), what="the end of all")


# ---- how several ends become one -----------------------------------------------------------------


def ended(folder: Path, rank: int, code: ExitCode, cause: Cause | None = None) -> None:
    result = Result(token="1-00000001", exit_code=code, cause=cause, error=f"said by {rank}")
    (folder / f"rank-{rank}.json").write_text(result.model_dump_json())
    os.utime(folder / f"rank-{rank}.json", ns=(0, len(list(folder.glob("rank-*"))) * 10**9))


def failed(**codes: int) -> dict[int, ProcessFailure]:
    return {
        int(rank[1:]): ProcessFailure(int(rank[1:]), 1, code, "/none")
        for rank, code in codes.items()
    }


def test_the_end_that_came_first_is_the_end_of_all(tmp_path: Path) -> None:
    attempt = AttemptDir(tmp_path)
    ended(tmp_path, 1, ExitCode.DATA, Cause.DATA)  # a broken image
    ended(tmp_path, 0, ExitCode.CODE, Cause.CODE)  # a connection that its end has closed
    assert ranks.settle(attempt, failed(r1=3, r0=1)) == ExitCode.DATA
    assert Result.model_validate_json(attempt.result.read_bytes()).error == "said by 1"


def test_what_the_first_rank_saved_is_saved_whoever_was_ended_for_it(tmp_path: Path) -> None:
    ended(tmp_path, 0, ExitCode.SAVED)
    assert ranks.settle(AttemptDir(tmp_path), failed(r0=75, r1=-15)) == ExitCode.SAVED


def test_ranks_that_could_say_nothing_are_a_crash_without_a_result(tmp_path: Path) -> None:
    assert ranks.settle(AttemptDir(tmp_path), failed(r0=1, r1=-15)) == ExitCode.CODE
    assert not AttemptDir(tmp_path).result.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM])
def test_a_rank_that_a_signal_ended_is_no_fault_of_the_code(
    tmp_path: Path, number: signal.Signals
) -> None:
    ended(tmp_path, 0, ExitCode.CODE, Cause.HOST_LOST)  # it only lost its partner
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ranks.settle(AttemptDir(tmp_path), failed(r0=1, r1=-number))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -number


def test_ranks_that_only_lost_each_other_are_no_fault_of_the_code(tmp_path: Path) -> None:
    ended(tmp_path, 1, ExitCode.CODE, Cause.HOST_LOST)
    attempt = AttemptDir(tmp_path)
    assert ranks.settle(attempt, failed(r0=1, r1=1)) == ExitCode.CODE
    assert Result.model_validate_json(attempt.result.read_bytes()).cause is Cause.HOST_LOST


def test_of_the_same_end_the_first_rank_tells(tmp_path: Path) -> None:
    ended(tmp_path, 1, ExitCode.DIVERGED, Cause.DIVERGED)
    ended(tmp_path, 0, ExitCode.DIVERGED, Cause.DIVERGED)
    attempt = AttemptDir(tmp_path)
    assert ranks.settle(attempt, failed(r0=5, r1=5)) == ExitCode.DIVERGED
    assert Result.model_validate_json(attempt.result.read_bytes()).error == "said by 0"


@pytest.mark.parametrize(
    "error",
    [
        dist.DistBackendError("NCCL communicator was aborted on rank 1."),
        RuntimeError("[/x/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"),
    ],
)
def test_a_partner_that_went_away_is_not_taken_for_a_fault_of_ours(error: RuntimeError) -> None:
    assert judge(error).cause is Cause.HOST_LOST
    assert not crew.lost(RuntimeError("shapes do not match"))


# ---- what they say to each other -----------------------------------------------------------------


def test_they_take_the_statistics_of_the_first_and_notice_when_they_disagree(
    tmp_path: Path,
) -> None:
    crew_of = [FORK.Process(target=meet, args=(rank, tmp_path)) for rank in range(3)]
    for process in crew_of:
        process.start()
    for process in crew_of:
        process.join(TORCH_S)
    assert [process.exitcode for process in crew_of] == [0, 0, 0]
    for rank in range(3):
        heard = json.loads((tmp_path / f"heard-{rank}").read_text())
        assert heard["statistic"] == [0.0, 0.0] and heard["mean"] == 1.0
        assert heard["all"] == ["from 0", "from 1", "from 2"]
        assert heard["fault"].endswith("do not agree on where to begin: 4, 5, 6")
        assert heard["same"], "a step is another one when an attempt begins with it"


def meet(rank: int, folder: Path) -> None:
    """One process of a crew that has nothing to train."""
    one = joined(rank, 3, folder)
    norm = nn.BatchNorm1d(2)
    assert norm.running_mean is not None
    norm.running_mean.fill_(rank)
    one.align(norm)
    heard = {"statistic": norm.running_mean.tolist(), "all": one.gather(f"from {rank}")}
    heard |= {"mean": one.mean(torch.tensor(float(rank))).item(), "same": begins_anywhere(one)}
    one.insist("nothing", "the same")
    try:
        one.insist("where to begin", 4 + rank)
    except Fault as fault:
        heard["fault"] = str(fault)
    (folder / f"heard-{rank}").write_text(json.dumps(heard))
    dist.destroy_process_group()


class Crossed(nn.Module):
    """Its parts are used in another order than they are listed in."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        for part in (2, 0, 3, 1):
            numbers = self.parts[part](numbers).tanh()
        return numbers


def begins_anywhere(one: crew.Ranks) -> bool:
    """Whether a second step is the same after the first one and as the first of an attempt."""
    torch.manual_seed(0)
    whole, resumed = Crossed(), Crossed()
    forward = one.wrap(whole)
    sgd_step(one, whole, forward, 1)
    resumed.load_state_dict(whole.state_dict())
    sgd_step(one, whole, forward, 2)
    sgd_step(one, resumed, one.wrap(resumed), 2)
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def sgd_step(one: crew.Ranks, model: nn.Module, forward: crew.Forward, number: int) -> None:
    one.drift(7, number)
    model.zero_grad(set_to_none=True)
    forward(torch.randn(8, 64)).square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)


# ---- who reads what ------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 12))
def test_shares_are_the_whole_batch_and_mix_with_their_own(ranks_of: int, pieces: int) -> None:
    batch = list(range(2 * ranks_of * pieces))
    shares = [crew.share(batch, rank, ranks_of) for rank in range(ranks_of)]
    assert sorted(image for share in shares for image in share) == batch
    for share in shares:
        assert [len(batch) - 1 - image for image in share] == share[::-1]


def test_one_process_reads_every_batch_as_it_is() -> None:
    for size in (7, 8):
        assert crew.share(list(range(size)), 0, 1) == list(range(size))


def test_a_batch_that_cannot_be_shared_is_refused_with_one_that_can() -> None:
    parts = Parts(np.arange(32), np.arange(4), np.arange(0), np.arange(32) % 3)
    pair = SimpleNamespace(rank=0, size=2)
    with pytest.raises(ConfigFault, match="a batch of 7 cannot be shared by 2 GPUs") as refused:
        Plan.of(tiny(data__batch_size=7), parts, pair)
    assert refused.value.fix == "data.batch_size=8"
    with pytest.raises(ConfigFault, match="mixed in pairs") as refused:
        Plan.of(tiny(data__batch_size=6, mix__mixup=0.2), parts, pair)
    assert refused.value.fix == "data.batch_size=8"
    assert Plan.of(tiny(data__batch_size=6), parts, pair).ranks == 2


def rows(order: Order) -> list[list[float]]:
    """The curve of an attempt, an epoch a row."""
    table = folder_of(order).metrics.read_text().splitlines()[1:]
    return [[float(cell) for cell in row.split(",")] for row in table]
