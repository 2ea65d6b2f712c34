"""A backbone as a network that ends at a layer, with weights that are always named: ImageNet's or seeded random ones."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import nn
from torch.serialization import get_unsafe_globals_in_checkpoint
from torchvision.models.feature_extraction import create_feature_extractor

from lib.backbones.backbone import Backbone, Cut
from lib.backbones.config import NetworkSettings
from lib.backbones.random_weights import random_network
from lib.backbones.weights import weights_path
from lib.datasets.formats import is_page, require_no_pointer
from lib.errors import DataError, WeightsError
from lib.files import write_bytes

_HEAD = 512
_CUT = "is cut off or damaged; fetch it again"


class CutNetwork(nn.Module):
    """A network up to one layer.

    `trunk`: from normalised images (n, 3, size, size) to rows (n, …): the whole of it, or its first part.
    `head`: the second part, of backbones with a fast path.
    `width`: features of one image.
    """

    def __init__(self, backbone: Backbone, network: nn.Module, layer: str) -> None:
        super().__init__()
        cut = backbone.cut(layer)
        self.width = cut.width
        self.head: nn.Module | None = None
        if backbone.split is None:
            self.trunk: nn.Module = _UpTo(network, cut)
        else:
            self.trunk, self.head = backbone.split(network, layer)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (n, width) of normalised images (n, 3, size, size)."""
        rows: torch.Tensor = self.trunk(images)
        return rows if self.head is None else self.head(rows)


class _UpTo(nn.Module):
    """A network up to a node of its graph; what comes after it is dropped."""

    def __init__(self, network: nn.Module, cut: Cut) -> None:
        super().__init__()
        self.extractor = create_feature_extractor(network, {cut.node: "cut"}, suppress_diff_warning=True)
        self._pool = cut.pool

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.extractor(images)["cut"]
        if self._pool == "mean":
            return found.mean(dim=(2, 3))
        return found[:, 0] if self._pool == "first" else found.flatten(1)


def load_network(settings: NetworkSettings, cache: Path, mirror: str | None) -> CutNetwork:
    """The network, float32 on the CPU, for evaluation. Raises WeightsError when its weights cannot be had, or lack some."""
    if settings.weights == "random":
        network = random_network(settings.entry, settings.seed)
    else:
        network, _ = _pretrained(settings, cache, mirror)
    return CutNetwork(settings.entry, network, settings.layer)


def save_weights(settings: NetworkSettings, cache: Path, mirror: str | None, target: Path) -> None:
    """Write the ImageNet weights that the layer needs as a safetensors file. Raises WeightsError as `load_network`."""
    network, needed = _pretrained(settings, cache, mirror)
    state = network.state_dict()
    write_bytes(target, safetensors_bytes({name: state[name].contiguous() for name in needed}))


def require_weights(settings: NetworkSettings, cache: Path, mirror: str | None) -> None:
    """Refuse ImageNet weights as `load_network` would, sooner: that cannot be had, or lack what the layer needs."""
    with torch.device("meta"):  # names and shapes alone
        network = settings.entry.build()
    _chosen(network, settings, weights_path(settings, cache, mirror))


def _pretrained(settings: NetworkSettings, cache: Path, mirror: str | None) -> tuple[nn.Module, list[str]]:
    """The network with the weights of a file as far as the layer needs them, and the names of these."""
    path = weights_path(settings, cache, mirror)
    network = random_network(settings.entry, 0)
    chosen = _chosen(network, settings, path)
    network.load_state_dict(chosen, strict=False)
    return network, list(chosen)


def _chosen(network: nn.Module, settings: NetworkSettings, path: Path) -> dict[str, torch.Tensor]:
    """Those tensors of a file that the layer needs."""
    backbone = settings.entry
    needed, held = _needed(network, backbone.cut(settings.layer)), _read(path, backbone)
    if lacking := [name for name in needed if name not in held]:
        able = [layer for layer, cut in backbone.cuts.items() if not set(_needed(network, cut)) - set(held)]
        if not able:
            raise _other_weights(path, backbone, f"it has no {lacking[0]}")
        raise WeightsError(
            f"weights file {path} has no {lacking[0]}, which {backbone.title} {settings.layer} needs; it is enough for: "
            f"{', '.join(able)}"
        )
    own = network.state_dict()
    for name in needed:
        if held[name].shape != own[name].shape:
            raise _other_weights(path, backbone, f"{name} is {tuple(held[name].shape)}, not {tuple(own[name].shape)}")
        if not held[name].isfinite().all():
            raise WeightsError(f"weights file {path} holds values that are not finite, in {name}; give another")
    return {name: held[name] for name in needed}


def _needed(network: nn.Module, cut: Cut) -> list[str]:
    """Names of the parameters and running statistics that lead to the cut; counters of training batches do not."""
    return [name for name in _UpTo(network, cut).extractor.state_dict() if not name.endswith("num_batches_tracked")]


def _read(path: Path, backbone: Backbone) -> dict[str, torch.Tensor]:
    """The tensors of a file: PyTorch's own kind, read without running code, or safetensors."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    try:
        require_no_pointer(f"weights file {path}", head)
        if problem := _no_weights(path, head):
            raise WeightsError(f"weights file {path} {problem}")
        safe = path.suffix == ".safetensors"
        held = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
        if not all(isinstance(value, torch.Tensor) for value in held.values()):
            raise TypeError("it is no mapping of names to tensors")
    except DataError as pointer:
        raise WeightsError(str(pointer)) from None
    except WeightsError:
        raise
    except SafetensorError:
        raise WeightsError(f"weights file {path} {_CUT}") from None
    except Exception as error:  # damaged bytes make torch's reader raise nearly anything
        words = " ".join(re.sub("\x1b\\[[0-9;]*m", "", str(error)).split())[:160]
        raise _other_weights(path, backbone, words or type(error).__name__) from None
    return dict(held)


def _no_weights(path: Path, head: bytes) -> str | None:
    """What a file is that no weights can be read from, with the fix; None of any that should be tried."""
    if not head:
        return "is empty; fetch it again"
    if is_page(head):
        return "is a web page, not the file; fetch it again"
    if path.suffix != ".safetensors" and head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            return _CUT
        if get_unsafe_globals_in_checkpoint(path):
            return "is a pickled model, which is code; save its state_dict() instead"
    return None


def _other_weights(path: Path, backbone: Backbone, problem: str) -> WeightsError:
    return WeightsError(
        f"weights file {path} does not hold torchvision's {backbone.title} weights ({problem}); give another"
    )
