"""Extraction: right against a plain torchvision loop, exactly once whatever happens, and refused when damaged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import center_crop, normalize, resize

from lib.backbones import find_backbone
from lib.backbones.random_weights import random_network
from lib.backbones.weights import weights_digest
from lib.datasets import acquire
from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.sources import ImageFolder
from lib.errors import ChangedError, ConfigError, FeatureSetError, WeightsError
from lib.features import FeatureSet, FeatureSettings, cpu_program, extract, extractor, open_feature_set, plan_extraction
from lib.features.cpu_program import CpuProgram
from lib.features.plan import feature_set_digest, write_plan
from lib.features.programs import make_program
from lib.features.resize import Resizer
from lib.features.sets import found_sets
from tests.image_files import write_images

ALEXNET = find_backbone("alexnet")
MEAN, DEVIATION = ALEXNET.preprocessing.mean, ALEXNET.preprocessing.deviation
SMALL = {"layer": "pool5", "weights": "random", "input_size": 64, "batch_size": 4, "shard_rows": 8, "device": "cpu"}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (26, 20, 20, 3), np.uint8)
    labels = np.arange(26) % 2
    return build(
        "tiny", ["a", "b"], {"train": Split(images[:18], labels[:18]), "test": Split(images[18:], labels[18:])}, ""
    )


def settings(**changes) -> FeatureSettings:
    return FeatureSettings(**(SMALL | changes))


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


@pytest.mark.parametrize("layer", ["fc8", "fc7", "pool5"])
def test_features_equal_a_plain_torchvision_loop(dataset, tmp_path, layer):
    found = extract(dataset, settings(layer=layer), tmp_path).load("test")
    network = random_network(ALEXNET, 0).eval()
    if layer == "fc7":
        network.classifier = network.classifier[:6]
    if layer == "pool5":
        network.classifier = torch.nn.Identity()
    expected = []
    with torch.no_grad():
        for image in dataset.splits["test"].images:
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            large = torch.nn.functional.interpolate(pixels, (64, 64), mode="bilinear", align_corners=False)
            expected.append(network(normalize(large, MEAN, (0.229, 0.224, 0.225)))[0].numpy())
    np.testing.assert_allclose(found.X, np.stack(expected), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.y, dataset.splits["test"].labels)
    np.testing.assert_array_equal(found.sample_ids, np.arange(18, 26))


def resized(images, dtype=torch.float32, **changes) -> np.ndarray:
    """What the network sees, as pixels in [0, 1], shape (n, size, size, 3)."""
    shrink = settings(**changes).shrink
    small = [shrink(image) for image in images]
    tensors = (
        torch.from_numpy(np.stack(small)) if isinstance(images, np.ndarray) else [torch.from_numpy(i) for i in small]
    )
    seen = Resizer(settings(**changes), torch.device("cpu"), dtype)(tensors)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    return (seen.float().permute(0, 2, 3, 1) * torch.tensor(DEVIATION) + torch.tensor(MEAN)).numpy()


def test_enlarging_equals_pillow_s_bilinear_within_rounding(dataset):
    images = dataset.splits["train"].images[:3]
    for image, ours in zip(images, resized(images), strict=True):
        pillow = Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(ours, np.asarray(pillow, dtype=np.float32) / 255, atol=1.5 / 255)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("shape", [(20, 20, 3), (7, 50, 3), (64, 64, 3), (64, 90, 3), (300, 200, 3), (33, 20)])
def test_resizing_equals_torch_s_interpolate_on_the_pixels(mode, shape):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    pixels = torch.from_numpy(images if images.ndim == 4 else np.stack([images] * 3, axis=-1)).permute(0, 3, 1, 2)
    smooth = mode != "nearest"
    expected = torch.nn.functional.interpolate(
        pixels.float() / 255, (64, 64), mode=mode, align_corners=False if smooth else None,
        antialias=smooth,
    ).clamp(0, 1)  # fmt: skip
    close = within(settings(interpolation=mode), shape)
    np.testing.assert_allclose(resized(images, interpolation=mode), expected.permute(0, 2, 3, 1).numpy(), atol=close)
    singly = resized([*images, images[0][:6, :5]], interpolation=mode)
    np.testing.assert_allclose(singly[:4], expected.permute(0, 2, 3, 1).numpy(), atol=close)


def within(chosen: FeatureSettings, shape: tuple[int, ...]) -> float:
    """What a pixel may differ by: shrunk ones are rounded to whole values, after each axis."""
    if not chosen.shrink.applies(*shape[:2]):
        return 1e-5
    return (2.01 if chosen.interpolation == "bicubic" else 1.01) / 255


CROPPED = [
    (20, 20, 3),
    (7, 50, 3),
    (50, 7, 3),
    (64, 64, 3),
    (73, 73, 3),
    (74, 73, 3),
    (64, 90, 3),
    (300, 200, 3),
    (33, 20),
]
"""For an input of 64 the shorter side becomes 73: smaller ones are enlarged, larger ones made smaller."""


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("shape", CROPPED)
def test_cropping_equals_torchvision_s_resize_and_centre_crop(mode, shape):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    pixels = torch.from_numpy(images if images.ndim == 4 else np.stack([images] * 3, axis=-1)).permute(0, 3, 1, 2)
    large = resize(pixels.float(), [73], InterpolationMode(mode), antialias=True)
    expected = center_crop(large.clamp(0, 255), [64, 64]).permute(0, 2, 3, 1).numpy() / 255
    close = within(settings(interpolation=mode, preprocessing="crop"), shape)
    np.testing.assert_allclose(resized(images, interpolation=mode, preprocessing="crop"), expected, atol=close)
    singly = resized([*images, images[0][:6, :5]], interpolation=mode, preprocessing="crop")
    np.testing.assert_allclose(singly[:4], expected, atol=close)


@pytest.mark.parametrize("name", ["alexnet", "convnext_tiny", "efficientnet_b0"])
@pytest.mark.parametrize("shape", [(32, 32, 3), (480, 333, 3), (100, 260, 3)])
def test_cropping_equals_torchvision_s_own_transform_of_an_image_file_within_its_rounding(name, shape):
    own = find_backbone(name).preprocessing
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = np.asarray(Image.fromarray(image).resize(shape[1::-1], Image.Resampling.BICUBIC))
    transform = ImageClassification(
        crop_size=own.input_size, resize_size=own.resize_size, interpolation=InterpolationMode(own.interpolation)
    )
    chosen = FeatureSettings(backbone=name, weights="random", preprocessing="crop")
    ours = Resizer(chosen, torch.device("cpu"), torch.float32)(torch.from_numpy(chosen.shrink(image).copy())[None])
    apart = (ours[0] - transform(Image.fromarray(image))).abs() * torch.tensor(own.deviation)[:, None, None]
    assert float(apart.max()) < 2.01 / 255


def test_a_crop_of_a_long_strip_is_that_of_its_middle():
    """Resized as a whole it would be 73 x 73,000 pixels; only what is seen is computed."""
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 3000, 3), np.uint8)
    seen = resized(image, preprocessing="crop")
    middle = resized(image[:, :, 1485:1515], preprocessing="crop")
    np.testing.assert_allclose(seen, middle, atol=1e-4)


def test_grey_images_and_images_of_several_sizes_are_taken(tmp_path):
    rng = np.random.default_rng(0)

    class Several:
        images = tuple(rng.integers(0, 256, (size, size + 3, 3), np.uint8) for size in (10, 90, 64, 33))

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return self.images[index]

    grey = rng.integers(0, 256, (4, 12, 12), np.uint8)
    for name, images in (("several", Several()), ("grey", grey)):
        split = Split(images, np.array([0, 1, 0, 1]))
        found = extract(build(name, ["a", "b"], {"train": split}, ""), settings(), tmp_path)
        assert found.load("train").X.shape == (4, 9216)


def test_features_do_not_depend_on_the_size_of_batches_even_among_images_of_several_sizes(tmp_path):
    """In float32, and of two images or more: matrix units that multiply bfloat16 add in an order that follows the size."""
    rng = np.random.default_rng(0)
    sizes = rng.choice([20, 21, 70], 90)

    class Several:
        images = tuple(rng.integers(0, 256, (size, size, 3), np.uint8) for size in sizes)

        def __len__(self):
            return len(sizes)

        def __getitem__(self, index):
            return self.images[index]

    dataset = build("several", ["a", "b"], {"train": Split(Several(), np.arange(90) % 2)}, "")
    found = [
        extract(dataset, settings(batch_size=size, shard_rows=90), tmp_path / str(size)).load("train").X
        for size in (90, 34, 7)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


class TestOtherBackbones:
    """Those without a fast path of their own; a residual network stands for them all, for it is quick."""

    SETTINGS = FeatureSettings(
        backbone="resnet18", weights="random", input_size=32, shard_rows=90, device="cpu", preprocessing="crop"
    )

    def of(self, images, folder, **changes) -> np.ndarray:
        data = build("noise", ["a", "b"], {"train": Split(images, np.arange(len(images)) % 2)}, "")
        return extract(data, self.SETTINGS.model_copy(update=changes), folder).load("train").X

    @pytest.fixture
    def images(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (70, 20, 24, 3), np.uint8)

    def test_features_equal_torchvision_s_forward_of_its_own_preprocessing(self, images, tmp_path):
        network = random_network(find_backbone("resnet18"), 0)
        pixels = torch.from_numpy(images[:9]).permute(0, 3, 1, 2).float() / 255
        cropped = center_crop(resize(pixels, [round(256 * 32 / 224)], antialias=True), [32, 32])
        with torch.no_grad():
            logits = network(normalize(cropped, MEAN, DEVIATION)).numpy()
        np.testing.assert_allclose(self.of(images[:9], tmp_path, layer="fc"), logits, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_features_do_not_depend_on_the_size_of_blocks_or_on_the_number_of_cores(
        self, images, precision, tmp_path, monkeypatch
    ):
        whole = self.of(images, tmp_path / "whole", precision=precision)
        for size in (33, 7):
            found = self.of(images, tmp_path / str(size), precision=precision, batch_size=size)
            np.testing.assert_array_equal(found, whole)
        monkeypatch.setattr("lib.features.cpu_program.cores", lambda: 1)
        np.testing.assert_array_equal(self.of(images, tmp_path / "one", precision=precision), whole)

    def test_an_image_s_features_do_not_depend_on_its_neighbours_or_their_number(self, images, tmp_path):
        whole = self.of(images, tmp_path / "whole")
        others = np.concatenate([images[:5], 255 - images[5:]])
        np.testing.assert_array_equal(self.of(others, tmp_path / "others")[:5], whole[:5])
        np.testing.assert_array_equal(self.of(images[:1], tmp_path / "alone"), whole[:1])
        np.testing.assert_array_equal(self.of(images[:67], tmp_path / "fewer"), whole[:67])

    @pytest.mark.parametrize(
        ("name", "precision"), [("vit_b_16", "bfloat16"), ("convnext_tiny", "float32"), ("efficientnet_b0", "bfloat16")]
    )
    def test_each_gives_a_row_the_same_bits_in_a_full_batch_and_alone(self, images, name, precision, tmp_path):
        backbone = find_backbone(name)
        size = backbone.input_sizes[0]
        changes = {"backbone": name, "layer": backbone.default, "precision": precision, "input_size": size}
        few = self.of(images[:8], tmp_path / "few", **changes)
        assert np.isfinite(few).all()
        np.testing.assert_array_equal(self.of(images[:1], tmp_path / "alone", **changes), few[:1])


def test_a_second_extraction_computes_nothing(dataset, tmp_path, monkeypatch):
    first = extract(dataset, settings(), tmp_path)
    monkeypatch.setattr(CpuProgram, "features", None)
    assert extract(dataset, settings(batch_size=7), tmp_path).manifest == first.manifest


def test_the_set_s_digest_follows_all_that_decides_the_values(dataset):
    def digest(**changes):
        return feature_set_digest(dataset.digest, settings(**changes), "weights")

    changed = [
        {"layer": "fc7"}, {"input_size": 70}, {"interpolation": "nearest"}, {"precision": "bfloat16"},
        {"storage": "float16"}, {"seed": 1}, {"shard_rows": 9}, {"preprocessing": "crop"},
        {"backbone": "resnet18", "layer": "fc"}, {"backbone": "resnet50", "layer": "fc"},
    ]  # fmt: skip
    assert len({digest(), *(digest(**change) for change in changed)}) == len(changed) + 1
    assert digest(batch_size=3) == digest(device="auto") == digest()
    assert feature_set_digest(dataset.digest, settings(), "others") != digest()


def test_a_set_s_identity_holds_what_decides_its_values_alone():
    assert settings(layer="fc8", weights="imagenet", weights_file="w.pth", batch_size=None).identity() == {
        "weights": "imagenet", "layer": "fc8", "input_size": 64, "interpolation": "bilinear", "precision": "float32",
        "storage": "float32", "shard_rows": 8, "resizing": 2,
    }  # fmt: skip
    assert settings().identity()["seed"] == 0


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("photo-patches", "photo-patches"), ("größe 2", "größe 2"), ("../../etc", "-..-etc"), (".hidden", "hidden"),
        ("a/b:c\n", "a-b-c-"), ("...", "dataset"), ("", "dataset"), ("x" * 300, "x" * 60),
    ],
)  # fmt: skip
def test_any_dataset_s_name_makes_a_safe_folder(dataset, name, folder, tmp_path):
    named = build(name, dataset.class_names, dataset.splits, "")
    work = plan_extraction(named, settings(), tmp_path)
    assert work.folder == tmp_path / folder / work.digest[:16]
    write_plan(work.folder, work.plan)
    assert [found.plan.dataset for found in found_sets(tmp_path)] == [name]


def test_a_set_made_under_another_name_is_the_same_one(dataset, tmp_path):
    made = extract(build("a:b", dataset.class_names, dataset.splits, ""), settings(), tmp_path)
    shards = {path: path.stat().st_mtime_ns for path in made.folder.glob("*.parquet")}
    found = plan_extraction(build("a-b", dataset.class_names, dataset.splits, ""), settings(), tmp_path)
    assert isinstance(found, FeatureSet)
    assert found.manifest == made.manifest
    assert {path: path.stat().st_mtime_ns for path in made.folder.glob("*.parquet")} == shards


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_a_stopped_extraction_goes_on_and_ends_bit_identical(dataset, tmp_path, monkeypatch, stop_after):
    whole = extract(dataset, settings(), tmp_path / "whole")
    calls = []
    write = extractor.write_shard

    def stopping(*arguments):
        if len(calls) == stop_after:
            raise KeyboardInterrupt
        calls.append(arguments)
        return write(*arguments)

    monkeypatch.setattr(extractor, "write_shard", stopping)
    with pytest.raises(KeyboardInterrupt):
        extract(dataset, settings(), tmp_path / "cut")
    folder = tmp_path / "cut" / "tiny" / whole.manifest.digest[:16]
    with pytest.raises(FeatureSetError, match="is not sealed"):
        open_feature_set(folder)

    computed = []

    def noting(path, *rest):
        computed.append(path.name)
        return write(path, *rest)

    monkeypatch.setattr(extractor, "write_shard", noting)
    extract(dataset, settings(), tmp_path / "cut")
    assert len(computed) == 4 - stop_after
    assert shard_bytes(folder) == shard_bytes(whole.folder)


def test_shards_before_an_image_that_changed_are_kept(tmp_path):
    root = write_images(tmp_path / "pets", ("cat", "dog"), 12)
    data = acquire(ImageFolder(path=str(root)), tmp_path / "data")
    Image.new("RGB", (8, 8)).save(root / data.splits["train"].images.name(17))
    with pytest.raises(ChangedError, match="changed since it was verified"):
        extract(data, settings(), tmp_path / "sets")
    kept = [path.name for path in sorted((tmp_path / "sets").rglob("*.parquet"))]
    assert kept == ["part-00000.parquet", "part-00001.parquet"]


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped bit", "flipped first bit", "flipped bit of the footer"])
def test_a_damaged_shard_is_refused_by_readers_and_alone_made_again(dataset, tmp_path, monkeypatch, damage):
    sealed = extract(dataset, settings(), tmp_path)
    before = shard_bytes(sealed.folder)
    victim = sealed.folder / "part-00001.parquet"
    content = bytearray(victim.read_bytes())
    if damage == "missing":
        victim.unlink()
    elif damage == "cut":
        victim.write_bytes(content[:-100])
    else:
        content[
            {"flipped bit": len(content) // 2, "flipped first bit": 0, "flipped bit of the footer": -300}[damage]
        ] ^= 1
        victim.write_bytes(content)
    with pytest.raises(
        FeatureSetError, match=f"part-00001.parquet is {'missing' if damage == 'missing' else 'damaged'}"
    ):
        open_feature_set(sealed.folder)
    written = []
    write = extractor.write_shard

    def noting(path, *rest):
        written.append(path.name)
        return write(path, *rest)

    monkeypatch.setattr(extractor, "write_shard", noting)
    extract(dataset, settings(), tmp_path)
    assert written == ["part-00001.parquet"]
    assert shard_bytes(sealed.folder) == before


def test_rows_are_neither_lost_nor_doubled_and_pandas_reads_the_shards(dataset, tmp_path):
    sealed = extract(dataset, settings(), tmp_path)
    frames = pd.concat([pd.read_parquet(path) for path in sorted(sealed.folder.glob("*.parquet"))])
    assert frames["sample_id"].tolist() == list(range(26))
    assert frames["split"].tolist() == ["train"] * 18 + ["test"] * 8
    np.testing.assert_array_equal(np.stack(frames["features"][frames["split"] == "train"]), sealed.load("train").X)
    streamed = np.concatenate([part.X for part in sealed.batches("test")])
    np.testing.assert_array_equal(streamed, sealed.load("test").X)
    with pytest.raises(FeatureSetError, match="no split 'validation'; it has: train, test"):
        list(sealed.batches("validation"))


@pytest.mark.parametrize(("change", "bound"), [({"storage": "float16"}, 2e-3), ({"precision": "bfloat16"}, 0.05)])
def test_smaller_numbers_stay_close_to_float32(dataset, tmp_path, change, bound):
    full = extract(dataset, settings(layer="fc7"), tmp_path).load("train").X
    small = extract(dataset, settings(layer="fc7", **change), tmp_path).load("train").X.astype(np.float32)
    assert np.linalg.norm(small - full) / np.linalg.norm(full) < bound
    assert (small != full).any()


def test_features_that_are_not_finite_are_refused_naming_the_sample(dataset, tmp_path, monkeypatch):
    stored = cpu_program.as_stored

    def broken(features, storage):
        found = stored(features, storage)
        found[1, 7] = np.inf
        return found

    monkeypatch.setattr(cpu_program, "as_stored", broken)
    with pytest.raises(FeatureSetError, match="sample 1 of tiny gives features that are not finite"):
        extract(dataset, settings(), tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def write_trunk(file: Path) -> str:
    """A file of the random AlexNet's weights as far as pool5 needs them; returns its path."""
    torch.save(
        {f"features.{name}": each for name, each in random_network(ALEXNET, 0).features.state_dict().items()}, file
    )
    return str(file)


