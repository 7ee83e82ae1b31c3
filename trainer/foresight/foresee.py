"""Would this config run, and in how much memory? Answered without weights, data or a GPU.

Whatever goes wrong here is an answer too, never an error: a run must not fail because of us.
"""

import logging
from math import prod

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from schemas.components.data import Extent, px, sides
from schemas.components.model import Net, Own
from schemas.components.sources import Mask
from schemas.config import TrainConfig
from schemas.events import Foreseen, Order
from schemas.preflight import CLASSES, Answer, Ask, Preflight, at_once_of, judge, remedy
from trainer.faults import ConfigFault
from trainer.foresight.shadow import Shadow
from trainer.learn import layers, nets, outputs
from trainer.learn.model import bare
from trainer.report import Report
from trainer.timm_names import patch

IMAGES = 2  # that try a model: BatchNorm cannot learn from one
STEPS = (32, 16, 14)  # what legal sizes are multiples of
FIX_SMALLER = "take data.smaller out, or a model of convolutions"
FAR = 160  # pixels to the farthest size that is tried


LOG = logging.getLogger(__name__)


class Refusal(Exception):
    """The config cannot run; `fix` is what could."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def answer(ask: Ask) -> Answer:
    """The answer to a question, whatever happens on the way."""
    try:
        config = TrainConfig.model_validate(ask.config)
        seen = foresee(config, ask.gpus, ask.classes)
    except Refusal as refusal:
        return Answer(key=ask.key, refused=str(refusal), fix=refusal.fix)
    except ConfigFault as fault:  # what its constructor says; a real one has no meta tensors
        if "meta" in fault.what or isinstance(config.model, Own):  # whose code may not be here
            return Answer(key=ask.key, failed=fault.what)
        return Answer(key=ask.key, refused=fault.what, fix=fault.fix)
    except Exception as error:  # a model may say anything, and so may torch
        return Answer(key=ask.key, failed=f"{type(error).__name__}: {nets.first_line(error)}")
    return Answer(key=ask.key, preflight=seen.model_copy(update={"key": ask.key}))


def first(config: TrainConfig, order: Order, classes: int, report: Report) -> None:
    """The pre-flight of a run that had none, by the trainer that is to run it; a ConfigFault when
    it cannot run here. What the run asked for by hand counts more than what we predict."""
    report.doing("predicting its memory")
    given = answer(Ask(config=config.canonical(), gpus=order.gpus, classes=classes))
    if given.refused:
        raise ConfigFault(given.refused, fix=given.fix)
    if not (seen := given.preflight):
        LOG.warning("no pre-flight: %s", given.failed)
        return
    report.tell(Foreseen(preflight=seen))
    verdict = judge(seen, order.gpu_memory_mb)
    needs = f"it needs {verdict.share:.0%} of the {order.gpu_memory_mb / 1024:.1f} GiB here"
    if verdict.word == "too big" and not order.memory_mb:
        raise ConfigFault(f"{needs}: too much", fix=remedy(seen, verdict))
    LOG.info("%s: %s", needs, verdict.word)


def foresee(config: TrainConfig, gpus: int = 1, classes: int = 0) -> Preflight:
    """The numbers of a config that runs; a Refusal of one that does not."""
    classes = classes or (source.classes if isinstance(source := config.data.source, Mask) else 0)
    notes = [] if classes else [f"assumes {CLASSES} classes"]
    classes, size = classes or CLASSES, config.data.extent
    model = build(config.model, classes, size)
    tried(config, model, classes)
    if refused := refuses_smaller(config, model):
        raise Refusal(refused, FIX_SMALLER)
    layers.Freezer(config.model.freeze, model).learn(config.train.epochs - 1)
    free = [each for each in model.parameters() if each.requires_grad]
    if lost := max(side % patch(model) for side in sides(size)):
        notes.append(f"{lost} of {px(size)} fill no patch of {patch(model)} and are lost")
    if not isinstance(size, int):
        notes.append(f"images of {px(size)}")
    seen = Preflight(
        peak_mb=0,
        precision="fp32" if config.train.precision == "fp32" else "amp",  # auto: on any GPU
        parameters=sum(each.numel() for each in model.parameters()),
        trainable=sum(each.numel() for each in free),
        gmacs=round(gmacs_of(config.model, classes, size), 3),
        img_size=config.data.img_size,
        batch_size=config.data.batch_size,
        accumulate=config.train.accumulate,
        gpus=gpus,
        classes=classes,
        fixed_mb=0,
        image_mb=0,
        input_mb=round(3 * prod(sides(size)) * 4 / 2**20, 4),
        gradient_mb=round(sum(each.nbytes for each in free) / 2**20, 3),
        notes=tuple(notes),
    )
    return with_memory(seen, config, model)


def build(spec: Net, classes: int, size: Extent) -> nn.Module:
    """The model as every run gets it, on the meta device: shapes and nothing else."""
    with torch.device("meta"):
        return nets.create(bare(spec), classes, size)


def tried(config: TrainConfig, model: nn.Module, classes: int) -> None:
    """A Refusal where an image does not go through the model and come out as scores."""
    name, size = config.model.name, config.data.extent
    try:
        with torch.no_grad():
            logits = model.train()(images_of(size, config.model.in_chans))
    except Exception as error:  # whatever a model says about a size, it does not take it
        square = isinstance(size, int)
        sizes = " or ".join(map(str, legal_sizes(config.model, config.data.img_size)))
        if not sizes:
            raise  # at no size: it is the meta device that it does not like
        raise Refusal(
            f"{name} does not run at {px(size)}: {nets.first_line(error)}",
            f"data.img_size={sizes}" + ("" if square else " data.img_width=null"),
        ) from error
    expected = (IMAGES, outputs.of(config, classes).width)
    if not isinstance(logits, Tensor) or logits.shape != expected:
        raise Refusal(
            f"{name} gives {shape(logits)} for an image, not a score for each of {classes} classes",
            "a model with a classifier",
        )


def refuses_smaller(config: TrainConfig, model: nn.Module) -> str:
    """Why the first epochs' images do not go through it: some models take only one size."""
    for size in (each.size for each in config.data.smaller):
        try:
            with torch.no_grad():
                model.train()(images_of(size, config.model.in_chans))
        except Exception as error:  # as above
            what = f"{config.model.name}, built for {px(config.data.extent)}, refuses {size}"
            return f"{what}: {nets.first_line(error)}"
    return ""


