"""Two processes, one of which has too little memory for its part of a batch."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from support.attendants import FORK
from support.learners import IMAGES, TARGETS, learner
from support.own_model import Classy
from support.waiting import TORCH_S, wait_until

from trainer import crew


class Tight(Classy):
    """A model on a GPU that holds only so many images at a time."""

    def __init__(self, holds: int) -> None:
        super().__init__(3, 3)
        self.holds = holds

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(images)


@pytest.mark.parametrize("holds", [2, 0])
def test_memory_too_small_in_one_of_them_halves_the_parts_of_all(
    holds: int, tmp_path: Path
) -> None:
    """Their steps are those of two that began with such parts, statistics of BatchNorm included."""
    folders = [tmp_path / "halved", tmp_path / "never"]
    pairs = []
    for folder, at_once, least in zip(folders, (4, 2), (holds, 4), strict=True):
        folder.mkdir()
        pairs += [FORK.Process(target=squeeze, args=(r, folder, at_once, least)) for r in range(2)]
    for process in pairs:
        process.start()
    for process in pairs:
        process.join(TORCH_S)
    assert [process.exitcode for process in pairs] == [0] * 4
    for rank in range(2):
        halved, never = (torch.load(folder / f"{rank}.pt") for folder in folders)
        if not holds:
            assert halved["error"].startswith("one image at a time is too much")
            continue
        assert halved["micro_batch"] == never["micro_batch"] == 2
        for name, value in never["weights"].items():
            assert torch.equal(halved["weights"][name], value), name


def squeeze(rank: int, folder: Path, at_once: int, least: int) -> None:
    """One process of two, the second of which has memory for `least` images at a time."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    one = crew.Ranks.__new__(crew.Ranks)
    one.rank, one.size, one._host = rank, 2, dist.group.WORLD
    torch.manual_seed(0)
    made = learner(net=Tight(least if rank else 4), crew=one)
    made.micro_batch = at_once
    found: dict[str, object] = {}
    try:
        for number in range(3):
            made.step(IMAGES.roll(rank, 0), TARGETS.roll(rank, 0), number)
    except torch.OutOfMemoryError as error:
        found["error"] = str(error)
    found |= {"micro_batch": made.micro_batch, "weights": made.weights()}
    torch.save(found, folder / f"{rank}.pt")
    wait_until(lambda: len(list(folder.glob("?.pt"))) == 2, TORCH_S, "the other one")
    os._exit(0)  # as a rank ends
