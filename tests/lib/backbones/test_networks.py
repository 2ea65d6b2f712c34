"""Networks that end at a layer give what torchvision's own forward gives there, and take only the weights they need."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import AlexNet, get_model

from lib.backbones import Backbone, Cut, NetworkSettings, find_backbone, known_backbones, registry, weights
from lib.backbones.network import CutNetwork, load_network, require_weights, save_weights
from lib.backbones.random_weights import random_network
from lib.backbones.weights import random_digest, weights_digest
from lib.errors import WeightsError

EVERY_CUT = [(name, layer) for name in known_backbones() for layer in find_backbone(name).cuts]
TRUNKS = {
    "alexnet": ("pool5", ("features.",)),
    "resnet18": ("layer3", ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")),
    "resnet50": ("avgpool", ("conv1.", "bn1.", "layer")),
    "vit_b_16": ("cls", ("class_token", "conv_proj.", "encoder.")),
    "convnext_tiny": (
        "stage3",
        ("features.0.", "features.1.", "features.2.", "features.3.", "features.4.", "features.5."),
    ),
    "efficientnet_b0": ("avgpool", ("features.",)),
}
"""A layer of each, and how the names of the parameters begin that lead to it."""

LOGITS = {
    "alexnet": "fc8", "resnet18": "fc", "resnet50": "fc", "vit_b_16": "logits", "convnext_tiny": "logits",
    "efficientnet_b0": "logits",
}  # fmt: skip


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """torchvision's, as they are after `torch.manual_seed(0)`."""
    made = {}
    with torch.random.fork_rng():
        for name in known_backbones():
            torch.manual_seed(0)
            made[name] = get_model(name).eval()
    return made


def some_images(name: str) -> torch.Tensor:
    """Two, of the smallest size that the network takes."""
    size = find_backbone(name).input_sizes[0]
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def torchvision_s_own(name: str, network: nn.Module, layer: str, images: torch.Tensor) -> torch.Tensor:
    """The layer's output by torchvision's forward: the output of a module, or of the network without its last one."""
    seen = {}
    modules = {
        ("alexnet", "fc7"): "classifier.5", ("resnet18", "layer3"): "layer3", ("resnet50", "layer3"): "layer3",
        ("resnet18", "avgpool"): "avgpool", ("resnet50", "avgpool"): "avgpool", ("alexnet", "pool5"): "avgpool",
        ("convnext_tiny", "stage3"): "features.5", ("convnext_tiny", "pooled"): "classifier.1",
        ("efficientnet_b0", "avgpool"): "avgpool",
    }  # fmt: skip
    with torch.no_grad():
        if (name, layer) == ("vit_b_16", "cls"):
            heads, network.heads = network.heads, nn.Identity()
            try:
                return network(images)
            finally:
                network.heads = heads
        if layer == LOGITS[name]:
            return network(images)
        handle = network.get_submodule(modules[name, layer]).register_forward_hook(
            lambda module, inputs, output: seen.update(output=output)
        )
        network(images)
        handle.remove()
    output = seen["output"]
    return (
        nn.functional.adaptive_avg_pool2d(output, 1).flatten(1) if layer in ("layer3", "stage3") else output.flatten(1)
    )


