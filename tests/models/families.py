"""Networks of all families, with random weights and as small as their libraries make them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowVGG


def of_torchvision(name: str, **arguments: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        # GoogLeNet and Inception warn that their slow initialisation is to change.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torchvision.models.get_model(name, weights=None, **arguments)

    return build


def of_timm(name: str, **arguments: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm

        return timm.create_model(name, pretrained=False, num_classes=2, **arguments)

    return build


def of_smp(kind: str, encoder: str = "resnet18", **arguments: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import segmentation_models_pytorch as smp

        return getattr(smp, kind)(encoder, encoder_weights=None, **arguments)

    return build


class OneTensor(nn.Module):
    """Of a network that returns a dictionary, what its output is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)["out"]


def of_torchvision_segmentation(name: str) -> Callable[[], nn.Module]:
    build = of_torchvision(name, weights_backbone=None)
    return lambda: OneTensor(build())


def narrow_densenet() -> nn.Module:
    from torchvision.models import DenseNet

    return DenseNet(8, (3, 3, 3, 3), num_init_features=16, num_classes=2)


@dataclass(frozen=True)
class Family:
    """One network.

    Attributes
    ----------
    build
        Makes it.
    size
        Of its tiles.
    suggested
        Layers that are offered first, and their strides.
    """

    build: Callable[[], nn.Module]
    size: int
    suggested: dict[str, float]

    def model(self) -> Model:
        torch.manual_seed(0)
        module = self.build().eval()
        with torch.no_grad():
            output = module(torch.zeros(1, 3, self.size, self.size))
        card = ModelCard(
            name=type(module).__name__,
            kind="classification" if output.ndim == 2 else "segmentation",
            class_names=tuple(f"class {i}" for i in range(output.shape[1])),
            input_size=self.size,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
        )
        return Model(module, card)


def _halving(*names: str, first: float = 2) -> dict[str, float]:
    return {name: first * 2**i for i, name in enumerate(names)}


RESNET = _halving("relu", "layer1", "layer2", "layer3", "layer4")
TIMM_RESNET = _halving("act1", "layer1", "layer2", "layer3", "layer4")
BLOCKS = _halving("bn1", "blocks.1", "blocks.2", "blocks.4", "bn2")
STAGES = _halving("stages.0", "stages.1", "stages.2", "stages", first=4)
ENCODER = _halving(*(f"encoder.{name}" for name in RESNET))

DENSENET = _halving("features.relu0", *(f"features.denseblock{i}" for i in (1, 2, 3)), "features")
VGG_BN = _halving(*(f"features.{i}" for i in (2, 6, 13, 20, 27)), "features", first=1)

QUICK: dict[str, Family] = {
    "ResNet, torchvision": Family(of_torchvision("resnet18"), 256, RESNET),
    "ResNet-D, timm": Family(of_timm("resnet18d"), 160, TIMM_RESNET),
    "ResNet with BlurPool, timm": Family(of_timm("resnetblur18"), 128, TIMM_RESNET),
    "SE-ResNet, timm": Family(of_timm("legacy_seresnet18"), 128, {}),
    "DenseNet, torchvision": Family(narrow_densenet, 224, DENSENET),
    "EfficientNet, torchvision": Family(
        of_torchvision("efficientnet_b0"),
        224,
        _halving(*(f"features.{i}" for i in (1, 2, 3, 5)), "features"),
    ),
    "EfficientNet with TensorFlow's padding, timm": Family(
        of_timm("tf_efficientnet_b0"), 224, BLOCKS
    ),
    "ConvNeXt, timm": Family(of_timm("convnext_atto"), 224, STAGES),
    "GoogLeNet, torchvision": Family(
        of_torchvision("googlenet", init_weights=False),
        256,
        _halving("conv1", "conv3", "inception3b", "inception4e", "inception5b"),
    ),
    "VGG": Family(lambda: NarrowVGG(8, convolutions=(1, 1, 2, 2, 2)), 96, VGG_BN),
    "MobileNet v2, torchvision": Family(
        of_torchvision("mobilenet_v2"),
        224,
        _halving(*(f"features.{i}" for i in (1, 3, 6, 13)), "features"),
    ),
    "MobileNet v3, timm": Family(
        of_timm("mobilenetv3_small_050"),
        224,
        _halving("bn1", "blocks.0", "blocks.1", "blocks.3", "blocks"),
    ),
    "RegNet, torchvision": Family(
        of_torchvision("regnet_y_400mf"),
        224,
        _halving("stem", *(f"trunk_output.block{i}" for i in (1, 2, 3)), "trunk_output"),
    ),
    "ShuffleNet, torchvision": Family(
        of_torchvision("shufflenet_v2_x0_5"),
        224,
        _halving("conv1", "maxpool", "stage2", "stage3", "conv5"),
    ),
    "ResNeSt, timm": Family(of_timm("resnest14d"), 128, TIMM_RESNET),
    "Swin, timm": Family(
        of_timm("swin_tiny_patch4_window7_224", depths=(2, 2, 2, 2), embed_dim=48),
        224,
        _halving("layers.0", "layers.1", "layers.2", "norm", first=4),
    ),
    "ViT, timm": Family(of_timm("vit_tiny_patch16_224", depth=4), 224, {"blocks.2": 16}),
    "DINOv2 with registers, timm": Family(
        of_timm("vit_small_patch14_reg4_dinov2", depth=3, img_size=224), 224, {"blocks.1": 14}
    ),
    "Unet, smp": Family(of_smp("Unet"), 128, ENCODER),
    "FPN, smp": Family(
        of_smp("FPN"),
        128,
        {**dict(list(ENCODER.items())[:-1]), "decoder.p5": 32},
    ),
    "DeepLabV3+, smp": Family(
        of_smp("DeepLabV3Plus"),
        160,
        {"encoder.relu": 2, "encoder.layer2": 8, "decoder.aspp": 16, "decoder.block1": 4},
    ),
    "PSPNet, smp": Family(of_smp("PSPNet"), 128, dict(list(ENCODER.items())[:3])),
    "Linknet, smp": Family(of_smp("Linknet"), 128, ENCODER),
    "Unet of a transformer, smp": Family(
        of_smp("Unet", "mit_b0"),
        128,
        _halving(*(f"encoder.norm{i}" for i in (1, 2, 3, 4)), first=4),
    ),
}

