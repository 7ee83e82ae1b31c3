"""timm models, their first weights, and what this machine can do."""

from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pytest
import timm
import torch
from huggingface_hub import constants as hub
from safetensors.torch import save_file
from timm.data.mixup import mixup_target
from timm.loss import SoftTargetCrossEntropy

from schemas.components.loss import CrossEntropy
from schemas.components.model import Timm
from trainer import machine
from trainer.faults import ConfigFault, DataFault
from trainer.learn import loss, model

CPU = torch.device("cpu")


def build(spec: Timm, root: Path, *, classes: int = 3, size: int = 32) -> torch.nn.Module:
    return model.build(spec, "abcdefg"[:classes], size, root, seed=1)


def equal(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    others = right.state_dict()
    return all(torch.equal(value, others[name]) for name, value in left.state_dict().items())


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit", "test_coatnet"])
def test_a_model_takes_its_size_only_where_timm_wants_it(name: str, tmp_path: Path) -> None:
    net = build(Timm(name=name, drop_rate=0.1), tmp_path, size=64)
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_the_first_weights_follow_from_the_seed(tmp_path: Path) -> None:
    spec = Timm(name="test_vit")
    torch.rand(3)
    assert equal(build(spec, tmp_path), build(spec, tmp_path))
    assert not equal(build(spec, tmp_path), model.build(spec, "abc", 32, tmp_path, seed=2))


def test_what_a_model_does_not_have_is_a_config_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"timm cannot build vgg11.*drop_path_rate"):
        build(Timm(name="vgg11", drop_path_rate=0.1), tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_weights_are_loaded_and_a_head_for_other_classes_is_left_out(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "trainer")
    donor = timm.create_model("test_vit", num_classes=7, img_size=32)
    file = tmp_path / f"donor{suffix}"
    weights = donor.state_dict()
    save_file(weights, file) if suffix == ".safetensors" else torch.save(
        {"state_dict": weights}, file
    )
    net = build(Timm(name="test_vit", weights=file.name), tmp_path)
    assert torch.equal(net.state_dict()["norm.weight"], weights["norm.weight"])
    assert torch.equal(net.state_dict()["pos_embed"], weights["pos_embed"])
    assert f"starts from {file.name}: 78 tensors, the head is new" in caplog.text


def test_weights_for_another_image_size_are_converted_as_timm_does(tmp_path: Path) -> None:
    donor = timm.create_model("test_vit", num_classes=3, img_size=64)
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    net = build(Timm(name="test_vit", weights="donor.safetensors"), tmp_path)
    assert torch.equal(net.state_dict()["head.weight"], donor.state_dict()["head.weight"])


def test_weights_of_another_model_are_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "donor.safetensors")
    with pytest.raises(DataFault, match=r"are of another model: \d+ tensors missing"):
        build(Timm(name="test_vit", weights="donor.safetensors"), tmp_path)


def test_a_weights_file_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    torch.save({"weight": Trap()}, tmp_path / "bad.pth")
    with pytest.raises(DataFault, match=r"bad\.pth: it is damaged, or holds more than tensors"):
        build(Timm(name="test_vit", weights="bad.pth"), tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_missing_local_weights_say_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"there are no weights at .*none\.pth"):
        build(Timm(name="test_vit", weights="none.pth"), tmp_path)


def test_pretrained_without_cache_and_network_fails_at_once_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataFault, match="not in this host's cache") as caught:
        build(Timm(name="test_resnet.r160_in1k", pretrained=True), tmp_path)
    assert "model.pretrained=false" in caught.value.fix
    assert "\n" not in caught.value.what
    assert hub.HF_HUB_OFFLINE, "nobody is asked again and again, for a minute"


def test_the_cpu_computes_in_fp32_unless_bf16_is_asked_for() -> None:
    assert machine.precision("auto", "", CPU) == "fp32"
    assert machine.precision("bf16", "", CPU) == "bf16"
    with pytest.raises(ConfigFault, match="has no fp16"):
        machine.precision("fp16", "", CPU)


def test_what_a_step_on_the_cpu_frees_is_there_for_the_next_one() -> None:
    machine.place(torch.nn.Linear(1, 1), torch.device("cpu"))

    def pages_asked_for() -> int:
        before = getrusage(RUSAGE_SELF).ru_minflt
        torch.ones(64 << 20, dtype=torch.uint8)  # freed at once; more than glibc ever keeps
        return getrusage(RUSAGE_SELF).ru_minflt - before

    # the first may take blocks that others left untouched; without us each is new
    assert min(pages_asked_for() for _ in range(8)) < 1000  # of 16,384


def test_an_earlier_attempts_choice_is_repeated_where_the_machine_can() -> None:
    assert machine.precision("auto", "bf16", CPU) == "bf16"
    assert machine.precision("auto", "fp16", CPU) == "fp32"


def test_the_loss_of_mixed_targets_is_timms() -> None:
    logits, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 0])
    ours = mixup_target(targets, 4, lam=0.3)
    theirs = mixup_target(targets, 4, lam=0.3, smoothing=0.1)
    mixed = loss.criterion(CrossEntropy(label_smoothing=0.1), [1] * 4, torch.device("cpu"))
    assert torch.allclose(mixed(logits, ours), SoftTargetCrossEntropy()(logits, theirs))
