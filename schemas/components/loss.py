"""What is minimised. All take softmax heads of one answer an image, mixed answers too."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.components.spec import BelowOne, NonNegative, Part, Positive, Spec

ClassWeights = Literal["none", "balanced", "effective"]


class CrossEntropy(Spec):
    """Softmax cross entropy."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: BelowOne = 0.0
    """How much of the target is spread over all classes."""
    class_weights: ClassWeights = "none"
    """balanced: a class counts by the inverse of how many training images it has; effective: of
    how many different ones, as `beta` says."""
    beta: BelowOne = 0.999
    """Of `effective`: n images are worth (1 - beta^n) / (1 - beta) different ones."""


class Focal(Spec):
    """Cross entropy in which images that are already right count less: (1 - p)^gamma."""

    kind: Literal["focal"] = "focal"
    gamma: NonNegative = 2.0
    """How much less; 0 is cross entropy."""
    label_smoothing: BelowOne = 0.0
    """How much of the target is spread over all classes."""
    class_weights: ClassWeights = "none"
    """balanced: a class counts by the inverse of how many training images it has; effective: of
    how many different ones, as `beta` says."""
    beta: BelowOne = 0.999
    """Of `effective`: n images are worth (1 - beta^n) / (1 - beta) different ones."""


class ClassBalancedFocal(Spec):
    """A sigmoid focal loss for each class; classes weigh by the inverse of their effective number,
    which over all classes has the mean 1."""

    kind: Literal["class_balanced_focal"] = "class_balanced_focal"
    gamma: NonNegative = 2.0
    """How much less counts what is already right."""
    beta: BelowOne = 0.9
    """n images are worth (1 - beta^n) / (1 - beta) different ones."""


class SoftF1(Spec):
    """1 - macro F1, counted with probabilities over the images that go through the model at once:
    with train.accumulate, and on several GPUs, it is the mean of as many parts."""

    kind: Literal["f1"] = "f1"
    eps: Positive = 1e-7
    """The denominators' floor."""


class SymmetricCrossEntropy(Spec):
    """Cross entropy and, against wrong labels, its reverse: that of the labels under the model."""

    kind: Literal["symmetric"] = "symmetric"
    alpha: NonNegative = 0.1
    """The weight of cross entropy."""
    beta: NonNegative = 1.0
    """The weight of its reverse."""
    floor: Part = 1e-4
    """What a label says of the classes that it does not name: it has a logarithm."""


class BinaryCrossEntropy(Spec):
    """A yes or no for each class by itself, the mean over all of them."""

    kind: Literal["bce"] = "bce"
    label_smoothing: BelowOne = 0.0
    """How much of the target is spread over all classes."""


class MeanSquares(Spec):
    """For classes in an order: the square of how far the expected class number is from the true
    one."""

    kind: Literal["mse"] = "mse"


class MeanAbsolute(Spec):
    """The same without the square. Of ages in years (`model.answers: years`) both count in
    twenties of years."""

    kind: Literal["l1"] = "l1"


class Ordinal(Spec):
    """For classes in an order: the mean square between the two cumulative distributions, the
    squared earth mover's distance."""

    kind: Literal["ordinal"] = "ordinal"


class ArcFace(Spec):
    """Cross entropy whose true class must be ahead by an angle; needs model.head.kind: cosine."""

    kind: Literal["arcface"] = "arcface"
    margin: Annotated[Positive, Field(lt=3.1415)] = 0.5
    """The angle, in radians."""
    scale: Positive = 30.0
    """That of the model's head."""


Single = Annotated[
    CrossEntropy
    | Focal
    | ClassBalancedFocal
    | SoftF1
    | SymmetricCrossEntropy
    | BinaryCrossEntropy
    | MeanSquares
    | MeanAbsolute
    | Ordinal
    | ArcFace,
    Field(discriminator="kind"),
]


class Share(Spec):
    """One of the losses of a sum."""

    weight: Positive = 1.0
    """What it counts."""
    loss: Single = Field(default_factory=CrossEntropy)
    """What is counted."""


class Sum(Spec):
    """Several losses, each with its weight."""

    kind: Literal["sum"] = "sum"
    parts: Annotated[tuple[Share, ...], Field(min_length=1)]
    """What is added up."""


class HeadLoss(Spec):
    """What one of several heads minimises."""

    weight: Positive = 1.0
    """What it counts beside the others."""
    loss: Annotated[Single | Sum, Field(discriminator="kind")] = Field(default_factory=CrossEntropy)
    """What is counted; class weights are by the classes of this head."""


class Heads(Spec):
    """A loss for each head of `model.answers: parts`, added up. Any other loss is for all alike."""

    kind: Literal["heads"] = "heads"
    mask: HeadLoss = HeadLoss()
    """worn, incorrect, not worn."""
    gender: HeadLoss = HeadLoss()
    """male, female."""
    age: HeadLoss = HeadLoss()
    """The age group: in an order, so that mse, l1 and ordinal are possible."""


Loss = Annotated[
    CrossEntropy
    | Focal
    | ClassBalancedFocal
    | SoftF1
    | SymmetricCrossEntropy
    | BinaryCrossEntropy
    | MeanSquares
    | MeanAbsolute
    | Ordinal
    | ArcFace
    | Sum
    | Heads,
    Field(discriminator="kind"),
]
