"""Memory of a whole extraction, from a folder of image files to the sealed set, at two sizes."""

from __future__ import annotations

import pytest

from benchmarks.memory import peak


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_images():
    few, many = peak(300, "pool5"), peak(4500, "pool5")  # more images than a shard holds
    features = (4500 - 300) * 9216 * 2
    assert many - few < features / 2, f"{few / 1e6:.0f} MB with 300 images, {many / 1e6:.0f} MB with 4,500"
