"""A run in TensorBoard: an event file in the attempt's folder. Its own writer, without torch."""

import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from schemas.rundir import AttemptDir
from trainer.look.drawing import jpeg, png
from trainer.tracking import sights
from trainer.tracking.told import Ended, Rows, Sight, Told


class OnTensorBoard:
    """`tensorboard --logdir` of a run's folder shows each attempt with the whole curve."""

    def __init__(self, attempt: Path) -> None:
        self.writer = EventFileWriter(str(AttemptDir(attempt).tensorboard))

    def take(self, told: Told) -> None:
        """Scalars and pictures, by epoch."""
        if isinstance(told, Rows):
            for row in told.rows:
                self.add(int(row["epoch"]), [scalar(name, row[name]) for name in row])
        elif isinstance(told, Sight):
            self.add(told.epoch, self.pictures(told))
        elif isinstance(told, Ended):
            self.writer.close()
            return
        self.writer.flush()

    def add(self, epoch: int, values: list[Summary.Value]) -> None:
        self.writer.add_event(
            Event(wall_time=time.time(), step=epoch, summary=Summary(value=values))
        )

    def pictures(self, sight: Sight) -> list[Summary.Value]:
        drawn = {
            name: (sights.together(f"epoch {sight.epoch}", shown), jpeg)
            for name, shown in (("wrong", sight.wrong), ("grid", sight.grid))
            if shown
        }
        if sight.cells:
            drawn["confusion"] = sights.matrix(sight), png
        return [picture(sights.called(name, sight), *how) for name, how in drawn.items()]


def scalar(name: str, value: float) -> Summary.Value:
    return Summary.Value(tag=name, simple_value=value)


def picture(
    name: str, image: Image.Image, encoded: Callable[[Image.Image], bytes]
) -> Summary.Value:
    """As TensorBoard keeps it."""
    channels = len(image.getbands())
    kept = Summary.Image(
        height=image.height,
        width=image.width,
        colorspace=channels,
        encoded_image_string=encoded(image),
    )
    return Summary.Value(tag=name, image=kept)
