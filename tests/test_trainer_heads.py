"""Several heads for one image: mask, gender and age each by itself, and the 18 classes of them."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.people import draw_people
from support.trainers import order_for, tiny, train

from schemas.components.loss import CrossEntropy, HeadLoss, Heads, Ordinal
from schemas.components.model import Timm
from schemas.components.sources import GENDERS, MASKS
from schemas.errors import ConfigError
from schemas.source import read
from trainer.answer import finished
from trainer.judge import predictions
from trainer.learn import loss, nets, outputs
from trainer.learn.outputs import PARTED

CPU = torch.device("cpu")
CLASSES = list(product(range(len(MASKS)), range(len(GENDERS)), range(3)))
LOGITS = torch.randn(36, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TARGETS = torch.arange(36) % 18
COUNTS = [5 + number for number in range(18)]
MASKED = {"source": {"kind": "mask"}, "img_size": 32, "batch_size": 4, "workers": 0}
MASKED |= {"split": {"fraction": 0.5}}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people") / "data")


def test_a_class_is_one_value_of_each_part() -> None:
    decoded = torch.stack(PARTED.targets(torch.arange(18)), 1)
    assert decoded.tolist() == [list(each) for each in CLASSES]
    assert outputs.sizes(Timm(name="test_vit"), 18) == (18,)


def test_mixed_targets_give_each_head_its_share() -> None:
    mixed = torch.zeros(1, 18)
    mixed[0, CLASSES.index((0, 1, 2))], mixed[0, CLASSES.index((2, 1, 0))] = 0.7, 0.3
    said = [head[0].tolist() for head in PARTED.targets(mixed)]
    assert [pytest.approx(head) for head in said] == [[0.7, 0, 0.3], [0, 1], [0.3, 0, 0.7]]


def test_what_the_heads_say_together_is_the_product_of_their_probabilities() -> None:
    mask, gender, age = (head.softmax(1) for head in PARTED.split(LOGITS))
    together = torch.einsum("im,ig,ia->imga", mask, gender, age).flatten(1)
    assert torch.allclose(PARTED.joint(LOGITS).double().softmax(1), together, atol=1e-6)


def test_without_weights_the_heads_minimise_what_is_measured() -> None:
    said = loss.criterion(Heads(), COUNTS, CPU)(LOGITS, TARGETS)
    assert said.item() == pytest.approx(F.cross_entropy(PARTED.joint(LOGITS), TARGETS).item())


@pytest.mark.parametrize("mixed", [False, True])
def test_each_head_has_its_loss_its_weight_and_its_own_classes(mixed: bool) -> None:
    balanced = CrossEntropy(class_weights="balanced")
    spec = Heads(mask=HeadLoss(weight=2.0, loss=balanced), age=HeadLoss(weight=0.5, loss=Ordinal()))
    targets = F.one_hot(TARGETS, 18).double() * 0.9 + 0.1 / 18 if mixed else TARGETS
    table = np.array(COUNTS).reshape(3, 2, 3)
    own = [table.sum((1, 2)), table.sum((0, 2)), table.sum((0, 1))]
    specs = (balanced, CrossEntropy(), Ordinal())
    parts = [
        loss.criterion(each, counts.tolist(), CPU)(head.float(), answer)
        for each, counts, head, answer in zip(
            specs,
            own,
            PARTED.split(LOGITS),
            [a.float() if mixed else a for a in PARTED.targets(targets)],
            strict=True,
        )
    ]
    expected = 2.0 * parts[0] + parts[1] + 0.5 * parts[2]
    ready = targets.float() if mixed else targets
    found = loss.criterion(spec, COUNTS, CPU)(LOGITS.float(), ready)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_model_of_three_heads_answers_eighteen_classes(people: Path, tmp_path: Path) -> None:
    config = tiny(
        model={"name": "test_resnet", "answers": "parts", "head": {"kind": "mlp", "hidden": [8]}},
        data=MASKED,
        loss={"kind": "heads", "age": {"weight": 2.0, "loss": {"kind": "mse"}}},
        mix={"mixup": 0.2},
        train__epochs=1,
    )
    result = train(order_for(tmp_path / "run", people, config))
    assert result.exit_code == 0 and result.best and "macro_f1" in result.metrics
    found = finished.find(tmp_path / "run")
    net = found.net()
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 8)
    deep = net.get_submodule("fc")
    assert isinstance(deep, nets.Beside) and [head[-1].out_features for head in deep] == [3, 2, 3]
    said = predictions.read(found.weights / predictions.VALIDATION).probabilities
    table = said.reshape(-1, 3, 2, 3)
    mask, gender, age = table.sum((2, 3)), table.sum((1, 3)), table.sum((1, 2))
    product_of = np.einsum("im,ig,ia->imga", mask, gender, age)
    assert np.allclose(table, product_of, atol=1e-5) and np.allclose(said.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {name: resnet18, answers: parts}", "only the classes of the mask layout"),
        ("loss: {kind: heads}\nmodel: {name: resnet18}", "this model has one head"),
        (
            "model: {name: resnet18, answers: parts}\ndata: {source: {kind: mask}}\n"
            "loss: {kind: heads, mask: {loss: {kind: ordinal}}}",
            "ordinal is for classes in an order",
        ),
        (
            "model: {name: resnet18, answers: parts}\ndata: {source: {kind: mask}}\n"
            "loss: {kind: heads, gender: {loss: {kind: sum, parts: [{loss: {kind: mse}}]}}}",
            "mse is for classes in an order",
        ),
    ],
)
def test_heads_that_are_not_there_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "birds.yaml")
    assert said in "\n".join(caught.value.lines())
