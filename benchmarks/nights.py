"""Three nights of one deployment, each a process as `probeflow run` is: all new, nothing changed, a class of images added.

The images are scikit-learn's digits as PNG files, one folder a class: nine classes, then the tenth. Of the profile's five nodes
one is on other data, and stays. Seconds are of the whole process, its own Prefect server's start included.

    python -m benchmarks.nights

The last line is one JSON object of seconds. Smaller is better; `unchanged` is what a night costs that has nothing to do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from lib.graph.history import history
from lib.places import places
from lib.report.changes import changed_words, model_words

SWEEP = {
    "kind": "sweep",
    "seeds": [0, 1, 2],
    "test": True,
    "baselines": ["majority", "logistic"],
    "variants": {
        "mlp": {
            "base": {"hidden": [64], "optimizer": "adam", "batch_size": 64, "epochs": 20},
            "grid": {"learning_rate": [0.001, 0.003, 0.01], "l2": [0.0, 0.001]},
        }
    },
}


def profile(images: Path) -> dict[str, Any]:
    return {
        "name": "nights",
        "data": {"scans": {"source": "folder", "path": str(images)}, "digits": {"source": "digits"}},
        "features": {"fc8": {"of": "scans", "layer": "fc8", "weights": "random", "input_size": 64}},
        "studies": {
            "look": {"kind": "exploration", "on": "scans"},
            "heads": SWEEP | {"on": "fc8"},
            "pixels": SWEEP | {"on": "scans"},
            "other": SWEEP | {"on": "digits"},
        },
        "promote": "heads",
    }


def write_class(folder: Path, digit: int) -> int:
    """Write the images of one digit into a folder of its own; returns how many there are."""
    data = load_digits()
    place = folder / str(digit)
    place.mkdir(parents=True)
    images = data.images[data.target == digit]
    for number, image in enumerate(images):
        Image.fromarray((image * 15.9375).astype(np.uint8)).save(place / f"{number:04}.png")
    return len(images)


def main() -> None:
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        own = {
            "PROBEFLOW_DATA": f"{root}/data",
            "PROBEFLOW_MLRUNS": f"{root}/mlruns",
            "PREFECT_HOME": f"{root}/prefect",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        file = root / "nights.json"
        file.write_text(json.dumps(profile(root / "scans")))

        def night(name: str) -> None:
            started = time.perf_counter()
            command = [sys.executable, "-m", "flows", "run", "--profile-file", str(file)]
            done = subprocess.run(command, env=others | own, capture_output=True, text=True)
            seconds[name] = round(time.perf_counter() - started, 1)
            if done.returncode != 0:
                sys.exit(f"the run failed: {(done.stdout + done.stderr)[-2000:]}")
            said = re.findall("(?:to compute|there already): .*", done.stdout)
            print(f"{name}: {seconds[name]} s; {'; '.join(said)}", flush=True)

        print(f"{sum(write_class(root / 'scans', digit) for digit in range(9)):,} images of 9 classes", flush=True)
        night("new")
        night("unchanged")
        print(f"{write_class(root / 'scans', 9):,} images of a tenth class added", flush=True)
        night("class added")
        for step in history(places(own).studies, "nights").steps:
            score = "" if step.run.best is None else step.run.best.score.rounded
            print(f"{step.run.when}: {model_words(step.run)}, {score}; changed: {changed_words(step) or '–'}")
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
