"""Feature extraction against the usual ways, and against the bare network: images a second to sealed Parquet.

Side by side in one process, in turns, over the same image files (32x32); figures are medians over the turns.

(i)   one image at a time, as the reference study: open, resize with Pillow, normalise, batch of 1, float32
(ii)  the usual torchvision DataLoader loop: Pillow resize in workers, batch 64, float32
(iii) the bare network's forward at our precision and batch, its input ready in memory

Ours runs from the files to a sealed set: reading, decoding, resizing, network, Parquet, checksums, fsync, manifest. Loading
the network counts for nobody; the time until our first shard from a cold start is told apart.

    python -m benchmarks.extract --mirror ../shared/data
    python -m benchmarks.extract --mirror ../shared/data --agreement     # bfloat16 and float16 against float32
    python -m benchmarks.extract --photos 120                            # JPEGs of 12 megapixels, from nothing to pool5

Without a mirror the images are patches of scikit-learn's photographs. With a GPU (--device cuda) the rates there are
measured too, for images in memory as CIFAR-10 is. Ours computes in the precision that is fastest here, unless one is given.

With --photos ours verifies the files and extracts them, once with `decode: scaled` and once with `full`, against the same
DataLoader loop; a table tells what scaling does to the features and to a classifier on them. The last line is one JSON
object; each figure is better when larger.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder as TorchvisionFolder

from lib.backbones import find_backbone
from lib.backbones.random_weights import random_network
from lib.datasets import acquire
from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.sources import ImageFolder, PhotoPatches
from lib.evaluation.intervals import over_seeds
from lib.features import FeatureSettings, extract
from lib.features.programs import make_program
from lib.features.reading import FeatureSet
from lib.features.speed import read_speeds
from lib.machine import cores
from lib.mlp.estimator import MLPClassifier
from lib.mlp.standardise import Standardiser
from lib.places import places

GMAC = 0.714
"""Multiply-accumulates of AlexNet for one image of 224x224, in thousand millions."""

BATCH = 256
"""Images of a batch of the bare network: what the fully connected layers of AlexNet take at once here."""

MIRRORED = "images/cifar10-airplane-automobile-jpeg.tar"


def usual_transform() -> Callable[[Image.Image], torch.Tensor]:
    own = find_backbone("alexnet").preprocessing
    return transforms.Compose(
        [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize(own.mean, own.deviation)]
    )


def usual_network(device: str = "cpu") -> torch.nn.Module:
    return random_network(find_backbone("alexnet"), 0).to(device)


def one_at_a_time(files: TorchvisionFolder, count: int, folder: Path) -> float:
    """Images a second."""
    network, rows = usual_network(), []
    started = time.perf_counter()
    with torch.no_grad():
        for index in range(count):
            image, _ = files[index]
            rows.append(network(image[None])[0].numpy())
        np.save(folder / "one.npy", np.stack(rows))
    return count / (time.perf_counter() - started)


def usual_loop(
    files: TorchvisionFolder, count: int, folder: Path, device: str = "cpu", network: torch.nn.Module | None = None
) -> float:
    """Images a second, workers' start included."""
    network, rows = network or usual_network(device), []
    some = torch.utils.data.Subset(files, range(count))
    started = time.perf_counter()
    with torch.no_grad():
        for images, _ in DataLoader(some, batch_size=64, num_workers=cores(), pin_memory=device != "cpu"):
            rows.append(network(images.to(device)).cpu().numpy())
        np.save(folder / "loop.npy", np.concatenate(rows))
    return count / (time.perf_counter() - started)