def insist_on_smaller(config: TrainConfig, classes: int) -> None:
    """Said before the first step, by whoever is to train it, not at a later epoch."""
    if not config.data.smaller:
        return
    model = build(config.model, classes, config.data.extent)
    if refused := refuses_smaller(config, model):
        raise ConfigFault(refused, fix=FIX_SMALLER)


def gmacs_of(spec: Net, classes: int, size: Extent) -> float:
    """Multiplications of one image through the model, in billions."""
    frozen = build(spec, classes, size).requires_grad_(False)  # free ones confuse the counter
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        frozen(images_of(size, spec.in_chans))
    return float(counter.get_total_flops()) / 2 / IMAGES / 1e9


def images_of(size: Extent, channels: int) -> Tensor:
    return torch.empty(IMAGES, channels, *sides(size), device="meta")


def with_memory(seen: Preflight, config: TrainConfig, model: nn.Module) -> Preflight:
    """With what a step holds at its peak, and how that grows with the batch."""
    shadow = Shadow(config, model, seen.classes, seen.precision == "amp")
    even = 2 if config.mix.on else 1  # only pairs can be mixed
    wanted = at_once_of(seen.batch_size, seen.accumulate, seen.gpus)
    images = -(-wanted // even) * even
    fewer = images // 2 // even * even or images + even
    peak = shadow.peak_mb(images)
    each = (peak - shadow.peak_mb(fewer)) / (images - fewer)  # memory is affine in the batch
    shared = seen.gradient_mb if seen.gpus > 1 else 0.0  # buckets that processes add theirs up in
    kept = seen.gradient_mb  # while the next part is learnt from; at most
    if seen.batch_size // seen.gpus > wanted:
        kept = shadow.peak_mb(images, 2) - peak - images * seen.input_mb
    grown = seen.model_copy(
        update={
            "fixed_mb": round(peak - each * images + shared, 3),
            "image_mb": round(each - seen.input_mb, 4),
            "gradient_mb": round(max(kept, 0.0), 3),
        }
    )
    total = grown.peak(seen.batch_size, seen.accumulate)
    return grown.model_copy(update={"peak_mb": round(total)})


def legal_sizes(spec: Net, size: int) -> list[int]:
    """The nearest image sizes below and above at which the model runs."""
    near = {n * step for step in STEPS for n in range(1, (size + FAR) // step + 1)}
    below = sorted((n for n in near if size - FAR <= n < size), reverse=True)
    above = sorted(n for n in near if n > size)
    found = (next((n for n in side if runs(spec, n)), 0) for side in (below, above))
    return [n for n in found if n]


def runs(spec: Net, size: int) -> bool:
    """Whether the model takes images of this size, and all of each."""
    try:
        model = build(spec, IMAGES, size)
        with torch.no_grad():
            model(images_of(size, spec.in_chans))
    except Exception:  # as above
        return False
    return size % patch(model) == 0


def shape(answer: object) -> str:
    """What came out of a model, in words."""
    if isinstance(answer, Tensor):
        return " x ".join(map(str, answer.shape[1:])) or "one number"
    return f"a {type(answer).__name__}"
