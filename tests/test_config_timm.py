"""The list of timm's models says what timm says; its sizes hold when models are really built."""

import pytest
import timm
from timm.data.auto_augment import (
    augment_and_mix_transform,
    auto_augment_transform,
    rand_augment_transform,
)

from schemas import timm_models
from schemas.config import TrainConfig
from schemas.explain import examine
from schemas.timm_models import Model, models, refusal, refusal_of_size, refusal_of_weights, renamed
from trainer import timm_names


def refused(part: dict[str, object]) -> list[tuple[str, str]]:
    return [(fault.message, fault.help) for fault in examine(part)[1]]


# ---- equal to timm -------------------------------------------------------------------------------


def test_the_list_is_of_the_installed_timm() -> None:
    header = timm_models.HEADER.format(version=timm.__version__)
    assert timm_models.FILE.read_text().startswith(header)
    assert timm_models.FILE.stat().st_size < 300_000


def test_names_and_tags_equal_timms() -> None:
    ours = {
        name: ["!" * (tag in model.without_weights) + tag for tag in model.tags]
        for name, model in models().items()
    }
    assert ours == {name: timm_names.tags(name) for name in timm.list_models()}


def test_renamed_models_equal_timms() -> None:
    assert [f"{old} > {new}" for old, new in renamed().items()] == list(timm_names.renamed())


def test_the_models_with_weights_are_those_that_timm_lists() -> None:
    for name in models():
        assert (refusal_of_weights(name) is None) == timm.models.is_model_pretrained(name), name
    for name in timm.list_pretrained():
        assert refusal(name) is None
        assert refusal_of_weights(name) is None


@pytest.mark.parametrize(
    ("name", "legal", "illegal"),
    [
        ("resnet10t", [16, 65, 250], []),
        ("convnext_atto", [32, 225], [31]),
        ("inception_v3", [75, 300], [74]),
        ("vit_tiny_patch16_224", [16, 240, 256], [250]),
        ("eva02_tiny_patch14_224", [28, 238], [225, 240]),
        ("coatnet_0_rw_224", [32, 256], [250]),
        ("maxvit_tiny_tf_224", [64, 256], [240]),
        ("swin_tiny_patch4_window7_224", [224, 250], []),
        ("hrnet_w18_small", [32, 96], [80]),
        ("botnet26t_256", [64, 288], [272]),
        ("efficientformer_l1", [224], [256, 192]),
        ("crossvit_9_240", [240, 480], [224]),
        ("levit_128s", [16, 240], [250]),
        ("hiera_tiny_224", [64, 256], [240]),
    ],
)
def test_sizes_hold_when_the_model_is_really_built(
    name: str, legal: list[int], illegal: list[int]
) -> None:
    for size in legal:
        assert refusal_of_size(name, size) is None, size
        assert timm_names.fits(name, size), size
    for size in illegal:
        assert refusal_of_size(name, size), size
        lost = size % timm_names.patch(timm_names.build(name, min(legal))) > 0
        assert lost or not timm_names.fits(name, size), size


@pytest.mark.parametrize("name", ["resnet10t", "test_vit", "test_convnext"])
def test_the_sizes_in_the_list_are_what_its_writer_measures(name: str) -> None:
    assert f"\n{name} {timm_names.sizes(name)} " in timm_models.FILE.read_text()


# ---- what people read ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("efficientnet-b4", "did you mean 'efficientnet_b4'?"),
        ("ResNet50.a1_in1k", "did you mean 'resnet50'?"),
        ("resnt50", "did you mean 'resnet50' or 'resnet50t' or 'resnet50s'?"),
        ("tf_efficientnet_b0_ns", "it is called 'tf_efficientnet_b0.ns_jft_in1k' now"),
        ("qqqqqqqq", "`timm.list_models()` has them all"),
        ("", "`timm.list_models()` has them all"),
    ],
)
def test_an_unknown_model_names_the_nearest(name: str, help: str) -> None:
    assert refused({"model": {"name": name}}) == [
        (f"timm has no model '{name.partition('.')[0]}'", help)
    ]


def test_a_bad_tag_lists_the_tags_of_its_model() -> None:
    assert refusal("resnet18.a9_in1k") == (
        "resnet18 has no pretrained tag 'a9_in1k'",
        f"its tags: {', '.join(models()['resnet18'].tags)}",
    )
    assert refusal("davit_giant.x") == ("davit_giant has no pretrained tag 'x'", "its tags: none")


