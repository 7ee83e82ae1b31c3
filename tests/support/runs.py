"""What tests of the queue submit, and who works: values with sensible fields, nothing mocked."""

from typing import Any

from queue_worker.queue import Claim, Queue, Submission, WorkerCard
from schemas.run import new_id, new_nonce

CONFIG: dict[str, Any] = {"model": {"kind": "timm", "name": "resnet18"}, "seed": 1}


def a_run(**fields: Any) -> Submission:
    """A submission of ana's, different in what the test names."""
    run_id = fields.pop("id", None) or new_id()
    defaults = {"nonce": new_nonce(), "name": f"run-{run_id}", "user": "ana", "config": CONFIG}
    return Submission(**{**defaults, **fields, "id": run_id})


def a_worker(lane: str = "v100:0", **fields: Any) -> WorkerCard:
    """The card of a worker on this lane."""
    host, _, gpu = lane.partition(":")
    defaults = {"boot_id": f"boot-{host}", "pid": 1, "runs_root": "root-a", "started_at": 1.0}
    return WorkerCard(**{**defaults, **fields, "lane": lane, "host": host, "gpu": gpu})


def submit(queue: Queue, **fields: Any) -> str:
    """Queue one run; its id."""
    return queue.submit([a_run(**fields)])[0].id


def claim(queue: Queue, lane: str = "v100:0", **fields: Any) -> Claim:
    """The claim of a worker that is sure to get one."""
    claimed = queue.claim(a_worker(lane, **fields), new_nonce())
    assert claimed is not None
    return claimed
