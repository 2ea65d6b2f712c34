"""torchvision's AlexNet, cut at a layer, with weights that are always named: ImageNet's or seeded random ones.

Weights files are loaded with `weights_only`, so a file cannot run code.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import nn
from torchvision.models import AlexNet

from lib.errors import ConfigError, WeightsError
from lib.features.config import LAYERS, FeatureSettings
from lib.features.weights import weights_path
from lib.files import write_bytes
from lib.machine import cores

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's mean and standard deviation of each channel in [0, 1], as torchvision's AlexNet was trained with."""


class CutAlexNet(nn.Module):
    """AlexNet up to one layer, in two parts: the convolutions, each image by itself, and the fully connected layers.

    They want batches of different size on a CPU: the first one that stays in cache, the second one that is worth
    reading 58 million weights for.
    """

    def __init__(self, network: AlexNet, layer: str) -> None:
        super().__init__()
        self.trunk = nn.Sequential(network.features, network.avgpool, nn.Flatten())
        # classifier: dropout, fc6, relu, dropout, fc7, relu, fc8
        self.head = network.classifier[: {"pool5": 0, "fc7": 6, "fc8": 7}[layer]]
        self.width = LAYERS[layer]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (n, width) of normalised images (n, 3, size, size)."""
        features: torch.Tensor = self.head(self.trunk(images))
        return features


def load_network(settings: FeatureSettings, cache: Path, mirror: str | None) -> CutAlexNet:
    """The network in evaluation mode on the CPU, float32.

    Raises
    ------
    WeightsError
        When ImageNet weights cannot be had, or a file does not hold AlexNet's weights.
    """
    if settings.weights == "random":
        return CutAlexNet(random_alexnet(settings.seed), settings.layer).eval()
    return CutAlexNet(_alexnet(weights_path(settings, cache, mirror)), settings.layer).eval()


def save_weights(settings: FeatureSettings, cache: Path, mirror: str | None, target: Path) -> None:
    """Write ImageNet weights as a safetensors file, which `features.weights_file` takes too. Raises WeightsError."""
    state = _alexnet(weights_path(settings, cache, mirror)).state_dict()
    write_bytes(target, safetensors_bytes(state))


def _alexnet(path: Path) -> AlexNet:
    """AlexNet with the weights of a file: PyTorch's own kind, read without running code, or safetensors."""
    network = AlexNet()
    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except (
        pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, TypeError, KeyError, ValueError, SafetensorError,
    ) as error:  # fmt: skip
        problem = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"weights file {path} does not hold torchvision AlexNet weights ({problem}); give another"
        ) from None
    return network


def choose_device(wanted: str) -> torch.device:
    """The device asked for; "auto" is the first GPU if there is one, else the CPU.

    Raises
    ------
    ConfigError
        When a GPU is asked for and there is none of that number.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"features.device {wanted!r}: PyTorch sees {torch.cuda.device_count()} GPU(s) here; use auto or cpu, "
            "or check the driver and CUDA_VISIBLE_DEVICES"
        )
    return device


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({cores()} cores)"


_FAST = {"bfloat16": ("avx512_bf16", "amx_bf16", "avx10_2", "bf16"), "float16": ("avx512_fp16", "amx_fp16", "avx10_2")}
"""Instructions of which a processor has one if it computes in that precision by itself."""


def computes_fast(precision: str, device: torch.device) -> bool:
    """Whether the device computes in `precision` at least as fast as in float32; others emulate it, many times slower."""
    if device.type != "cpu" or precision == "float32":
        return True
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(instruction, False) for instruction in _FAST[precision])


def random_alexnet(seed: int) -> AlexNet:
    """torchvision's default initialisation after `torch.manual_seed(seed)`, without touching the global generator.

    That one is the whole process's: drawn from by two threads at once it would give neither its numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        network = AlexNet()
    network.to_empty(device="cpu")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            assert layer.bias is not None
            bound = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return network
