"""A registered version as an ONNX file, from a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from lib.files import require_no_folder
from lib.onnx_export import OPSET, PIXELS, PROBABILITIES, export_onnx, require_packages
from lib.places import Places
from lib.text import number
from lib.tracking.labelling import load_version
from lib.tracking.registry import CHAMPION, registered_name
from lib.tracking.store import connect


def export(file: Path, model: str | None, version: str | None, where: Places) -> int:
    """Write the champion, or another version, to `file`, and say what it takes and how near it is to our own outputs.

    Raises
    ------
    ConfigError
        When a package is missing, there is no champion, or several models and none was named.
    DataError
        When the file's outputs are not ours; it is not written.
    """
    require_packages()
    require_no_folder(file)
    tracking = connect(where)
    loaded = load_version(tracking, registered_name(tracking, model), version or CHAMPION)
    of = loaded.version
    about = {"model": of.name, "version": of.number, "run_id": of.run_id, "dataset_digest": of.data_digest}
    exported = export_onnx(loaded.classifier, loaded.examples, about, file)
    shape = ", ".join(map(str, exported.shape))
    sys.stdout.write(
        f"{file}: {loaded.title}, {file.stat().st_size / 1e6:,.1f} MB, ONNX opset {OPSET}\n"
        f"input {PIXELS}: float32 (batch, {shape}); how to decode and resize is in the metadata (preprocessing)\n"
        f"output {PROBABILITIES}: float32 (batch, {len(loaded.classifier.recipe.class_names)}), and their logits\n"
        f"onnxruntime's probabilities of {exported.images} test images differ from ours by at most "
        f"{number(exported.difference)}; the bound is {exported.bound:g}\n"
    )
    return 0
