"""A module of somebody's own, for tests of `model.kind: own`."""

import torch
from torch import nn


def small(num_classes: int, in_chans: int, width: int = 8) -> nn.Module:
    """A network of three layers, which says nothing of itself."""
    stem = nn.Conv2d(in_chans, width, 3, 4)
    return nn.Sequential(
        stem, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last(width, num_classes)
    )


def last(width: int, classes: int) -> nn.Module:
    return nn.Linear(width, classes)


def no_model(num_classes: int) -> torch.Tensor:
    return torch.zeros(num_classes)
