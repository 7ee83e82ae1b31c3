"""What a model begins with and what it leaves, in timm's own words: heads, weights, folders."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from support.sketches import draw_sketches
from support.trainers import order_for, tiny, train
from timm.data import ImageNetInfo, create_loader, resolve_data_config
from torchvision.datasets import ImageFolder
from typer.testing import CliRunner

from schemas.components.model import Timm
from schemas.errors import ConfigError
from schemas.source import read
from trainer.answer import finished
from trainer.checkpoint import WEIGHTS
from trainer.entry.by_hand import app
from trainer.faults import DataFault
from trainer.judge import predictions
from trainer.learn import features, model

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
WNIDS = ImageNetInfo("imagenet-1k").label_names()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


@pytest.fixture(scope="module", params=["test_vit.r160_in1k", "resnet10t"])
def run(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    config = tiny(
        model={"name": request.param, "drop_rate": 0.1},
        data__pixels={"kind": "files"},  # as timm has them
        train__epochs=1,
    )
    assert train(order_for(folder, data, config)).exit_code == 0
    return folder


# ---- what it leaves ------------------------------------------------------------------------------


def test_the_best_weights_are_what_plain_timm_loads(run: Path) -> None:
    found = finished.find(run)
    name, size = (
        found.config.model.name,
        {"img_size": 32} if "vit" in found.config.model.name else {},
    )
    file = str(found.weights / WEIGHTS)
    plain = timm.create_model(name, num_classes=3, checkpoint_path=file, **size).eval()
    with torch.inference_mode():
        assert torch.equal(plain(IMAGES), found.net()(IMAGES))


def test_an_exported_folder_is_a_model_of_timm_with_its_size_and_its_classes(
    run: Path, tmp_path: Path
) -> None:
    said = CliRunner().invoke(app, ["export", str(run), "-o", str(tmp_path / "birds")])
    assert said.exit_code == 0 and "at 32 px, 3 classes" in said.output
    plain = timm.create_model(f"local-dir:{tmp_path / 'birds'}", pretrained=True).eval()
    found = finished.find(run)
    with torch.inference_mode():
        assert torch.equal(plain(IMAGES), found.net()(IMAGES))
    assert tuple(plain.pretrained_cfg["label_names"]) == found.classes
    assert plain.pretrained_cfg["input_size"] == (3, 32, 32)
    again = CliRunner().invoke(app, ["export", str(run), "-o", str(tmp_path / "birds")])
    assert again.exit_code == 2 and "is there already" in again.output


def test_timm_alone_answers_every_validation_image_as_the_run_did(
    run: Path, data: Path, tmp_path: Path
) -> None:
    """As its validate.py does; resnet10t brings a crop for tests that was not ours."""
    CliRunner().invoke(app, ["export", str(run), "-o", str(tmp_path / "birds")])
    plain = timm.create_model(f"local-dir:{tmp_path / 'birds'}", pretrained=True).eval()
    said = predictions.of_run(run)
    for name in said.names:
        (tmp_path / "shown" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shown" / name).symlink_to(data / "train" / name)
    shown = ImageFolder(str(tmp_path / "shown"))  # timm's own leaves its files open
    how = resolve_data_config({}, model=plain, use_test_size=True)
    how |= {"num_workers": 0, "persistent_workers": False, "device": torch.device("cpu")}
    batches = create_loader(shown, batch_size=3, **how)
    with torch.inference_mode():
        found = torch.cat([plain(images).softmax(1) for images, _ in batches]).numpy()
    place = {path: number for number, (path, _) in enumerate(shown.samples)}
    theirs = found[[place[str(tmp_path / "shown" / name)] for name in said.names]]
    assert (theirs.argmax(1) == said.probabilities.argmax(1)).all()
    np.testing.assert_allclose(theirs, said.probabilities, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "head"),
    [("test_resnet", {"kind": "mlp", "hidden": [8]}), ("test_vit", {"kind": "cosine"})],
    ids=["mlp", "cosine"],
)
def test_of_a_head_that_timm_cannot_build_the_backbone_is_exported(
    name: str, head: dict[str, object], data: Path, tmp_path: Path
) -> None:
    config = tiny(model={"name": name, "head": head}, train__epochs=1)
    train(order_for(tmp_path / "run", data, config))
    words = ["export", str(tmp_path / "run"), "-o", str(tmp_path / "out")]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 2 and f"a head of its own ({head['kind']})" in said.output
    assert "--backbone writes the rest" in said.output and not (tmp_path / "out").exists()
    said = CliRunner().invoke(app, [*words, "--backbone"])
    assert said.exit_code == 0 and "features for heads" in said.output
    plain = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    net = finished.find(tmp_path / "run").net()
    with torch.inference_mode(), features.what_the_head_sees(net) as seen:
        net(IMAGES)
        assert torch.equal(plain(IMAGES), seen[0]) and plain.num_classes == 0


# ---- what it begins with -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_a_head_begins_with_the_rows_of_classes_that_are_called_the_same(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "trainer")
    torch.manual_seed(0)
    size = {"img_size": 32} if name == "test_vit" else {}
    donor = timm.create_model(name, num_classes=1000, **size)
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    spec = Timm(name=name, weights="donor.safetensors", copy_head=True)
    classes = (WNIDS[7], "n99999999", WNIDS[0])
    net = model.build(spec, classes, 32, tmp_path, seed=1)
    plain = model.build(spec.model_copy(update={"copy_head": False}), classes, 32, tmp_path, seed=1)
    assert "2 of 3 rows of the head from imagenet-1k" in caplog.text
    head = next(key for key, value in net.state_dict().items() if value.shape[:1] == (3,))
    mine, theirs = net.state_dict()[head], donor.state_dict()[head]
    assert torch.equal(mine[[0, 2]], theirs[[7, 0]])
    assert torch.equal(mine[1], plain.state_dict()[head][1])


def test_a_head_that_has_no_such_classes_is_refused(tmp_path: Path) -> None:
    save_file(
        timm.create_model("test_resnet", num_classes=1000).state_dict(), tmp_path / "a.safetensors"
    )
    save_file(
        timm.create_model("test_resnet", num_classes=7).state_dict(), tmp_path / "b.safetensors"
    )
    spec = Timm(name="test_resnet", weights="a.safetensors", copy_head=True)
    with pytest.raises(DataFault, match="no class is called as one of imagenet-1k: birds, cats"):
        model.build(spec, ("birds", "cats"), 32, tmp_path, seed=1)
    other = spec.model_copy(update={"weights": "b.safetensors"})
    with pytest.raises(DataFault, match="have no head for classes of ImageNet"):
        model.build(other, ("birds", "cats"), 32, tmp_path, seed=1)


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        ("copy_head: true", "random weights have no rows to copy"),
        ("pretrained: true, copy_head: true, head: {kind: mlp}", "only a single last layer"),
    ],
)
def test_rows_that_cannot_be_copied_are_refused_before_anything_is_queued(
    piece: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"model: {{name: resnet18, {piece}}}", "birds.yaml")
    assert said in "\n".join(caught.value.lines())