class TestWeights:
    def test_random_ones_follow_the_seed_and_leave_torch_s_generator_alone(self, tmp_path):
        state = torch.random.get_rng_state()
        digests = [weights_digest(settings(seed=seed), tmp_path / str(k), None) for k, seed in enumerate((0, 0, 1))]
        assert digests[0] == digests[1] != digests[2]
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_a_file_is_loaded_by_path_and_gives_its_own_features(self, dataset, tmp_path):
        from_file = settings(weights="imagenet", weights_file=write_trunk(tmp_path / "w.pth"))
        loaded = extract(dataset, from_file, tmp_path / "a")
        drawn = extract(dataset, settings(), tmp_path / "b")
        np.testing.assert_array_equal(loaded.load("train").X, drawn.load("train").X)
        assert "ImageNet weights" in loaded.manifest.description
        assert "RANDOM weights (seed 0)" in drawn.manifest.description

    def test_where_a_file_lies_changes_nothing_of_the_set(self, dataset, tmp_path):
        made = []
        for name in ("one", "two"):
            from_file = settings(weights="imagenet", weights_file=write_trunk(tmp_path / f"{name}.pth"))
            made.append(extract(dataset, from_file, tmp_path / name))
        one, two = (shard_bytes(each.folder) | {"m": (each.folder / "manifest.json").read_bytes()} for each in made)
        # torch.save writes the file's name into it, so the two files are not equal, but of one only the path may differ
        assert made[0].manifest.description == made[1].manifest.description
        assert str(tmp_path).encode() not in b"".join([*one.values(), *two.values()])

    def test_the_mirror_s_file_is_checked_by_the_digest_in_its_name(self, dataset, tmp_path):
        (tmp_path / "weights").mkdir()
        write_trunk(tmp_path / "weights" / "alexnet-owt-7be5be79.pth")
        with pytest.raises(WeightsError, match="is damaged or altered: its sha256 is not 7be5be79; replace it"):
            extract(dataset, settings(weights="imagenet"), tmp_path / "f", tmp_path.as_uri())

    def test_without_any_it_says_what_to_do(self, dataset, tmp_path):
        with pytest.raises(
            WeightsError, match=r"no ImageNet weights: .*set weights_file to a file of your own, or weights to random"
        ):
            extract(dataset, settings(weights="imagenet"), tmp_path, tmp_path.as_uri())

    @pytest.mark.parametrize("content", ["pickle with code", "text", "other tensors"])
    def test_a_wrong_file_is_refused_and_runs_no_code(self, dataset, tmp_path, content):
        path = tmp_path / "w.pth"

        class Evil:
            def __reduce__(self):
                return (os.mkdir, (str(tmp_path / "ran"),))

        if content == "text":
            path.write_text("no weights")
        else:
            torch.save(Evil() if content == "pickle with code" else {"a": torch.zeros(2)}, path)
        with pytest.raises(WeightsError, match=r"does not hold torchvision's AlexNet weights|is a pickled model"):
            extract(dataset, settings(weights="imagenet", weights_file=str(path)), tmp_path / "f")
        assert not (tmp_path / "ran").exists()


def test_a_gpu_that_is_not_there_is_refused(dataset, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: the refusal of a missing one cannot be shown")
    with pytest.raises(ConfigError, match=r"features.device 'cuda:0': PyTorch sees 0 GPU\(s\) here; use auto or cpu"):
        extract(dataset, settings(device="cuda:0"), tmp_path)


def test_a_precision_that_the_processor_emulates_is_warned_of(dataset, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "avx512_fp16": False})
    for precision, warned in (("float32", False), ("bfloat16", False), ("float16", True)):
        caplog.clear()
        make_program(settings(precision=precision), tmp_path, None, None)
        assert ("this processor emulates float16" in caplog.text) == warned


def test_a_copied_set_is_read_anywhere(dataset, tmp_path):
    sealed = extract(dataset, settings(), tmp_path / "here")
    shutil.move(sealed.folder, tmp_path / "there")
    assert open_feature_set(tmp_path / "there").load("train").X.shape == (18, 9216)