@pytest.mark.parametrize(("name", "layer"), EVERY_CUT)
def test_a_cut_network_gives_what_torchvision_s_forward_gives(name, layer, networks):
    images = some_images(name)
    network = CutNetwork(find_backbone(name), networks[name], layer)
    assert not network.training
    with torch.no_grad():
        found = network(images)
    assert found.shape == (2, network.width) == (2, NetworkSettings(backbone=name, layer=layer).width)
    torch.testing.assert_close(found, torchvision_s_own(name, networks[name], layer, images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", known_backbones())
def test_random_weights_are_torchvision_s_own_initialisation(name, networks):
    state = torch.random.get_rng_state()
    found, expected = random_network(find_backbone(name), 0).state_dict(), networks[name].state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(found) == list(expected)
    assert all(torch.equal(found[each], expected[each]) for each in expected)


def test_random_weights_do_not_depend_on_what_other_threads_draw():
    alone = random_network(find_backbone("resnet18"), 5).state_dict()
    drawn, stop = [], threading.Event()

    def disturb():
        while not stop.is_set():
            torch.rand(1000)

    other = threading.Thread(target=disturb)
    other.start()
    workers = [
        threading.Thread(target=lambda: drawn.append(random_network(find_backbone("resnet18"), 5).state_dict()))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    other.join()
    assert len(drawn) == 2
    assert all(torch.equal(state[name], alone[name]) for state in drawn for name in alone)


def test_constructors_that_draw_new_tensors_are_seeded_too(monkeypatch):
    class Toy(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.cat([torch.randn(2, 3), torch.rand(2, 3)]))

        def forward(self, images):
            return images.mean(dim=(2, 3)) @ self.kernel.T

    toy = Backbone("toy", "Toy", Toy, {"end": Cut("matmul", 4)}, "end")
    state = torch.random.get_rng_state()
    one, same, other = (random_network(toy, seed).kernel for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    monkeypatch.setitem(registry._BACKBONES, "toy", toy)
    network = load_network(NetworkSettings(backbone="toy", weights="random"), Path(), None)
    images = torch.rand(5, 3, 8, 8)
    torch.testing.assert_close(network(images), images.mean(dim=(2, 3)) @ one.T)


def test_a_random_network_s_digest_is_remembered_and_is_its_own(tmp_path, monkeypatch):
    settings = NetworkSettings(backbone="resnet18", weights="random", seed=1)
    digest = weights_digest(settings, tmp_path, None)
    assert digest == random_digest("resnet18", 1) != random_digest("resnet18", 2)
    (remembered,) = tmp_path.iterdir()
    drawn = []
    monkeypatch.setattr(weights, "random_digest", lambda *of: drawn.append(of) or digest)
    assert weights_digest(settings, tmp_path, None) == digest
    assert drawn == []
    remembered.write_text(remembered.read_text().replace(digest[:8], "01234567"))  # as a disk loses bits
    assert weights_digest(settings, tmp_path, None) == digest
    assert drawn == [("resnet18", 1)]


def test_a_network_of_the_user_s_own_is_drawn_each_time_for_it_may_be_another(tmp_path, monkeypatch):
    settings = NetworkSettings(backbone="alexnet", weights="random")
    toy = dataclasses.replace(settings.entry, weights=None)
    monkeypatch.setitem(registry._BACKBONES, "alexnet", toy)
    assert weights_digest(settings, tmp_path, None) == random_digest("alexnet", 0)
    assert list(tmp_path.iterdir()) == []


class TestFiles:
    @pytest.mark.parametrize("name", known_backbones())
    def test_a_trunk_alone_serves_the_layers_that_need_no_more(self, name, networks, tmp_path):
        """Without what PyTorch counts of batches of training, as old files are."""
        layer, beginnings = TRUNKS[name]
        trunk = {
            each: value
            for each, value in networks[name].state_dict().items()
            if each.startswith(beginnings) and not each.endswith("num_batches_tracked")
        }
        save_file(trunk, tmp_path / "trunk.safetensors")
        served = NetworkSettings(backbone=name, layer=layer, weights_file=str(tmp_path / "trunk.safetensors"))
        images = some_images(name)
        with torch.no_grad():
            found = load_network(served, tmp_path, None)(images)
        expected = torchvision_s_own(name, networks[name], layer, images)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

        lacks = served.model_copy(update={"layer": LOGITS[name]})
        words = (
            rf"trunk.safetensors has no \S+, which {lacks.entry.title} {LOGITS[name]} needs; it is enough for: {layer}"
        )
        with pytest.raises(WeightsError, match=words) as caught:
            load_network(lacks, tmp_path, None)
        assert LOGITS[name] not in str(caught.value).rpartition(": ")[2].split(", ")

    def test_what_is_saved_is_what_the_layer_needs_and_is_taken_again(self, networks, tmp_path):
        whole, saved = tmp_path / "whole.pth", tmp_path / "saved.safetensors"
        torch.save(networks["resnet18"].state_dict(), whole)
        settings = NetworkSettings(backbone="resnet18", layer="layer3", weights_file=str(whole))
        save_weights(settings, tmp_path, None, saved)
        held = load_file(saved)
        assert {name.split(".")[0] for name in held} == {"conv1", "bn1", "layer1", "layer2", "layer3"}
        assert all(torch.equal(held[name], networks["resnet18"].state_dict()[name]) for name in held)
        again = settings.model_copy(update={"weights_file": str(saved)})
        one, other = (load_network(each, tmp_path, None)(some_images("resnet18")) for each in (settings, again))
        assert torch.equal(one, other)

    def test_the_real_trunk_serves_pool5_as_torchvision_s_modules_do(self, shared_data, tmp_path):
        path = shared_data / "weights" / "alexnet-imagenet-features.safetensors"
        settings = NetworkSettings(layer="pool5", weights_file=str(path))
        reference = AlexNet().eval()
        reference.features.load_state_dict(
            {name.removeprefix("features."): value for name, value in load_file(path).items()}
        )
        images = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = reference.avgpool(reference.features(images)).flatten(1)
            torch.testing.assert_close(load_network(settings, tmp_path, None)(images), expected)
        for layer, module in (("fc7", "classifier.1"), ("fc8", "classifier.1")):
            with pytest.raises(
                WeightsError, match=rf"has no {module}\.\w+, which AlexNet {layer} .* enough for: pool5$"
            ):
                load_network(settings.model_copy(update={"layer": layer}), tmp_path, None)

    def test_the_home_folder_is_known(self, networks, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        save_file(networks["resnet18"].state_dict(), tmp_path / "w.safetensors")
        settings = NetworkSettings(backbone="resnet18", weights_file="~/w.safetensors")
        assert load_network(settings, tmp_path, None).width == 512
        assert len(weights_digest(settings, tmp_path, None)) == 64
        with pytest.raises(WeightsError, match=r"weights_file '~/v.pth' not found; check the path"):
            weights_digest(settings.model_copy(update={"weights_file": "~/v.pth"}), tmp_path, None)

    @pytest.mark.parametrize("name", ["resnet50", "vit_b_16"])
    def test_another_network_s_weights_are_refused(self, name, networks, tmp_path):
        path = tmp_path / "w.pth"
        torch.save(networks["resnet18"].state_dict(), path)
        settings = NetworkSettings(backbone=name, weights_file=str(path))
        with pytest.raises(WeightsError, match=r"w.pth does not hold torchvision's \S+ weights \(.*\); give another"):
            load_network(settings, tmp_path, None)

    @pytest.mark.parametrize(
        ("what", "problem"),
        [
            ("whole", r"is a pickled model, which is code; save its state_dict\(\) instead"),
            ("page", "is a web page, not the file; fetch it again"),
            ("cut", "is cut off or damaged; fetch it again"),
            ("cut.safetensors", "is cut off or damaged; fetch it again"),
            ("empty", "is empty; fetch it again"),
            ("nan", r"holds values that are not finite, in conv1\.weight; give another"),
        ],
    )
    def test_what_is_no_file_of_weights_is_one_line(self, what, problem, networks, tmp_path):
        path = tmp_path / (what if what.endswith("tensors") else "w.pth")
        state = networks["resnet18"].state_dict()
        if what == "whole":
            torch.save(networks["resnet18"], path)
        elif what == "nan":
            torch.save(state | {"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}, path)
        elif what == "page":
            path.write_text("\n<!DOCTYPE html><title>Not found</title>")
        elif what == "empty":
            path.touch()
        else:
            save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
            os.truncate(path, 100_000)
        settings = NetworkSettings(backbone="resnet18", weights_file=str(path))
        with pytest.raises(WeightsError, match=rf"^weights file {path} {problem}$"):
            require_weights(settings, tmp_path, None)

    def test_one_tensor_of_another_shape_is_named(self, networks, tmp_path):
        state = networks["resnet18"].state_dict() | {"layer1.0.conv1.weight": torch.zeros(64, 64, 5, 5)}
        torch.save(state, tmp_path / "w.pth")
        settings = NetworkSettings(backbone="resnet18", weights_file=str(tmp_path / "w.pth"))
        with pytest.raises(
            WeightsError, match=r"\(layer1.0.conv1.weight is \(64, 64, 5, 5\), not \(64, 64, 3, 3\)\); give another"
        ):
            load_network(settings, tmp_path, None)
