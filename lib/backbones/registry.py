"""The backbones that settings can name: torchvision's, with the numbers of its weights, and any that is registered.

AlexNet has a fast path: on a CPU its convolutions want a few images, whose activations stay in cache, its fully connected layers
as many as make reading 58 million weights worth while.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lib.backbones.backbone import Backbone, Cut, Preprocessing, PretrainedWeights, torchvision_model
from lib.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn


def split_alexnet(network: Any, layer: str) -> tuple[nn.Module, nn.Module]:
    """The convolutions, each image by itself, and the fully connected layers up to the cut."""
    from torch import nn

    # classifier: dropout, fc6, relu, dropout, fc7, relu, fc8
    head = network.classifier[: {"pool5": 0, "fc7": 6, "fc8": 7}[layer]]
    return nn.Sequential(network.features, network.avgpool, nn.Flatten()), head


def _torchvision(name: str, title: str, file: str, megabytes: int, cuts: Mapping[str, Cut], **more: Any) -> Backbone:
    """torchvision's model of that name, which is cut at the first of `cuts` by default."""
    weights = PretrainedWeights(f"https://download.pytorch.org/models/{file}.pth", megabytes)
    return Backbone(name, title, torchvision_model(name), cuts, next(iter(cuts)), weights=weights, **more)


_BACKBONES = {
    each.name: each
    for each in (
        _torchvision(
            "alexnet",
            "AlexNet",
            "alexnet-owt-7be5be79",
            233,
            {
                "fc8": Cut("classifier.6", 1000),  # the logits
                "fc7": Cut("classifier.5", 4096),  # after its ReLU
                "pool5": Cut("flatten", 9216),  # the pooled last convolution
            },
            input_sizes=(63, 1024),
            split=split_alexnet,
        ),
        _torchvision(
            "resnet18",
            "ResNet-18",
            "resnet18-f37072fd",
            45,
            {"avgpool": Cut("avgpool", 512), "layer3": Cut("layer3", 256, "mean"), "fc": Cut("fc", 1000)},
        ),
        # IMAGENET1K_V1: the recipe of V2 (label smoothing, mixup) gains on ImageNet and loses on features for other tasks
        # (Kornblith et al. 2021, "Why do better loss functions lead to less transferable features?").
        _torchvision(
            "resnet50",
            "ResNet-50",
            "resnet50-0676ba61",
            98,
            {"avgpool": Cut("avgpool", 2048), "layer3": Cut("layer3", 1024, "mean"), "fc": Cut("fc", 1000)},
        ),
        _torchvision(
            "vit_b_16",
            "ViT-B/16",
            "vit_b_16-c867db91",
            330,
            {"cls": Cut("encoder.ln", 768, "first"), "logits": Cut("heads.head", 1000)},
            input_sizes=(224, 224),  # as many positions as it has embeddings
        ),
        _torchvision(
            "convnext_tiny",
            "ConvNeXt-Tiny",
            "convnext_tiny-983f1562",
            109,
            {
                "pooled": Cut("classifier.1", 768),  # after the layer norm
                "stage3": Cut("features.5", 384, "mean"),
                "logits": Cut("classifier.2", 1000),
            },
            preprocessing=Preprocessing(resize_size=236),
        ),
        _torchvision(
            "efficientnet_b0",
            "EfficientNet-B0",
            "efficientnet_b0_rwightman-7f5810bc",
            20,
            {"avgpool": Cut("avgpool", 1280), "logits": Cut("classifier.1", 1000)},
            preprocessing=Preprocessing(interpolation="bicubic"),
        ),
    )
}


def register(backbone: Backbone) -> None:
    """Let settings name another backbone. Raises ConfigError when its name is taken, or its default is no cut of it."""
    backbone.cut(backbone.default)
    if _BACKBONES.setdefault(backbone.name, backbone) != backbone:
        raise ConfigError(f"there is a backbone {backbone.name!r} already; give yours another name")


def find_backbone(name: str) -> Backbone:
    """The backbone of that name. Raises ConfigError when there is none."""
    if name not in _BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; there are: {', '.join(_BACKBONES)}")
    return _BACKBONES[name]


def known_backbones() -> tuple[str, ...]:
    """Names, in the order in which they came."""
    return tuple(_BACKBONES)
