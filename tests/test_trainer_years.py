"""Ages in years: what a model learns, what is made of it, and the age group that follows."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support.learners import CPU, IMAGES
from support.people import draw_people
from support.trainers import folder_of, order_for, tiny, train

from schemas.components.loss import MeanAbsolute, MeanSquares, Share, Sum
from schemas.components.sources import Mask
from schemas.config import TrainConfig
from schemas.errors import ConfigError
from schemas.source import read
from trainer.answer import finished
from trainer.crew import Solo
from trainer.data import course, loader, mask, pixels, sources, split
from trainer.data.images import Images
from trainer.data.plan import Plan
from trainer.judge import predictions
from trainer.learn import evidence, loss, model, outputs
from trainer.learn.learner import Learner
from trainer.learn.outputs import Years

AGES = torch.tensor([18, 60, 33, 29])
YEARS = {"model": {"name": "test_resnet", "answers": "years"}, "loss": {"kind": "mse"}}
FACES = {"source": {"kind": "mask", "task": "age"}, "split": {"fraction": 0.5}}


def config(**more: object) -> TrainConfig:
    return tiny(**YEARS, **{f"data__{key}": value for key, value in FACES.items()}, **more)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people") / "data")


def said(years: torch.Tensor) -> torch.Tensor:
    """The outputs of a model that means these ages."""
    return ((years - 40) / 20)[:, None]


@pytest.mark.parametrize("limits", [(30, 60), (30, 58), (58, 59)])
def test_an_age_is_in_the_group_that_its_whole_years_are_in(limits: tuple[int, int]) -> None:
    ages = torch.arange(0.0, 101.0)
    expected = [mask.age_group(int(age), limits) for age in ages]
    for off in (-0.45, 0.0, 0.45):  # what is rounded away
        found = Years(limits).joint(said(ages + off))
        assert found.argmax(1).tolist() == expected


def test_a_group_is_the_less_likely_the_further_away_it_is() -> None:
    found = Years((30, 60)).joint(said(torch.tensor([20.0, 29.0, 29.5, 45.0]))).softmax(1)
    assert torch.allclose(found.sum(1), torch.ones(4))
    assert found[0, 0] > found[1, 0] > found[2, 0] == found[2, 1]
    assert found[3, 0] < found[3, 1] > found[3, 2] and found[0, 1] > found[0, 2]


@pytest.mark.parametrize("mixed", [False, True])
def test_losses_are_of_years_by_a_reference_in_float64(mixed: bool) -> None:
    guessed = torch.tensor([20.5, 40.0, 33.0, 71.0])
    answers, true = AGES, AGES.double().numpy()
    if mixed:  # a part of each from the image at the other end of the batch
        table = torch.nn.functional.one_hot(AGES, Years.labels).double()
        answers, true = 0.7 * table + 0.3 * table.flip(0), 0.7 * true + 0.3 * true[::-1]
    far = (guessed.double().numpy() - true) / 20
    sum_of = Sum(parts=(Share(weight=2.0, loss=MeanSquares()), Share(loss=MeanAbsolute())))
    for spec, expected in (
        (MeanSquares(), np.mean(far**2)),
        (MeanAbsolute(), np.mean(abs(far))),
        (sum_of, 2 * np.mean(far**2) + np.mean(abs(far))),
    ):
        criterion = loss.for_outputs(spec, Years((30, 60)), [1, 1, 1], CPU)
        assert criterion(said(guessed), answers).item() == pytest.approx(expected, rel=1e-5)


def test_l1_of_classes_in_an_order_is_how_far_the_expected_class_is_off() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    expected = abs(
        logits.double().softmax(1) @ torch.arange(3.0).double() - torch.tensor([2, 0, 1, 1])
    )
    found = loss.criterion(MeanAbsolute(), [1, 1, 1], CPU)(logits, torch.tensor([2, 0, 1, 1]))
    assert found.item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_training_images_have_the_age_of_their_folder_and_validating_ones_its_group(
    people: Path,
) -> None:
    asked = config()
    images = sources.read(asked.data, people).to_learn("years")
    plain = sources.read(asked.data, people)
    assert plain.to_learn("classes") is plain and images.digest != plain.digest
    older = Images(**{**{name: getattr(plain, name) for name in plain.__slots__}, "years": ()})
    assert older.to_learn("years").digest != images.digest
    shown = course.Way(pixels.pictures(asked.data, images, people, lambda what: None), np.asarray)
    pictures = loader.Pictures(images, course.Course(shown), 1)
    for index, name in enumerate(images.names):
        age = int(re.findall(r"_(\d+)/", name)[0])
        assert pictures.label(0, index) == age
        assert images.targets[index] == mask.age_group(age, (30, 60))
    assert evidence.said_of(images, 33) == "33 years"
    assert evidence.said_of(plain, 1) == "30to59"


def test_ages_of_a_batch_are_learnt(people: Path) -> None:
    asked = config(optim__lr=1e-3)
    images = sources.read(asked.data, people)
    plan = Plan.of(asked, split.divide(images, asked.data.split, 1), Solo())
    net = model.build(asked.model, images.classes, 32, people, 1)
    learner = Learner(asked, net, plan, 3, device=CPU, precision="fp32", micro_batch=4)
    first = [learner.step(IMAGES, AGES, 0).item() for _ in range(30)]
    assert first[-1] < 0.1 * first[0]


def test_a_model_of_years_is_trained_judged_and_found_again(people: Path, tmp_path: Path) -> None:
    order = order_for(tmp_path / "run", people, config(mix={"mixup": 0.2}, train__epochs=1))
    result = train(order)
    assert result.exit_code == 0 and result.best and "macro_f1" in result.metrics, result.error
    found = finished.find(tmp_path / "run")
    assert found.net()(torch.zeros(2, 3, 32, 32)).shape == (2, 1)
    assert found.classes == mask.class_names(Mask(task="age"))
    answers = predictions.read(folder_of(order).best / predictions.VALIDATION)
    assert answers.probabilities.shape == (len(answers.names), 3)
    assert np.allclose(answers.probabilities.sum(1), 1, atol=1e-5)


def test_the_example_of_the_page_is_a_model_of_years() -> None:
    page = (Path(__file__).parents[1] / "docs" / "learning.md").read_text()
    (piece,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    said = read(piece, "docs/learning.md").config
    assert outputs.of(said, 3) == Years((30, 60))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: {source: {kind: mask}}\nloss: {kind: mse}", "how old people are"),
        ("loss: {kind: mse}", "only the mask layout says"),
        ("data: {source: {kind: mask, task: age}}", "cross_entropy is for classes, an age is"),
        (
            "data: {source: {kind: mask, task: age}}\n"
            "loss: {kind: sum, parts: [{loss: {kind: l1}}, {loss: {kind: ordinal}}]}",
            "ordinal is for classes",
        ),
        (
            "data: {source: {kind: mask, task: age, soft_age: 2}}\nloss: {kind: mse}",
            "the label is the age itself",
        ),
        (
            "data: {source: {kind: mask, task: age}, extra: [{csv: pseudo.csv}]}\nloss: {kind: l1}",
            "a table of classes has no ages",
        ),
    ],
)
def test_what_does_not_go_with_an_age_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"model: {{name: resnet18, answers: years}}\n{text}", "faces.yaml")
    assert said in "\n".join(caught.value.lines())


def test_directions_cannot_say_an_age() -> None:
    text = "model: {name: resnet18, answers: years, head: {kind: cosine}}\nloss: {kind: mse}\n"
    with pytest.raises(ConfigError) as caught:
        read(f"{text}data: {{source: {{kind: mask, task: age}}}}", "faces.yaml")
    assert "directions cannot say an age" in "\n".join(caught.value.lines())
