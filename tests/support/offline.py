"""What W&B's own code finds in the file of a run that it could not send yet."""

import json
from pathlib import Path
from typing import Any


def records(attempt: Path, kind: str) -> list[dict[str, Any]]:
    """All records of a kind, in order, from the newest file in an attempt's folder."""
    from google.protobuf.json_format import MessageToDict
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    file = max(attempt.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    store, found = DataStore(), []
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
        found.append(MessageToDict(Record.FromString(data), preserving_proto_field_name=True))
    store.close()
    return [record[kind] for record in found if kind in record]


def values(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Of a record with many: `wrong.count` is one name."""
    return {
        ".".join(item.get("nested_key", [item.get("key", "")])): json.loads(item["value_json"])
        for item in items
    }


def history(attempt: Path) -> list[dict[str, Any]]:
    """The rows of a run."""
    return [values(row["item"]) for row in records(attempt, "history")]


def exit_code(attempt: Path) -> int:
    """How the run ended there; it must have."""
    (end,) = records(attempt, "exit")
    return int(end.get("exit_code", 0))
