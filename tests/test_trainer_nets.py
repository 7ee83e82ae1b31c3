"""Models of every source: timm, torchvision, somebody's own; and their heads."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from huggingface_hub import constants as hub
from pydantic import TypeAdapter
from safetensors.torch import save_file
from support.sketches import draw_sketches
from support.trainers import order_for, tiny, train
from torch import nn

from schemas import timm_models, torchvision_models
from schemas.components.model import Model, Net
from schemas.errors import ConfigError
from schemas.run import Cause
from schemas.source import read
from trainer.answer import finished
from trainer.data.transforms import Normal
from trainer.faults import ConfigFault, DataFault
from trainer.foresight.foresee import foresee
from trainer.learn import layers, model, nets

SEEDS = ("squeezenet1_1", "shufflenet_v2_x1_0", "efficientnet_b3", "efficientnet_v2_s", "vit_b_32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def spec(**keys: Any) -> Net:
    found: Net = TypeAdapter(Model).validate_python({"kind": "timm", **keys})
    return found


def build(asked: Net, root: Path, classes: int = 3, size: int = 32) -> nn.Module:
    return model.build(asked, "abcdefg"[:classes], size, root, seed=1)


def equal(one: nn.Module, other: nn.Module, but: str = "nothing") -> bool:
    theirs = other.state_dict()
    mine = {key: value for key, value in one.state_dict().items() if not key.startswith(but)}
    return all(torch.equal(value, theirs[key]) for key, value in mine.items())


# ---- torchvision ---------------------------------------------------------------------------------


def test_the_list_of_torchvisions_models_is_torchvisions() -> None:
    theirs = torchvision.models.list_models(module=torchvision.models)
    kept = [
        n for n in theirs if not n.startswith("regnet") and n not in {"googlenet", "inception_v3"}
    ]
    assert list(torchvision_models.NAMES) == kept


@pytest.mark.parametrize("name", SEEDS)
def test_torchvisions_models_answer_for_our_classes_and_say_what_their_head_is(name: str) -> None:
    with torch.device("meta"):
        net = nets.create(spec(kind="torchvision", name=name), 18, 64)
        assert net(torch.empty(2, 3, 64, 64)).shape == (2, 18)
    head = nets.classifiers(net)
    of_head = [part for key, part in net.named_parameters() if key.startswith(head)]
    assert [part.shape[0] for part in of_head] == [18, 18]


def test_weights_of_torchvisions_models_load_without_their_head(tmp_path: Path) -> None:
    donor = torchvision.models.shufflenet_v2_x0_5(num_classes=7)
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    asked = spec(kind="torchvision", name="shufflenet_v2_x0_5", weights="donor.safetensors")
    assert equal(build(asked, tmp_path), donor, but="fc.")


def test_published_weights_that_are_nowhere_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataFault, match="torchvision's weights for squeezenet1_1") as caught:
        build(spec(kind="torchvision", name="squeezenet1_1", pretrained=True), tmp_path)
    assert "model.pretrained=false" in caught.value.fix and "\n" not in caught.value.what


def test_torchvisions_published_weights_fill_all_but_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    donor = torchvision.models.squeezenet1_1()
    torch.save(donor.state_dict(), cache / "squeezenet1_1-b8a52dc0.pth")
    asked = spec(kind="torchvision", name="squeezenet1_1", pretrained=True)
    assert equal(build(asked, tmp_path), donor, but="classifier.1.")


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        ("{kind: torchvision, name: resnet18d}", "write kind: timm"),
        ("{kind: torchvision, name: shufflenet_v2}", "did you mean 'shufflenet_v2_x"),
        ("{kind: torchvision, name: resnet18, lr_scale_min: 0.1}", "know no lr_scale_min"),
        ("{name: shufflenet_v2_x1_0}", "write kind: torchvision"),
        ("{name: google/efficientnet-b2}", "timm calls it 'tf_efficientnet_b2'"),
        ("{name: vit_b_32}", "timm calls it 'vit_base_patch32_224'"),
        ("{kind: own, name: mine}", "such as package.module:function"),
        ("{name: resnet18, options: {checkpoint_path: /etc/x}}", "write model.weights"),
        ("{name: resnet18, options: {num_classes: 7}}", "the data say how many"),
        ("{name: resnet18, options: {depth: {a: 1}}}", "a number, a word, or a list"),
        ("{name: resnet18, options: 3}", "must be a section of keys, got 3"),
        ("{kind: torch, name: resnet18}", "did you mean 'torchvision'"),
    ],
)
def test_a_model_that_nobody_has_is_told_where_it_is(piece: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"model: {piece}", "birds.yaml")
    assert said in "\n".join(caught.value.lines())


def test_every_name_of_another_library_leads_to_one_that_timm_has() -> None:
    assert not [name for name in timm_models.ELSEWHERE.values() if timm_models.refusal(name)]


# ---- somebody's own ------------------------------------------------------------------------------


def test_somebodys_own_module_trains_and_is_found_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINQ_PLUGINS", "support")
    asked = {"kind": "own", "name": "support.own_model:small", "options": {"width": 4}}
    config = tiny(model=asked, train__epochs=1)
    result = train(order_for(tmp_path / "run", data, config))
    assert result.exit_code == 0 and result.best
    assert finished.find(tmp_path / "run").net()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    parameters = sum(part.numel() for part in build(config.model, data).parameters())
    assert foresee(config, classes=3).parameters == parameters


def test_a_module_that_nobody_allowed_is_not_even_imported(data: Path, tmp_path: Path) -> None:
    config = tiny(model={"kind": "own", "name": "os:system"})
    result = train(order_for(tmp_path / "run", data, config))
    assert result.cause is Cause.CONFIG and "os is not allowed to run here" in result.error
    assert result.try_this == "TRAINQ_PLUGINS=os"


def test_what_is_no_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINQ_PLUGINS", "support")
    with pytest.raises(ConfigFault, match="gives a Tensor"):
        build(spec(kind="own", name="support.own_model:no_model"), tmp_path)
    with pytest.raises(ConfigFault, match=r"cannot load support\.own_model:away"):
        build(spec(kind="own", name="support.own_model:away"), tmp_path)
    with pytest.raises(ConfigFault, match=r"own cannot build .* unexpected keyword"):
        build(spec(kind="own", name="support.own_model:small", options={"deep": 2}), tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deaf", r"gives \[1, 4\] for an image, not \[1, 3\]"),
        ("talkative", r"gives a tuple for an image"),
        ("lifeless", "has nothing that learns"),
    ],
)
def test_a_module_that_says_no_scores_is_refused_before_the_first_step(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINQ_PLUGINS", "support")
    with pytest.raises(ConfigFault, match=said):
        build(spec(kind="own", name=f"support.own_model:{name}"), tmp_path)


# ---- channels, options, heads --------------------------------------------------------------------


def test_a_model_of_one_channel_sees_images_in_gray(data: Path, tmp_path: Path) -> None:
    config = tiny(model={"name": "test_resnet", "in_chans": 1}, train__epochs=1)
    assert train(order_for(tmp_path / "run", data, config)).exit_code == 0
    assert finished.find(tmp_path / "run").net()(torch.zeros(1, 1, 32, 32)).shape == (1, 3)
    look = {"mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3)}
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert Normal(look, torch.device("cpu"), 1)(red).item() == pytest.approx(
        (0.298 - 0.5) / 0.2, 0.02
    )
    assert foresee(config).peak_mb >= 0


def test_options_reach_the_constructor(tmp_path: Path) -> None:
    asked = spec(name="test_vit", options={"depth": 2, "embed_dim": 48, "num_heads": 3})
    net = build(asked, tmp_path)
    assert net.state_dict()["blocks.1.norm1.weight"].shape == (48,)
    assert "blocks.2.norm1.weight" not in net.state_dict()


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_a_head_of_several_layers_stands_where_the_last_one_was(name: str, tmp_path: Path) -> None:
    head = {"kind": "mlp", "hidden": [16, 8], "activation": "leaky_relu", "drop_rate": 0.2}
    net = build(spec(name=name, head=head), tmp_path)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    deep = net.get_submodule(nets.classifiers(net)[0].rstrip("."))
    kinds = [type(part).__name__ for part in deep.children()]
    assert kinds == [*["Linear", "BatchNorm1d", "LeakyReLU", "Dropout"] * 2, "Linear"]
    layers.Freezer(spec(name=name, freeze=[{}]).freeze, net).learn(0)
    learns = {key for key, part in net.named_parameters() if part.requires_grad}
    assert learns == {
        key for key, _ in net.named_parameters() if key.startswith(nets.classifiers(net))
    }


def test_a_head_of_several_layers_is_trained_and_kept(data: Path, tmp_path: Path) -> None:
    head = {"kind": "mlp", "hidden": [8], "norm": False}
    config = tiny(model={"name": "test_vit", "head": head}, train__epochs=1)
    assert train(order_for(tmp_path / "run", data, config)).exit_code == 0
    assert "head.0.weight" in finished.find(tmp_path / "run").net().state_dict()
