"""The program for a device: the CPU's cores or a GPU."""

from __future__ import annotations

import logging
from pathlib import Path

from lib.backbones.network import load_network
from lib.features.config import FeatureSettings
from lib.features.cpu_program import CpuProgram
from lib.features.cuda_program import CudaProgram
from lib.features.device import choose_device, computes_fast
from lib.features.program import Program

_logger = logging.getLogger(__name__)


def make_program(settings: FeatureSettings, cache: Path, mirror: str | None, batch_size: int | None) -> Program:
    """The network of `settings` where it is to run, ready to compute blocks of at most `batch_size` images.

    Without a number the program finds one.

    Raises WeightsError when weights are missing or do not fit; ConfigError when the device is not there, or has too
    little memory.
    """
    device = choose_device(settings.device)
    if not computes_fast(settings.precision, device):
        _logger.warning("this processor emulates %s, which is slow; float32 is faster here", settings.precision)
    network = load_network(settings, cache, mirror)
    if device.type == "cuda":
        return CudaProgram(network, settings, device, batch_size)
    return CpuProgram(network, settings, batch_size)
