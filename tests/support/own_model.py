"""A module of somebody's own, for tests of `model.kind: own`."""

import torch
from torch import nn


def small(num_classes: int, in_chans: int, width: int = 8) -> nn.Module:
    """A network of three layers, which says nothing of itself."""
    stem = nn.Conv2d(in_chans, width, 3, 4)
    return nn.Sequential(
        stem, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last(width, num_classes)
    )


class Classy(nn.Module):
    """The same in a class with a `forward`, with all that learning and judging see differently."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(in_chans, 8, 3, 4), nn.BatchNorm2d(8)
        self.drop, self.last = nn.Dropout(0.2), last(8, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.last(self.drop(self.norm(self.stem(images)).relu().mean((2, 3))))
        return said


def last(width: int, classes: int) -> nn.Module:
    return nn.Linear(width, classes)


def deaf(num_classes: int) -> nn.Module:
    """It does not ask how many classes there are."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes + 1))


def talkative(num_classes: int) -> nn.Module:
    """It gives more than scores."""
    return nn.Sequential(nn.Flatten(), nn.LSTM(3 * 32 * 32, num_classes))


def lifeless(num_classes: int) -> nn.Module:
    return nn.Flatten()


def no_model(num_classes: int) -> torch.Tensor:
    return torch.zeros(num_classes)
