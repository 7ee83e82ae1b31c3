"""What keeps a worker from taking runs, in words for its log. Pure."""

from collections.abc import Sequence

from queue_worker.door.records import Control, WorkerCard


def back(controls: Sequence[Control], card: WorkerCard) -> str:
    """Why this worker takes nothing and what would change that; empty when it is free to."""
    held = [_told(control) for control in controls if _concerns(control, card)]
    return "; ".join([*held, *([card.busy_with] if card.busy_with else [])])


def _concerns(control: Control, card: WorkerCard) -> bool:
    scopes = ("all", f"worker:{card.lane}", f"host:{card.host}")
    return control.kind in ("hold", "drain") and control.scope in scopes


def _told(control: Control) -> str:
    verb = "drained" if control.kind == "drain" else "held"
    reason = f" ({control.reason})" if control.reason else ""
    name = control.scope.partition(":")[2]
    mend = f"worker resume {name}" if name else "queue release --all"
    return f"{verb} by {control.by}{reason}; {mend} lets it go on"
