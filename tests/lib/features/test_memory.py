"""Memory of a whole extraction, from a folder of image files to the sealed set, at two sizes."""

from __future__ import annotations

from benchmarks.memory import peak


def test_peak_memory_does_not_grow_with_the_number_of_images():
    few, many = peak(1000), peak(5000)  # more images than a shard holds; `python -m benchmarks.memory` goes to 100,000
    assert many < 1.1 * few, f"{few / 1e6:.0f} MB with 1,000 images, {many / 1e6:.0f} MB with 5,000"
