"""The device that computes features, and which precisions it is fast in."""

from __future__ import annotations

import torch

from lib.errors import ConfigError
from lib.machine import cores


def choose_device(wanted: str) -> torch.device:
    """The device asked for; "auto" is the first GPU if there is one, else the CPU.

    Raises ConfigError when a GPU is asked for and there is none of that number.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"features.device {wanted!r}: PyTorch sees {torch.cuda.device_count()} GPU(s) here; use auto or cpu, "
            "or check the driver and CUDA_VISIBLE_DEVICES"
        )
    return device


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({cores()} cores)"


_FAST = {"bfloat16": ("avx512_bf16", "amx_bf16", "avx10_2", "bf16"), "float16": ("avx512_fp16", "amx_fp16", "avx10_2")}
"""Instructions of which a processor has one if it computes in that precision by itself."""


def computes_fast(precision: str, device: torch.device) -> bool:
    """Whether the device computes in `precision` at least as fast as in float32; others emulate it, many times slower."""
    if device.type != "cpu" or precision == "float32":
        return True
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(instruction, False) for instruction in _FAST[precision])
