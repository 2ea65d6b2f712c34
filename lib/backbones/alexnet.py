"""AlexNet, with a fast path of its own: its convolutions and its fully connected layers want batches of different size.

On a CPU the convolutions want a few images, whose activations stay in cache; the fully connected layers want as many as make
reading 58 million weights worth while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.backbones.backbone import Backbone, Cut, PretrainedWeights, torchvision_model

if TYPE_CHECKING:
    from torch import nn


def split(network: Any, layer: str) -> tuple[nn.Module, nn.Module]:
    """The convolutions, each image by itself, and the fully connected layers up to the cut."""
    from torch import nn

    # classifier: dropout, fc6, relu, dropout, fc7, relu, fc8
    head = network.classifier[: {"pool5": 0, "fc7": 6, "fc8": 7}[layer]]
    return nn.Sequential(network.features, network.avgpool, nn.Flatten()), head


ALEXNET = Backbone(
    name="alexnet",
    title="AlexNet",
    build=torchvision_model("alexnet"),
    cuts={
        "fc8": Cut("classifier.6", 1000),  # the logits
        "fc7": Cut("classifier.5", 4096),  # after its ReLU
        "pool5": Cut("flatten", 9216),  # the pooled last convolution
    },
    default="fc8",
    weights=PretrainedWeights("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", 233),
    input_sizes=(63, 1024),
    split=split,
)
