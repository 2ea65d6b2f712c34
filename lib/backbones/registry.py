"""The backbones that settings can name."""

from __future__ import annotations

from lib.backbones.alexnet import ALEXNET
from lib.backbones.backbone import Backbone
from lib.backbones.torchvision_models import CONVNEXT_TINY, EFFICIENTNET_B0, RESNET18, RESNET50, VIT_B_16
from lib.errors import ConfigError

_BACKBONES = {each.name: each for each in (ALEXNET, RESNET18, RESNET50, VIT_B_16, CONVNEXT_TINY, EFFICIENTNET_B0)}


def register(backbone: Backbone) -> None:
    """Let settings name another backbone.

    Raises ConfigError when another one has its name, or its default is none of its cuts.
    """
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
