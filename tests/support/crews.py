"""Several processes of one run without torchrun, which would import torch anew for each."""

import os
from pathlib import Path

import torch.distributed as dist

from trainer import crew


def joined(rank: int, size: int, folder: Path) -> crew.Ranks:
    """This process as one of a crew; they meet in a file."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(str(folder / "store"), size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    one = crew.Ranks.__new__(crew.Ranks)
    one.rank, one.size, one._host = rank, size, dist.group.WORLD
    return one
