"""Products of wide rows on the CPU, where they are most of the training: by MKL, which torch takes, or by oneDNN.

torch's float32 products are MKL's, which on AMD's processors reach half to three quarters of their rate for the few rows
of a mini-batch; oneDNN, which torch brings as well, reaches three quarters and more (docs/measurements.md). Which one is
used follows from the processor, so that a sweep made again on the same machine has the same bits. The operator is one of
torch's own, which the pinned version has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class WideProducts:
    """Products with float rows of one dtype, on the CPU.

    `outputs(weights, rows, out)`: out = weights @ rows.T; shapes (units, features), (n, features) and (units, n).
    `gradient(delta, rows, room)`: delta @ rows, of shapes (units, n) and (n, features), in `room`, contiguous and of shape
    (units, features), or in memory of its own.
    """

    outputs: Callable[[Tensor, Tensor, Tensor], object]
    gradient: Callable[[Tensor, Tensor, Tensor], Tensor]


def _outputs(weights: Tensor, rows: Tensor, out: Tensor) -> None:
    torch.mm(weights, rows.T, out=out)


def _gradient(delta: Tensor, rows: Tensor, room: Tensor) -> Tensor:
    return torch.mm(delta, rows, out=room)


def _outputs_by_onednn(weights: Tensor, rows: Tensor, out: Tensor) -> None:
    out.copy_(torch.ops.mkldnn._linear_pointwise(rows, weights, None, "none", [], "").T)


def _gradient_by_onednn(delta: Tensor, rows: Tensor, room: Tensor) -> Tensor:
    made: Tensor = torch.ops.mkldnn._linear_pointwise(delta, rows.T, None, "none", [], "")
    return made


BY_BLAS = WideProducts(_outputs, _gradient)
BY_ONEDNN = WideProducts(_outputs_by_onednn, _gradient_by_onednn)


def wide_products(dtype: torch.dtype) -> WideProducts:
    """The faster ones, by processor and dtype, never by a timing: runs repeat bit for bit. oneDNN's are of float32 alone."""
    return BY_ONEDNN if dtype == torch.float32 and onednn_is_faster() else BY_BLAS


@cache
def onednn_is_faster() -> bool:
    """Whether this is a processor of AMD's with AVX-512, on which both were measured, and torch has oneDNN."""
    capability: str = torch.backends.cpu.get_cpu_capability()
    if capability != "AVX512" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        return "AuthenticAMD" in _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
