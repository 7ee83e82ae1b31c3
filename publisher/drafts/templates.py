"""The configs that `publisher init` can begin with: values only, the words are the specs' own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """Where somebody begins."""

    about: str  # one sentence, the first line of the file
    values: Mapping[str, Any]
    submit: str = ""  # flags of `publisher submit` that it is made for


SKETCHES = {"kind": "sketch_csv", "root": "sketch"}

TEMPLATES: Mapping[str, Template] = {
    "sketch": Template(
        "500 classes of sketches: a timm model, fine-tuned as a whole on one GPU.",
        {
            "name": "sketch",
            "model": {"name": "convnext_tiny.in12k_ft_in1k", "pretrained": True},
            "data": {
                "source": SKETCHES,
                "split": {"kind": "holdout", "fraction": 0.2},
                "img_size": 224,
                "batch_size": 64,
                "workers": 4,
            },
            "loss": {"label_smoothing": 0.1},
            "optim": {"lr": 3e-4, "weight_decay": 0.05},
            "schedule": {"warmup_epochs": 1.0},
            "augment": {"kind": "timm", "scale": [0.5, 1.0], "auto_augment": "rand-m7-mstd0.5"},
            "train": {"epochs": 20, "clip_norm": 1.0},
        },
    ),
    "mask": Template(
        "Masked faces: 18 classes of mask, gender and age; no person trains and validates.",
        {
            "name": "mask",
            "model": {"name": "efficientnet_b2.ra_in1k", "pretrained": True},
            "data": {
                "source": {"kind": "mask", "root": "mask", "task": "all"},
                "split": {"kind": "holdout", "fraction": 0.2, "by": "person"},
                "sampler": {"kind": "imbalanced"},
                "img_size": 256,
                "batch_size": 64,
                "workers": 4,
            },
            "optim": {"lr": 3e-4, "weight_decay": 0.05},
            "schedule": {"warmup_epochs": 1.0},
            "augment": {"kind": "timm", "scale": [0.8, 1.0], "color_jitter": 0.1},
            "train": {"epochs": 15},
            "evaluate": {"metric": "macro_f1"},
        },
    ),
    "small": Template(
        "To try things out: a small model on small images, a minute or so on a CPU.",
        {
            "name": "small",
            "model": {"name": "resnet10t"},
            "data": {"source": SKETCHES, "img_size": 64, "batch_size": 32},
            "optim": {"lr": 2e-3},
            "schedule": {"warmup_epochs": 0.5},
            "train": {"epochs": 4},
        },
    ),
    "kfold": Template(
        "Five folds at each of three learning rates: every fold is a run of its own.",
        {
            "name": "folds",
            "model": {"name": "resnet18.a1_in1k", "pretrained": True},
            "data": {
                "source": SKETCHES,
                "split": {"kind": "kfold", "folds": 5, "fold": 0},
                "img_size": 224,
                "batch_size": 64,
                "workers": 4,
            },
            "schedule": {"warmup_epochs": 1.0},
            "train": {"epochs": 15},
            "evaluate": {"metric": "macro_f1"},
            "sweep": {"grid": {"optim.lr": [1e-3, 5e-4, 2e-4]}},
        },
        submit="--folds 5",
    ),
}
