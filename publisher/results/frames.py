"""Rows as pandas tables. The only module of the client that loads pandas, and only when asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from publisher.results.tables import TIMES, columns_of
from schemas.errors import TrainqError

if TYPE_CHECKING:
    from pandas import DataFrame


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> DataFrame:
    """A table of these rows; times are times, a missing value is missing."""
    need("pandas", "tables of runs")
    import pandas

    table = pandas.DataFrame(list(rows), columns=list(columns) or columns_of(rows))
    for name in TIMES:
        if name in table:
            table[name] = pandas.to_datetime(table[name], utc=True)
    if "fold" in table:
        table["fold"] = table["fold"].astype("Int64")  # a run without a fold has none, not NaN
    return table


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The same as a parquet file; a column of lists, of several types, or of numbers too large for
    any type of the file becomes text.
    """
    need("pyarrow", "parquet files")
    table = frame(rows)
    for name in [name for name in table if table[name].dtype == object]:
        kinds = {type(value) for value in table[name].dropna()}
        if len(kinds) > 1 or kinds & {list, int}:
            table[name] = table[name].map(_text, na_action="ignore")
    data: bytes = table.to_parquet(engine="pyarrow", index=False)
    return data


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def need(package: str, what: str) -> None:
    """One clear line where a package of an extra is not installed."""
    if find_spec(package) is None:
        extra = "tables" if package == "pandas" else "parquet"
        raise TrainqError(
            f"{what} need {package}, which is not installed here",
            fix=f"pip install 'trainq[{extra}]'",
        )
