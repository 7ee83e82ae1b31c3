"""What timm has, known without torch: names, pretrained tags, and legal image sizes.

`timm_models.txt` is written by `python -m trainer.timm_names`; a test holds it equal to timm.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("timm_models.txt")
HEADER = """\
# timm {version}, written by `python -m trainer.timm_names`. One line a model:
#   name, legal image sizes (step:least, =size for exactly one, ? for unknown), options that it
#   does not take (with a -), then its pretrained tags, the default first (! marks one without
#   weights). `old > new`: renamed."""

Refusal = tuple[str, str]  # what is wrong, and what to do


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the list."""

    step: int  # legal image sizes are multiples of it; 0: nobody knows
    least: int
    most: int  # the only legal size, or 0
    tags: tuple[str, ...]  # the default first
    without_weights: frozenset[str]
    without_options: frozenset[str]  # of model.*, those that its constructor does not take


@cache
def models() -> dict[str, Model]:
    """Every architecture by its name."""
    rows = [line.split(" ") for line in _lines() if " > " not in line]
    return {name: _model(sizes, tags) for name, sizes, *tags in rows}


@cache
def renamed() -> dict[str, str]:
    """Names of older versions of timm, and what they are called now."""
    return dict(line.split(" > ") for line in _lines() if " > " in line)


def _lines() -> list[str]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def _model(sizes: str, words: list[str]) -> Model:
    options = frozenset(word[1:] for word in words if word.startswith("-"))
    marked = [word for word in words if not word.startswith("-")]
    tags = tuple(tag.removeprefix("!") for tag in marked)
    empty = frozenset(tag[1:] for tag in marked if tag.startswith("!"))
    if sizes == "?":
        return Model(0, 0, 0, tags, empty, options)
    if sizes.startswith("="):
        return Model(1, int(sizes[1:]), int(sizes[1:]), tags, empty, options)
    step, _, least = sizes.partition(":")
    return Model(int(step), int(least), 0, tags, empty, options)


def refusal(name: str) -> Refusal | None:
    """Why timm would not build this model, if so."""
    arch, dot, tag = name.partition(".")
    if not (model := models().get(arch)):
        return f"timm has no model '{arch}'", _nearest(arch)
    if dot and tag not in model.tags:
        tags = ", ".join(model.tags) or "none"
        return f"{arch} has no pretrained tag '{tag}'", f"its tags: {tags}"
    return None


def refusal_of_weights(name: str) -> Refusal | None:
    """Why timm could not load pretrained weights for this known model, if so."""
    arch, _, tag = name.partition(".")
    model = models()[arch]
    having = [each for each in model.tags if each not in model.without_weights]
    if (tag or (model.tags or ("",))[0]) in having:
        return None
    if having:
        return f"{name} has no published weights", f"these have: {', '.join(having)}"
    others = [each for each, other in models().items() if set(other.tags) - other.without_weights]
    close = get_close_matches(arch, others, 3, 0.6)
    help = f"set pretrained: false, or take {' or '.join(close)}" if close else "set it to false"
    return f"timm has no published weights for {arch}", help


def refusal_of_size(name: str, size: int) -> Refusal | None:
    """Why this known model cannot take square images of this size, if so."""
    arch = name.partition(".")[0]
    model = models()[arch]
    if not model.step:
        return None
    if model.most:
        only = model.most
        return (
            None
            if size == only
            else (f"{arch} takes only {only} x {only}", f"set data.img_size: {only}")
        )
    if size >= model.least and size % model.step == 0:
        return None
    if size < model.least:
        return (
            f"{arch} takes no images smaller than {model.least}",
            f"set data.img_size: {model.least}",
        )
    below = max(size - size % model.step, model.least)
    what = f"{arch} takes multiples of {model.step}, got {size}"
    return what, f"the nearest sizes are {below} and {below + model.step}"


def refusal_of_option(name: str, option: str) -> Refusal | None:
    """Why this known model cannot have this option, if so."""
    arch = name.partition(".")[0]
    if option in models()[arch].without_options:
        return f"timm's {arch} does not take {option}", "leave it out"
    return None


# names of other libraries that the users' old configs hold, and timm's for the same architecture
ELSEWHERE = {
    **{f"google/efficientnet-b{n}": f"tf_efficientnet_b{n}" for n in range(8)},
    **{f"efficientnet_v2_{size}": f"tf_efficientnetv2_{size}" for size in "sml"},
    **{f"vit_b_{n}": f"vit_base_patch{n}_224" for n in (16, 32)},
    **{f"vit_l_{n}": f"vit_large_patch{n}_224" for n in (16, 32)},
    "google/vit-base-patch16-224": "vit_base_patch16_224.augreg2_in21k_ft_in1k",
    "nateraw/vit-age-classifier": "vit_base_patch16_224",
    "B_16_imagenet1k": "vit_base_patch16_384",
}
ONLY_TORCHVISION = ("shufflenet_v2_", "squeezenet1_", "alexnet", "mnasnet", "vit_h_14")


def _nearest(arch: str) -> str:
    if arch in renamed():
        return f"it is called '{renamed()[arch]}' now"
    if arch in ELSEWHERE:
        return f"timm calls it '{ELSEWHERE[arch]}'"
    if arch.startswith(ONLY_TORCHVISION):
        return "write kind: torchvision beside it"
    folded = arch.lower().replace("-", "_")
    close = [folded] if folded in models() else get_close_matches(folded, models(), 3, 0.6)
    meant = " or ".join(f"'{each}'" for each in close)
    return f"did you mean {meant}?" if close else "`timm.list_models()` has them all"
