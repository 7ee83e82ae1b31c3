"""Several looks at one image when it is judged: flipped, at its corners, from nearer. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from schemas.components.data import Extent, sides
from schemas.errors import UsageError
from trainer.data.transforms import Look, Transform, validating

NEARER = 1.15  # how much larger an image is made before its corners are cut out
SCALES = (1.15, 1.3)


@dataclass(frozen=True, slots=True)
class View:
    """How an image is shown; the plain one is what validation sees."""

    name: str = "plain"
    zoom: float = 1.0
    down: float = 0.5  # which part is kept: 0 the top, 1 the bottom
    right: float = 0.5
    flip: bool = False


PLAIN = View()
ENDS = (0.0, 1.0)
CORNERS = tuple(View(f"crop-{y:g}{x:g}", NEARER, y, x) for y in ENDS for x in ENDS)
KINDS: dict[str, tuple[View, ...]] = {
    "hflip": (View("hflip", flip=True),),
    "crops": (*CORNERS, View("crop", NEARER)),
    "scales": tuple(View(f"scale-{zoom:g}", zoom) for zoom in SCALES),
}


def views(words: Sequence[str]) -> tuple[View, ...]:
    """The plain view and those that `--tta hflip,crops` asks for."""
    chosen: list[View] = [PLAIN]
    for word in filter(None, ",".join(words).split(",")):
        if word not in KINDS:
            raise UsageError(f"--tta '{word}' is no way to look", fix=f"one of {', '.join(KINDS)}")
        chosen += [view for view in KINDS[word] if view not in chosen]
    return tuple(chosen)


def seen(view: View, size: Extent, look: Look) -> Transform:
    """What a model sees of a picture in this view."""
    height, width = sides(size)
    whole = validating((round(height * view.zoom), round(width * view.zoom)), look)
    return Cut(whole, view, (height, width))


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a transformed picture; a class, so that loader processes can have it."""

    whole: Callable[[Image.Image], Tensor]
    view: View
    size: tuple[int, int]

    def __call__(self, picture: Image.Image) -> Tensor:
        image = self.whole(picture)
        height, width = self.size
        top = round((image.shape[1] - height) * self.view.down)
        left = round((image.shape[2] - width) * self.view.right)
        kept = image[:, top : top + height, left : left + width]
        return kept.flip(-1) if self.view.flip else kept
