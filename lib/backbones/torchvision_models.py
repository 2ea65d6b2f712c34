"""torchvision's networks that need nothing but torchvision's own feature extraction; numbers are those of its weights."""

from __future__ import annotations

from lib.backbones.backbone import Backbone, Cut, Preprocessing, PretrainedWeights, torchvision_model

_URL = "https://download.pytorch.org/models/"

RESNET18 = Backbone(
    name="resnet18",
    title="ResNet-18",
    build=torchvision_model("resnet18"),
    cuts={"avgpool": Cut("avgpool", 512), "layer3": Cut("layer3", 256, "mean"), "fc": Cut("fc", 1000)},
    default="avgpool",
    weights=PretrainedWeights(f"{_URL}resnet18-f37072fd.pth", 45),
)

RESNET50 = Backbone(
    name="resnet50",
    title="ResNet-50",
    build=torchvision_model("resnet50"),
    cuts={"avgpool": Cut("avgpool", 2048), "layer3": Cut("layer3", 1024, "mean"), "fc": Cut("fc", 1000)},
    default="avgpool",
    # IMAGENET1K_V1: the recipe of V2 (label smoothing, mixup) gains on ImageNet and loses on features for other tasks
    # (Kornblith et al. 2021, "Why do better loss functions lead to less transferable features?").
    weights=PretrainedWeights(f"{_URL}resnet50-0676ba61.pth", 98),
)

VIT_B_16 = Backbone(
    name="vit_b_16",
    title="ViT-B/16",
    build=torchvision_model("vit_b_16"),
    cuts={"cls": Cut("encoder.ln", 768, "first"), "logits": Cut("heads.head", 1000)},
    default="cls",
    weights=PretrainedWeights(f"{_URL}vit_b_16-c867db91.pth", 330),
    input_sizes=(224, 224),  # as many positions as it has embeddings
)

CONVNEXT_TINY = Backbone(
    name="convnext_tiny",
    title="ConvNeXt-Tiny",
    build=torchvision_model("convnext_tiny"),
    cuts={
        "pooled": Cut("classifier.1", 768),  # after the layer norm
        "stage3": Cut("features.5", 384, "mean"),
        "logits": Cut("classifier.2", 1000),
    },
    default="pooled",
    preprocessing=Preprocessing(resize_size=236),
    weights=PretrainedWeights(f"{_URL}convnext_tiny-983f1562.pth", 109),
)

EFFICIENTNET_B0 = Backbone(
    name="efficientnet_b0",
    title="EfficientNet-B0",
    build=torchvision_model("efficientnet_b0"),
    cuts={"avgpool": Cut("avgpool", 1280), "logits": Cut("classifier.1", 1000)},
    default="avgpool",
    preprocessing=Preprocessing(interpolation="bicubic"),
    weights=PretrainedWeights(f"{_URL}efficientnet_b0_rwightman-7f5810bc.pth", 20),
)
