"""Pictures small enough for a page that is mailed: none is larger than its share."""

import base64
import io
from itertools import product

from PIL import Image, ImageOps

MOST = 8_000  # bytes of a picture on a page
SIDE = 192  # pixels
QUALITIES = (84, 70, 50, 30, 15)
SIDES = (SIDE, SIDE // 2, SIDE // 4)


def photo_uri(picture: Image.Image) -> str:
    """A photograph as JPEG, as good as its share of the page allows."""
    colours = picture.convert("RGB")
    made = b""
    for side, quality in product(SIDES, QUALITIES):
        made = jpeg(fitted(colours, side), quality)
        if len(made) <= MOST:
            break
    return uri("jpeg", made)


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """No larger than that; a small one keeps its pixels."""
    if max(picture.size) <= side:
        return picture
    return ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS)


def jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def png_uri(picture: Image.Image) -> str:
    """A drawing as PNG, to the last pixel."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return uri("png", file.getvalue())


def uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
