"""The registry: what it states is torchvision's own, settings are checked by it, and another backbone is one entry."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError
from torchvision.models import get_model_weights

from lib.backbones import (
    Backbone,
    Cut,
    NetworkSettings,
    Preprocessing,
    find_backbone,
    known_backbones,
    register,
    registry,
)
from lib.errors import ConfigError
from lib.features import FeatureSettings
from tests.conftest import REPOSITORY

each_backbone = pytest.mark.parametrize("name", known_backbones())


@each_backbone
def test_weights_and_preprocessing_are_what_torchvision_states_of_its_file(name):
    backbone = find_backbone(name)
    (stated,) = [each for each in get_model_weights(name) if each.url == backbone.weights.url]
    transform = stated.transforms()
    assert (
        Preprocessing(
            mean=tuple(transform.mean),
            deviation=tuple(transform.std),
            input_size=transform.crop_size[0],
            resize_size=transform.resize_size[0],
            interpolation=transform.interpolation.value,
        )
        == backbone.preprocessing
    )
    assert stated.meta["min_size"][0] <= backbone.input_sizes[0] <= backbone.preprocessing.input_size
    assert backbone.weights.name.endswith(f"-{backbone.weights.sha256_prefix}.pth")
    assert len(backbone.weights.sha256_prefix) == 8
    assert backbone.weights.megabytes == round(stated.meta["_file_size"])


def test_settings_follow_the_backbone_where_nothing_is_given():
    assert FeatureSettings().layer == "fc8"
    chosen = FeatureSettings(backbone="efficientnet_b0", layer=None)
    assert (chosen.layer, chosen.width, chosen.interpolation, chosen.input_size) == ("avgpool", 1280, "bicubic", 224)
    assert FeatureSettings.model_validate(chosen.model_dump()) == chosen
    assert chosen.describe() == "EfficientNet-B0 avgpool, ImageNet weights"
    drawn = FeatureSettings(backbone="vit_b_16", weights="random", seed=3)
    assert drawn.describe() == "ViT-B/16 cls, RANDOM weights (seed 3)"
    assert FeatureSettings(backbone="convnext_tiny", input_size=112).shorter_side == 118


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backbone": "resnet"}, r"unknown backbone 'resnet'; there are: alexnet, resnet18, resnet50, vit_b_16"),
        ({"backbone": "vit_b_16", "layer": "pool5"}, r"backbone 'vit_b_16' has no layer 'pool5'; it has: cls, logits"),
        ({"backbone": "vit_b_16", "input_size": 64}, r"input_size\n.*64 does not fit vit_b_16, which takes 224 pixels"),
        ({"input_size": 50}, r"input_size\n.*50 does not fit alexnet, which takes 63 to 1024 pixels"),
        ({"weights": "random", "weights_file": "w.pth"}, r"weights_file 'w.pth' needs weights: imagenet, got weights: random"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_in_one_sentence(given, words):
    with pytest.raises(ValidationError, match=words) as caught:
        FeatureSettings(**given)
    assert caught.value.error_count() == 1


def test_another_backbone_is_one_entry(monkeypatch):
    monkeypatch.setattr(registry, "_BACKBONES", dict(registry._BACKBONES))
    toy = Backbone("toy", "Toy", find_backbone("resnet18").build, {"end": Cut("fc", 1000)}, "end")
    register(toy)
    register(toy)
    assert find_backbone("toy") is toy
    assert NetworkSettings(backbone="toy", weights="random").describe() == "Toy end, RANDOM weights (seed 0)"
    with pytest.raises(
        ValidationError, match="no ImageNet weights are known of toy: give weights_file, or weights: random"
    ):
        NetworkSettings(backbone="toy")
    with pytest.raises(ConfigError, match="there is a backbone 'alexnet' already; give yours another name"):
        register(Backbone("alexnet", "Mine", toy.build, toy.cuts, "end"))
    with pytest.raises(ConfigError, match="backbone 'lost' has no layer 'start'; it has: end"):
        register(Backbone("lost", "Lost", toy.build, toy.cuts, "start"))
    assert "lost" not in known_backbones()


def test_a_square_that_is_larger_than_the_resized_image_is_refused():
    with pytest.raises(ConfigError, match="resize_size 200 is below input_size 224"):
        Preprocessing(resize_size=200)


def test_settings_and_registry_import_no_torch():
    code = (
        "import sys, lib.backbones, lib.backbones.weights; from lib.features.config import FeatureSettings;"
        "FeatureSettings(backbone='resnet50'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
