"""What torchvision has, known without torch; a test holds it equal to torchvision.

Left out: inception_v3 and googlenet, which answer twice, and regnets, which no pre-flight can
build; timm has them all.
"""

from difflib import get_close_matches

from schemas import timm_models

Refusal = tuple[str, str]  # what is wrong, and what to do
TEXT = """
alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161
densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_l efficientnet_v2_m
efficientnet_v2_s maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2
mobilenet_v3_large mobilenet_v3_small resnet101 resnet152 resnet18 resnet34 resnet50
resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b
swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32
vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
"""
NAMES = tuple(TEXT.split())


def refusal(name: str) -> Refusal | None:
    """Why torchvision would not build this model, if so."""
    if name in NAMES:
        return None
    if not timm_models.refusal(name):
        return f"'{name}' is a model of timm", "write kind: timm"
    close = get_close_matches(name.lower().replace("-", "_"), NAMES, 3, 0.6)
    meant = " or ".join(f"'{each}'" for each in close)
    help = f"did you mean {meant}?" if close else f"it has {', '.join(NAMES)}"
    return f"torchvision has no model '{name}'", help
