"""Frozen networks by name: where each can be cut, how wide that is, what it wants images to be, and its weights.

Light to import: settings are checked without PyTorch. `lib.backbones.network` builds networks, and imports it.
"""

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
