"""Where a trainer takes its pixels from."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.components.spec import Spec


class Cached(Spec):
    """Every image decoded and shrunk once, then mapped from the host's cache (TRAINQ_CACHE)."""

    kind: Literal["cache"] = "cache"
    side: Annotated[int, Field(strict=True, ge=0, le=4096)] = 0
    """The shorter side in the cache; 0: half as much again as img_size. None is enlarged."""


class Files(Spec):
    """The original files, decoded anew for every sample: slow, and exactly timm's way."""

    kind: Literal["files"] = "files"


Pixels = Annotated[Cached | Files, Field(discriminator="kind")]
