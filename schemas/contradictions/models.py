"""Models and what is asked of them: keys that are right alone and wrong together."""

from collections.abc import Iterator

from schemas import timm_models
from schemas.components.augment import Augment, Curriculum, Mix
from schemas.components.data import Data
from schemas.components.loss import Heads, Loss, MeanAbsolute, MeanSquares, Sum
from schemas.components.model import Directional, LastLayer, Model, Own, Timm, Torchvision
from schemas.components.sources import Mask, Source
from schemas.contradictions.augmenting import refusal_of_size
from schemas.contradictions.contradiction import Contradiction
from schemas.contradictions.learning import losses

FROZEN = "write freeze: [{parts: [backbone]}]"


def of_the_model(model: Model, size: int) -> Iterator[Contradiction]:
    """What would be refused when the model is built."""
    if not isinstance(model, Own) and model.pretrained and model.weights:
        text = "pretrained and weights exclude each other"
        yield Contradiction("model.weights", text, ("model.pretrained",), "keep one of them")
    if model.copy_head:
        yield from of_copied_heads(model)
    if isinstance(model, Timm):
        yield from of_timms(model, size)
    if isinstance(model, Torchvision):
        for key, said in (
            ("in_chans", model.in_chans != 3),
            ("lr_scale_min", model.lr_scale_min < 1),
            ("grad_checkpointing", model.grad_checkpointing),
        ):
            if said:
                text = f"torchvision's models know no {key}"
                help = "leave it out, or take a model of timm"
                yield Contradiction(f"model.{key}", text, ("model.kind",), help)


def of_copied_heads(model: Model) -> Iterator[Contradiction]:
    """Heads that cannot begin with rows of another."""
    key = "model.copy_head"
    if not (model.weights or (not isinstance(model, Own) and model.pretrained)):
        help = "write pretrained: true, or weights"
        yield Contradiction(key, "random weights have no rows to copy", ("model.pretrained",), help)
    if not isinstance(model.head, LastLayer) or model.answers != "classes":
        text = "only a single last layer can have rows of another"
        yield Contradiction(key, text, ("model.head", "model.answers"), "leave it out")


def of_the_features(
    model: Model, augment: Augment, mix: Mix, data: Data
) -> Iterator[Contradiction]:
    """Views that would not stay what they are."""
    frozen = any(not each.until and "backbone" in each.parts for each in model.freeze)
    for text, wrong, other, help in (
        ("a backbone that learns has no features to keep", not frozen, "model.freeze", FROZEN),
        ("features cannot be mixed as images are", mix.on, "mix", "mixup: 0, cutmix: 0"),
        ("these features are of one size", bool(data.smaller), "data.smaller", "leave it out"),
        ("views come round again", isinstance(augment, Curriculum), "augment.kind", "one stage"),
    ):
        if model.feature_views and wrong:
            yield Contradiction("model.feature_views", text, (other,), help)


def of_timms(model: Timm, size: int) -> Iterator[Contradiction]:
    """What timm says of its models."""
    if model.pretrained and (refusal := timm_models.refusal_of_weights(model.name)):
        yield Contradiction("model.pretrained", refusal[0], ("model.name",), refusal[1])
    for option in ("drop_rate", "drop_path_rate"):
        refusal = timm_models.refusal_of_option(model.name, option)
        if getattr(model, option) and refusal:
            yield Contradiction(f"model.{option}", refusal[0], ("model.name",), refusal[1])
    if refusal := refusal_of_size(model, size):
        yield Contradiction("data.img_size", refusal[0], ("model.name",), refusal[1])


def of_the_answers(model: Model, loss: Loss, source: Source) -> Iterator[Contradiction]:
    """Heads for parts that the classes do not have, losses for heads that are not there."""
    whole = isinstance(source, Mask) and source.task == "all"
    if model.answers == "parts" and not whole:
        text = "only the classes of the mask layout have parts: mask, gender and age"
        help = "write data.source.kind: mask and task: all, or answers: classes"
        yield Contradiction("model.answers", text, ("data.source",), help)
    if isinstance(loss, Heads) and model.answers != "parts":
        text = "this model has one head"
        yield Contradiction("loss.kind", text, ("model.answers",), "write model.answers: parts")


def of_the_years(model: Model, loss: Loss, data: Data) -> Iterator[Contradiction]:
    """What does not go with an age that is a number."""
    if model.answers != "years":
        return
    source = data.source
    if not isinstance(source, Mask) or source.task != "age":
        text, help = "only the mask layout says how old people are", "write task: age"
        yield Contradiction("model.answers", text, ("data.source",), help)
    for key, part in losses(loss).items():
        if not isinstance(part, MeanSquares | MeanAbsolute | Sum):
            text = f"{part.kind} is for classes, an age is a number of years"
            yield Contradiction(f"{key}.kind", text, ("model.answers",), "write mse or l1")
    if isinstance(model.head, Directional):
        text, help = "directions cannot say an age", "write head.kind: linear or mlp"
        yield Contradiction("model.head.kind", text, ("model.answers",), help)
    if isinstance(source, Mask) and (source.train_age_limits or source.soft_age):
        key = "train_age_limits" if source.train_age_limits else "soft_age"
        text, help = "the label is the age itself, it has no limit", "leave it out"
        yield Contradiction(f"data.source.{key}", text, ("model.answers",), help)
    for number, extra in enumerate(data.extra):
        if extra.csv:
            text, help = "a table of classes has no ages", "a folder of people, or leave it out"
            yield Contradiction(f"data.extra.{number}.csv", text, ("model.answers",), help)
