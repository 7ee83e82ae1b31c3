"""A file that is no picture."""

from dataclasses import dataclass
from pathlib import Path

from trainer.faults import DataFault


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value, so that it crosses threads and processes in one line."""

    path: Path
    why: str

    def fault(self) -> DataFault:
        """The end of whoever needs it."""
        return DataFault(
            f"cannot read the image {self.path}: {self.why}",
            fix="restore the file, or take its row out of the table",
        )
