"""Safetensors files that hold a digest of their content, so that damage is found when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from lib.files import write_bytes

_SEAL = "sha256"


def write_tensors(
    path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, atomically; a digest in it tells `read_tensors` of damage."""
    content = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    plain = dict(metadata or {})
    write_bytes(path, to_bytes(content, plain | {_SEAL: digest_tensors(content, plain)}))


def read_tensors(path: str | Path, must: bool = False) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises OSError, SafetensorError when it cannot be read, or its digest does not fit.

    `must`: whether it has to be written by `write_tensors`.
    """
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        metadata = file.metadata() or {}
    seal = metadata.pop(_SEAL, None)
    if (seal is not None or must) and seal != digest_tensors(tensors, metadata):
        raise SafetensorError(f"its {_SEAL} does not fit its content")
    return tensors, metadata


def digest_tensors(tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """Digest of what a file holds: its own bytes may have the metadata in any order."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
