"""Probabilities as a table, CSV or parquet by the file's name: image, S0, S1 and so on."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from schemas.errors import UsageError
from schemas.rundir import write_atomic
from trainer.judge.predictions import Probabilities

PARQUET = ".parquet"


def refuse(path: Path) -> None:
    """A kind of file that cannot be written here; said before anything is computed."""
    if path.suffix == PARQUET and find_spec("pyarrow") is None:
        raise UsageError(
            "parquet files need pyarrow, which is not installed here",
            fix="pip install 'trainq[parquet]', or name a .csv",
        )
    if path.suffix not in (PARQUET, ".csv"):
        raise UsageError(f"{path} is neither .csv nor .parquet", fix="name it by one of them")


def write(path: Path, names: Sequence[str], said: Probabilities) -> None:
    """A row an image, a column a class."""
    import pandas

    table = pandas.DataFrame(said, columns=[f"S{label}" for label in range(said.shape[1])])
    table.insert(0, "image", list(names))
    if path.suffix == PARQUET:
        packed = io.BytesIO()
        table.to_parquet(packed, engine="pyarrow", index=False)
        write_atomic(path, packed.getvalue())
        return
    text = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_atomic(path, text.encode())
