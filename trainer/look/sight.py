"""The images that a run validated, as they are and as its model saw them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from timm.data import resolve_model_data_config

from schemas.config import TrainConfig
from schemas.errors import count
from trainer.data import sources
from trainer.data.images import Images
from trainer.data.loader import Pictures
from trainer.data.plan import VALIDATION
from trainer.data.unreadable import Unreadable
from trainer.faults import DataFault
from trainer.foresight import foresee
from trainer.look.contact_sheet import pictures_of, shown


@dataclass(frozen=True, slots=True)
class Sight:
    """Where to see an image by its name."""

    images: Images
    number: Mapping[str, int]
    pictures: Pictures

    def given(self, name: str) -> Image.Image | None:
        """The file itself; nothing where it cannot be read any more."""
        try:
            with Image.open(self.images.paths[self.number[name]]) as file:
                return file.convert("RGB")
        except Exception:  # PIL raises whatever a broken file provokes in its decoders
            return None

    def seen(self, name: str) -> Image.Image | None:
        """As the model was shown it."""
        found = self.pictures[VALIDATION, self.number[name]]
        return None if isinstance(found, Unreadable) else shown(found[0])


@contextmanager
def sight(
    config: TrainConfig, classes: Sequence[str], data_root: Path, wanted: Sequence[str]
) -> Iterator[Sight]:
    """These images of a run's data; a DataFault where they are not there."""
    images = sources.read(config.data, data_root)
    number = {name: place for place, name in enumerate(images.names)}
    absent = [name for name in wanted if name not in number]
    if absent or images.classes != tuple(classes):
        missing = f": {count(len(absent), 'image')} missing" if absent else ""
        raise DataFault(
            f"the data in {data_root / config.data.source.root} are not what was validated{missing}"
        )
    net = foresee.build(config.model, len(images.classes), config.data.extent)
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="report") as scratch:
        places = [number[name] for name in wanted]
        yield Sight(images, number, pictures_of(config, images, places, look, Path(scratch)))