def test_pretrained_without_weights_names_models_that_have_them() -> None:
    what, help = refusal_of_weights("coatnet_3_224") or ("", "")
    assert what == "timm has no published weights for coatnet_3_224"
    assert help.startswith("set pretrained: false, or take coatnet_3_rw_224 or ")
    assert refusal_of_weights("resnext101_32x4d.untrained") == (
        "resnext101_32x4d.untrained has no published weights",
        "these have: fb_ssl_yfcc100m_ft_in1k, fb_swsl_ig1b_ft_in1k, gluon_in1k",
    )


def test_pretrained_without_weights_and_without_a_like_says_to_leave_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lonely = Model(1, 16, 0, ("untrained",), frozenset({"untrained"}), frozenset())
    monkeypatch.setitem(models(), "qqqqqqqq", lonely)
    assert refusal_of_weights("qqqqqqqq") == (
        "timm has no published weights for qqqqqqqq",
        "set it to false",
    )


@pytest.mark.parametrize(
    ("name", "size", "what", "help"),
    [
        ("vit_tiny_patch16_224", 250, "takes multiples of 16, got 250", "240 and 256"),
        ("efficientformer_l1", 192, "takes only 224 x 224", "data.img_size: 224"),
        ("convnext_atto", 24, "takes no images smaller than 32", "data.img_size: 32"),
        ("maxvit_tiny_tf_224", 40, "takes multiples of 32, got 40", "32 and 64"),
    ],
)
def test_an_illegal_size_names_the_nearest_legal_ones(
    name: str, size: int, what: str, help: str
) -> None:
    ((message, hint),) = refused({"model": {"name": name}, "data": {"img_size": size}})
    assert message == f"{name} {what}"
    assert help in hint


def test_a_model_whose_sizes_nobody_knows_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models(), "resnet18", timm_models._model("?", []))
    assert refusal_of_size("resnet18", 17) is None


@pytest.mark.parametrize(
    ("name", "options"),
    [("vgg11", ["-drop_path_rate"]), ("resnet10t", []), ("gemma4_vit_167m_enc", ["-drop_rate"])],
)
def test_an_option_that_timms_model_does_not_take_is_refused(name: str, options: list[str]) -> None:
    assert list(timm_names.not_taken(name)) == options
    part = {"model": {"name": name, "drop_rate": 0.1, "drop_path_rate": 0.1}}
    said = [f"timm's {name} does not take {option[1:]}" for option in options]
    assert [message for message, _ in refused(part) if "does not take" in message] == said


# ---- augmentation policies -----------------------------------------------------------------------

POLICIES = [
    *("", "original", "originalr", "v0", "v0r-mstd0.5", "3a", "rand", "rand-m9-mstd0.5-inc1"),
    *("rand-m7-n3-p0.5-mmax20-inc0-tweights", "rand-t3a", "rand-m9-mstd101", "augmix"),
    *("augmix-m3-w3-d2", "augmix-m5-w4-d2-a1.5-b1-mstd1"),
]


def built_by_timm(policy: str) -> None:
    hints: dict[str, object] = {"translate_const": 10, "img_mean": (0, 0, 0)}
    if policy.startswith("rand"):
        rand_augment_transform(policy, hints)
    elif policy.startswith("augmix"):
        augment_and_mix_transform(policy, hints)
    elif policy:
        auto_augment_transform(policy, hints)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_that_we_accept_is_one_that_timm_builds(policy: str) -> None:
    part = {"model": {"name": "resnet18"}, "augment": {"auto_augment": policy}}
    assert TrainConfig.model_validate(part)
    built_by_timm(policy)


@pytest.mark.parametrize("policy", ["v1", "rand-q3", "augmix-z1", "original-m3"])
def test_a_policy_that_timm_refuses_is_refused(policy: str) -> None:
    assert refused({"model": {"name": "resnet18"}, "augment": {"auto_augment": policy}})
    with pytest.raises((AssertionError, KeyError, ValueError)):
        built_by_timm(policy)


@pytest.mark.parametrize("policy", ["rand-tall", "rand-m", "rand-mstd", "RAND-m9", "3a-"])
def test_a_policy_that_timm_would_silently_misread_is_refused(policy: str) -> None:
    assert refused({"model": {"name": "resnet18"}, "augment": {"auto_augment": policy}})