def bare_forward(settings: FeatureSettings, batch: int, count: int) -> float:
    """Images a second of the network alone."""
    device = settings.device if settings.device != "auto" else "cpu"
    dtype = getattr(torch, settings.precision)
    network = usual_network(device).to(dtype).to(memory_format=torch.channels_last)
    images = torch.rand(batch, 3, 224, 224, device=device).to(dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(2):
            network(images)
        if device != "cpu":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(-(-count // batch)):
            network(images)
        if device != "cpu":
            torch.cuda.synchronize()
    return batch * -(-count // batch) / (time.perf_counter() - started)


def fastest_precision() -> str:
    """float32 or bfloat16, whichever the network computes faster here: not every processor has bfloat16 itself."""
    rates = {
        name: bare_forward(FeatureSettings(weights="random", precision=name, device="cpu"), 32, 64)
        for name in ("float32", "bfloat16")
    }
    print(", ".join(f"{name}: {rate:,.0f} images/s" for name, rate in rates.items()))
    return max(rates, key=lambda name: rates[name])


def ours(dataset: Dataset, settings: FeatureSettings, folder: Path) -> tuple[float, float]:
    """Images a second from the first read to the sealed set without loading the network; seconds to the first shard with."""
    started = time.perf_counter()
    made = extract(dataset, settings, folder)
    whole = time.perf_counter() - started
    (speed,) = read_speeds(made.folder)
    loading = seconds_of_loading(settings, folder, speed.batch_size)
    return made.manifest.rows / (whole - loading), speed.seconds_to_first_shard


def seconds_of_loading(settings: FeatureSettings, folder: Path, batch_size: int) -> float:
    """What making the network takes, for batches of a size that is known: a GPU's search for one counts for us."""
    started = time.perf_counter()
    make_program(settings, folder / ".weights", None, batch_size)
    return time.perf_counter() - started


def image_files(mirror: str | None, folder: Path) -> Path:
    """A folder of one folder a class."""
    if mirror is not None:
        acquire(ImageFolder(path=MIRRORED), places().data, mirror)
        (root,) = [path.parent for path in (places().data / "raw" / "folder").glob("*/train")]
        return root / "train"
    patches = acquire(PhotoPatches(stride=4), folder)
    split = patches.splits["train"]
    for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
        path = folder / "patches" / patches.class_names[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder / "patches"


def compare(arguments: argparse.Namespace, mirror: str | None, folder: Path) -> dict[str, float]:
    settings = FeatureSettings(weights="random", precision=arguments.precision, device="cpu", storage="float16")
    root = image_files(mirror, folder)
    dataset = acquire(ImageFolder(path=str(root)), folder / "data")
    files = TorchvisionFolder(str(root), usual_transform())
    print(f"{sum(map(len, dataset.splits.values())):,} files of {root}; {cores()} cores; ours in {settings.precision}")
    batch = BATCH
    rates: dict[str, list[float]] = {}
    for turn in range(arguments.turns):
        found = {
            "one at a time": one_at_a_time(files, arguments.one, folder),
            "DataLoader loop": usual_loop(files, arguments.loop, folder),
            f"bare forward, batch {batch}": bare_forward(settings, batch, 2048),
            "bare forward, batch 64": bare_forward(settings, 64, 2048),
        }
        rate, first = ours(dataset, settings, folder / f"set-{turn}")
        found["ours, to sealed Parquet"] = rate
        for name, value in found.items():
            rates.setdefault(name, []).append(value)
        told = ", ".join(f"{name} {value:,.0f}" for name, value in found.items())
        print(
            f"turn {turn + 1}: {told} images/s; first shard (4,096 images) {first:.1f} s after a cold start", flush=True
        )
    middle = {name: statistics.median(values) for name, values in rates.items()}
    mine = middle["ours, to sealed Parquet"]
    best = max(rate for name, rate in middle.items() if name.startswith("bare"))
    print(f"against the bare forward at the better batch of the two: {mine / best:.2f}")
    return {
        "vs_one_at_a_time": round(mine / middle["one at a time"], 2),
        "vs_dataloader": round(mine / middle["DataLoader loop"], 2),
        "of_bare_forward": round(mine / middle[f"bare forward, batch {batch}"], 3),
        "images_per_second": round(mine, 1),
    }


def agreement(mirror: str | None, folder: Path, count: int) -> None:
    """The table: relative error of the features, and the accuracy of the same classifier trained on them."""
    source = PhotoPatches() if mirror is None else ImageFolder(path=MIRRORED)
    whole = acquire(source, places().data, mirror)
    rng = np.random.default_rng(0)
    splits = {}
    for name, share in (("train", count), ("test", count // 2)):
        split = whole.splits[name]
        rows = np.sort(rng.permutation(len(split))[:share])
        splits[name] = Split(np.stack([split.images[int(row)] for row in rows]), split.labels[rows])
    dataset = build("agreement", whole.class_names, splits, whole.origin)
    print(f"{whole.origin}: {len(splits['train']):,} training and {len(splits['test']):,} test images, RANDOM weights")
    print("| computed in | stored as | relative error | test accuracy, 5 seeds: mean ± standard deviation |")
    print("|---|---|---|---|")
    reference: FeatureSet | None = None
    for precision, storage in (
        ("float32", "float32"), ("float32", "float16"), ("bfloat16", "float16"), ("float16", "float16")
    ):  # fmt: skip
        settings = FeatureSettings(weights="random", precision=precision, storage=storage, device="cpu")
        made = extract(dataset, settings, folder / "sets")
        reference = reference or made
        X, X_test = (made.load(name).X.astype(np.float32) for name in ("train", "test"))
        exact = reference.load("test").X.astype(np.float64)
        error = np.linalg.norm(X_test - exact) / np.linalg.norm(exact)
        standardise = Standardiser.fit(X)
        scores = []
        for seed in range(5):
            network = MLPClassifier(
                hidden=(512, 256),
                optimizer="adam",
                learning_rate=3e-4,
                batch_size=32,
                epochs=30,
                l2=0.01,
                random_state=seed,
            )
            network.fit(standardise.apply(X), splits["train"].labels)
            scores.append(network.score(standardise.apply(X_test), splits["test"].labels))
        words = over_seeds(scores, (0, 1)).words
        print(f"| {precision} | {storage} | {error:.2g} | {words} |", flush=True)


PHOTO = (4032, 3024)


def make_photos(count: int, folder: Path) -> Path:
    """Cuttings of scikit-learn's two photographs at 12 megapixels, with a camera's grain; quality 90."""
    pictures = load_sample_images()

    def make(number: int) -> None:
        rng = np.random.default_rng(number)
        name, pixels = Path(pictures.filenames[number % 2]).stem, pictures.images[number % 2]
        top, left = rng.integers(0, pixels.shape[0] - 120), rng.integers(0, pixels.shape[1] - 160)
        cutting = Image.fromarray(pixels[top : top + 120, left : left + 160]).resize(PHOTO, Image.Resampling.BICUBIC)
        grain = rng.normal(0, 6, (*PHOTO[::-1], 1)).astype(np.float32)
        content = np.clip(np.asarray(cutting, np.float32) + grain, 0, 255).astype(np.uint8)
        path = folder / name / f"IMG_{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(content).save(path, quality=90)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(make, range(count)))
    return folder


def photos(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """From files that nothing is known of to a sealed set of pool5, and what scaling changes."""
    root = make_photos(arguments.photos, folder / "photos")
    size = sum(path.stat().st_size for path in root.glob("*/*")) / arguments.photos / 1e6
    print(f"{arguments.photos} JPEGs of {PHOTO[0]}x{PHOTO[1]}, {size:.1f} MB each; ours in {arguments.precision}")
    settings = FeatureSettings(weights="random", layer="pool5", precision=arguments.precision, device="cpu")
    network = usual_network()
    network.classifier = torch.nn.Identity()
    files = TorchvisionFolder(str(root), usual_transform())
    rates: dict[str, list[float]] = {}
    made: dict[str, dict[str, np.ndarray]] = {}
    for turn in range(arguments.turns):
        rates.setdefault("DataLoader loop", []).append(usual_loop(files, len(files), folder, network=network))
        for decode in ("scaled", "full"):
            source = ImageFolder(path=str(root), decode=decode)
            started = time.perf_counter()
            dataset = acquire(source, folder / f"data-{turn}-{decode}", small_copies=[settings.shrink])
            found = extract(dataset, settings, folder / f"photo-sets-{turn}-{decode}")
            whole = time.perf_counter() - started
            (speed,) = read_speeds(found.folder)
            loading = seconds_of_loading(settings, folder, speed.batch_size)
            rates.setdefault(decode, []).append(len(files) / (whole - loading))
            made[decode] = {
                split.images.name(row): values
                for name, split in dataset.splits.items()
                for row, values in enumerate(found.load(name).X.astype(np.float64))
            }
        told = ", ".join(f"{name} {values[-1]:.2f}" for name, values in rates.items())
        print(f"turn {turn + 1}: {told} images/s", flush=True)
    paths = sorted(made["full"])
    full, scaled = (np.stack([made[decode][path] for path in paths]) for decode in ("full", "scaled"))
    labels = np.array([path.partition("/")[0] == paths[0].partition("/")[0] for path in paths])
    print("| decoded | relative error of features | accuracy of logistic regression, 5 folds |")
    print("|---|---|---|")
    for decode, X in (("full", full), ("scaled", scaled)):
        error = np.linalg.norm(X - full) / np.linalg.norm(full)
        scores = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), X, labels)
        print(f"| {decode} | {error:.2g} | {scores.mean():.4f} |")
    middle = {name: statistics.median(values) for name, values in rates.items()}
    loop = middle["DataLoader loop"]
    return {
        "photos_vs_dataloader": round(middle["scaled"] / loop, 2),
        "photos_full_vs_dataloader": round(middle["full"] / loop, 2),
        "photos_relative_error": float(f"{np.linalg.norm(scaled - full) / np.linalg.norm(full):.2g}"),
    }


def on_gpu(device: str, folder: Path, count: int) -> dict[str, float]:
    """Rates on a GPU for 32x32 images in memory: network with resizing alone, end to end, the usual loop, the bound."""
    settings = FeatureSettings(
        weights="random", precision="float16", storage="float16", device=device, shard_rows=32_768
    )
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = np.arange(count) % 2
    dataset = build("noise", ["a", "b"], {"train": Split(images, labels)}, "")
    program = make_program(settings, folder / ".weights", None, None)
    blocks = [range(start, min(start + program.batch_size, count)) for start in range(0, count, program.batch_size)]

    class InMemory:
        def parts(self, block: range, most: int) -> list[range]:
            return [block[start : start + most] for start in range(0, len(block), most)]

        def read(self, part: range) -> np.ndarray:
            return images[part.start : part.stop]

    for _ in program.features(InMemory(), blocks[:4]):
        pass
    started = time.perf_counter()
    for _ in program.features(InMemory(), blocks):
        pass
    alone = count / (time.perf_counter() - started)
    end_to_end, first = ours(dataset, settings, folder / "gpu-set")
    bare = bare_forward(settings, program.batch_size, count)
    side = 8192
    left = torch.rand(side, side, device=device, dtype=torch.float16)
    for _ in range(3):
        left @ left
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        left @ left
    torch.cuda.synchronize()
    bound = 20 * side**3 / (time.perf_counter() - started) / (GMAC * 1e9)
    patches = image_files(None, folder)
    files = TorchvisionFolder(str(patches), usual_transform())
    loop = usual_loop(files, len(files), folder, device)
    print(
        f"{program.device_name}, batch {program.batch_size}, float16, fc8: network with resizing and transfers "
        f"{alone:,.0f} images/s, to sealed Parquet {end_to_end:,.0f}, bare forward {bare:,.0f}, usual loop {loop:,.0f}, "
        f"bound by products of {side} {bound:,.0f}; first shard ({settings.shard_rows:,} images) {first:.1f} s after a cold start"
    )
    return {
        "gpu_images_per_second": round(alone), "gpu_to_parquet_images_per_second": round(end_to_end),
        "gpu_vs_dataloader": round(end_to_end / loop, 2), "gpu_of_bound": round(alone / bound, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", help=f"folder or URL with {MIRRORED} (default: PROBEFLOW_MIRROR)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), help="default: the fastest here")
    parser.add_argument("--photos", type=int, default=0, help="only so many JPEGs of 12 megapixels")
    parser.add_argument("--one", type=int, default=400, help="images of (i)")
    parser.add_argument("--loop", type=int, default=1024, help="images of (ii)")
    parser.add_argument("--agreement", action="store_true", help="only the table of precisions")
    parser.add_argument("--images", type=int, default=2000, help="training images of that table")
    parser.add_argument("--device", help="measure a GPU besides: cuda if there is one, else nowhere")
    arguments = parser.parse_args()
    mirror = Path(arguments.mirror).resolve().as_uri() if arguments.mirror else places().mirror
    arguments.precision = arguments.precision or fastest_precision()
    gpu = arguments.device or ("cuda" if torch.cuda.is_available() else None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.agreement:
            agreement(mirror, folder, arguments.images)
            return
        if arguments.photos:
            print(json.dumps(photos(arguments, folder)))
            return
        result = compare(arguments, mirror, folder)
        if gpu is not None:
            result |= on_gpu(gpu, folder, 400_000)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