SLOW: dict[str, Family] = {
    "VGG, torchvision": Family(
        of_torchvision("vgg11"),
        224,
        _halving(*(f"features.{i}" for i in (1, 4, 9, 14, 19)), "features", first=1),
    ),
    "DenseNet of full size, torchvision": Family(of_torchvision("densenet121"), 224, DENSENET),
    "ConvNeXt, torchvision": Family(
        of_torchvision("convnext_tiny"),
        224,
        _halving(*(f"features.{i}" for i in (1, 3, 5)), "features", first=4),
    ),
    "ResNet50, torchvision": Family(of_torchvision("resnet50"), 384, RESNET),
    "wide ResNet, torchvision": Family(of_torchvision("wide_resnet50_2"), 224, RESNET),
    "ResNeXt, torchvision": Family(of_torchvision("resnext50_32x4d"), 224, RESNET),
    "EfficientNet-B4, timm": Family(
        of_timm("efficientnet_b4"), 224, {"blocks.0": 2, **dict(list(BLOCKS.items())[1:])}
    ),
    "Inception v3, torchvision": Family(
        of_torchvision("inception_v3", init_weights=False),
        299,
        _halving("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"),
    ),
    "Inception v4, timm": Family(
        of_timm("inception_v4"),
        299,
        _halving(*(f"features.{i}" for i in (2, 4, 9, 17)), "features"),
    ),
    "ViT, torchvision": Family(
        of_torchvision("vit_b_16"), 224, {"encoder.layers.encoder_layer_10": 16}
    ),
    "DeiT, timm": Family(of_timm("deit_tiny_patch16_224"), 224, {"blocks.10": 16}),
    "Swin, torchvision": Family(
        of_torchvision("swin_t"),
        224,
        _halving(*(f"features.{i}" for i in (1, 3, 5)), "permute", first=4),
    ),
    "MaxViT, torchvision": Family(
        of_torchvision("maxvit_t"),
        224,
        _halving("stem", *(f"blocks.{i}" for i in range(4))),
    ),
    "UNet++, smp": Family(of_smp("UnetPlusPlus"), 128, ENCODER),
    "MAnet, smp": Family(
        of_smp("MAnet"), 128, {**dict(list(ENCODER.items())[:-1]), "decoder.center": 32}
    ),
    "DeepLabV3, torchvision": Family(
        of_torchvision_segmentation("deeplabv3_mobilenet_v3_large"),
        128,
        {
            "network.backbone.1": 2,
            "network.backbone.3": 4,
            "network.backbone.6": 8,
            "network.classifier": 16,
        },
    ),
    "FCN, torchvision": Family(
        of_torchvision_segmentation("fcn_resnet50"),
        128,
        {"network.backbone.relu": 2, "network.backbone.layer1": 4, "network.classifier": 8},
    ),
}
