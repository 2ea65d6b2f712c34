"""Peak memory of a whole extraction against the number of images: verification, extraction and sealing.

Each size runs in a process of its own over a folder of synthetic images, whose peak resident memory is what the kernel
counted. The last line is one JSON object: the largest size's peak over the smallest one's.

    python -m benchmarks.memory                        # 10,000 and 100,000 images
    python -m benchmarks.memory --images 1000 5000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

from lib.files import write_json
from lib.progress import bar

_SIDE = 16


def png(pixels: np.ndarray) -> bytes:
    """An uncompressed 8-bit RGB PNG of pixels (height, width, 3): several times faster than Pillow's writer."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(rows.tobytes(), 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_folder(folder: Path, count: int) -> None:
    """`count` different images in two classes."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    with bar("write images", count, "image") as advance:
        for index in range(count):
            image = rng.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
            (folder / "ab"[index % 2] / f"{index:07d}.png").write_bytes(png(image))
            advance(1)


def extract_folder(folder: Path, count: int, told: Path, layer: str) -> None:
    """Verify and extract in this process, and write down its peak memory in bytes."""
    import resource

    from lib.datasets import acquire, require_no_leakage
    from lib.datasets.sources import ImageFolder
    from lib.features import FeatureSettings, extract

    dataset = acquire(ImageFolder(path=str(folder / "images")), folder / "data")
    require_no_leakage(dataset)
    settings = FeatureSettings(layer=layer, weights="random", input_size=63, device="cpu", storage="float16")
    made = extract(dataset, settings, folder / "features")
    assert made.manifest.rows == count
    write_json(told, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def peak(count: int, layer: str = "fc8") -> int:
    """Bytes that the extraction of so many images' features of a layer of AlexNet takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder / "images", count)
        told = folder / "peak.json"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", "--extract", str(folder), str(count), str(told), layer],
            check=True,
        )
        return int(json.loads(told.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--extract", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.extract:
        folder, count, told, layer = arguments.extract
        extract_folder(Path(folder), int(count), Path(told), layer)
        return
    peaks = {count: peak(count) for count in sorted(arguments.images)}
    for count, bytes_ in peaks.items():
        print(f"{count:,} images: {bytes_ / 1e6:.0f} MB")
    smallest, *_, largest = peaks.values()
    print(json.dumps({"peak_growth": round(largest / smallest, 3)}))


if __name__ == "__main__":
    main()
