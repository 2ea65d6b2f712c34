"""Frozen networks by name, as data that needs no PyTorch; `lib.backbones.network` builds them."""

from lib.backbones.backbone import Backbone, Cut, Preprocessing, PretrainedWeights, torchvision_model
from lib.backbones.config import NetworkSettings
from lib.backbones.registry import find_backbone, known_backbones, register

__all__ = [
    "Backbone",
    "Cut",
    "NetworkSettings",
    "Preprocessing",
    "PretrainedWeights",
    "find_backbone",
    "known_backbones",
    "register",
    "torchvision_model",
]
