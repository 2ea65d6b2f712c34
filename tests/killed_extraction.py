"""Extracts one set again and again in child processes that are killed, until it has been killed often enough.

    python -m tests.killed_extraction FOLDER KILLS SEED [URL]

With a URL the sets lie there, and the children take turns at being two machines, whose copies are in FOLDER.
Half of the children are killed at a random moment, half by themselves at a random step of writing a file: before the
bytes are flushed to disk, between that and the rename, or just after the rename. Prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from lib.backbones.network import load_network
from lib.backbones.weights import random_digest
from lib.datasets.dataset import Dataset, Split, build
from lib.features import FeatureSettings, extract, programs
from lib.storage.address import place_of

SETTINGS = FeatureSettings(layer="pool5", weights="random", input_size=63, batch_size=3, shard_rows=4, device="cpu")


def dataset() -> Dataset:
    """160 images of noise: 40 shards."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (160, 12, 12, 3), np.uint8)
    labels = np.arange(160) % 2
    splits = {"train": Split(images[:101], labels[:101]), "test": Split(images[101:], labels[101:])}
    return build("noise", ["a", "b"], splits, "")


def die_while_writing(rng: np.random.Generator) -> str:
    """Arrange for this process to be killed at a step of writing one of its files."""
    step = str(rng.choice(["before fsync", "before rename", "after rename"]))
    countdown = int(rng.integers(0, 12))

    def dying(call, here):
        def wrapper(*arguments, **options):
            nonlocal countdown
            if here != "after rename":
                countdown -= 1
                if countdown < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **options)
            if here == "after rename":
                countdown -= 1
                if countdown < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapper

    if step == "before fsync":
        os.fsync = dying(os.fsync, step)
    else:
        Path.replace = dying(Path.replace, step)
    return step


def main(folder: Path, kills: int, seed: int, url: str | None = None) -> None:
    def target(number: int, machine: int) -> Path:
        if url is None:
            return folder / f"set-{number}"
        variables = os.environ | {"PROBEFLOW_CACHE": str(folder / f"machine-{machine % 2}")}
        return place_of(f"{url}/set-{number}", variables)[0] / "features"

    # With one thread PyTorch starts no others, so a fork of this process is sound, and children need not load the network.
    torch.set_num_threads(1)
    if url is not None:
        import s3fs  # noqa: F401  # in children it would take longer than they live
    network = load_network(SETTINGS, folder / "cache", None)
    programs.load_network = lambda *_: network
    random_digest(SETTINGS.backbone, SETTINGS.seed)  # remembered
    rng = np.random.default_rng(seed)
    killed, sets, how = 0, 0, Counter()
    while killed < kills:
        home = target(sets, killed)
        by_itself = killed % 2 == 1
        child = os.fork()
        if child == 0:
            if by_itself:
                die_while_writing(np.random.default_rng([seed, killed]))
            extract(dataset(), SETTINGS, home)
            os._exit(0)
        if not by_itself:
            time.sleep(rng.uniform(0.0, 0.3 if url is None else 1.0))  # connecting takes some time
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            how["while writing" if by_itself else "at a moment"] += 1
        elif os.WEXITSTATUS(status) == 0:
            sets += 1  # sealed: begin another one
        else:
            sys.exit(f"the extraction failed with status {status}")
    for number in range(sets + 1):
        child = os.fork()
        if child == 0:
            extract(dataset(), SETTINGS, target(number, 0))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit("the last extraction failed")
    sys.stdout.write(json.dumps({"killed": killed, "sets": sets + 1, **how}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
