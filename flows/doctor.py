"""What works here for a profile, and what to do about what does not: data, weights, GPU, servers, disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

from lib.addresses import without_credentials
from lib.errors import ProbeflowError
from lib.places import Places, places
from lib.profile import Profile
from lib.text import visible

_ENOUGH_DISK = 5e9


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    subject: str
    works: bool
    words: str
    needed: bool = True


def examine(profile: Profile) -> int:
    """Print what works and each fix; the exit status is 1 when something that `profile` needs does not."""
    failed = False
    for finding in _findings(profile, places()):
        mark = "ok" if finding.works else ("FIX" if finding.needed else "-")
        sys.stdout.write(f"{mark:5s} {finding.subject:12s} {visible(finding.words)}\n")
        sys.stdout.flush()
        failed |= finding.needed and not finding.works
    return 1 if failed else 0


def _findings(profile: Profile, where: Places) -> Iterator[Finding]:
    packages = ("prefect", "mlflow", "torch", "torchvision", "scikit-learn", "numpy")
    running = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", True, f"Python {running}, " + ", ".join(f"{name} {version(name)}" for name in packages))
    yield from _disk(where)
    yield from _data(profile, where)
    yield from _weights(profile, where)
    yield _gpu(profile)
    yield from _precision(profile)
    yield from _servers(where)


def _disk(where: Places) -> Iterator[Finding]:
    from lib.files import require_writable

    for name, folder in (("data", where.data), ("mlruns", where.mlruns)):
        try:
            require_writable(folder, f"PROBEFLOW_{name.upper()}")
        except ProbeflowError as problem:
            yield Finding(name, False, str(problem))
            continue
        free = shutil.disk_usage(folder).free
        words = f"{folder} is writable, {free / 1e9:.0f} GB free"
        if name == "data" and where.store is not None:
            words = f"{where.store} answers and is writable; of its copies, {words}"
        yield Finding(name, free > _ENOUGH_DISK, words + ("" if free > _ENOUGH_DISK else "; make room: 5 GB are wise"))


def _data(profile: Profile, where: Places) -> Iterator[Finding]:
    from lib.datasets import acquire

    yield Finding(
        "mirror",
        True,
        without_credentials(where.mirror or "") or "none set; downloads come from their public addresses",
    )
    for name, source in profile.data.items():
        try:
            dataset = acquire(source, where.data, where.mirror)
        except ProbeflowError as problem:
            yield Finding(name, False, str(problem))
        else:
            rows = ", ".join(f"{len(split):,} {of}" for of, split in dataset.splits.items())
            yield Finding(name, True, f"{dataset.name}, {rows} ({dataset.origin})")


def _weights(profile: Profile, where: Places) -> Iterator[Finding]:
    from lib.backbones.weights import weights_digest

    for name, node in profile.features.items():
        try:
            digest = weights_digest(node.extraction, where.weights, where.mirror)
        except ProbeflowError as problem:
            yield Finding(name, False, str(problem))
        else:
            yield Finding(name, True, f"{node.extraction.describe()}, sha256 {digest[:16]}…")


def _gpu(profile: Profile) -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding("GPU", True, ", ".join(names))
    needed = any(node.device.startswith("cuda") for node in profile.features.values())
    return Finding("GPU", False, "none seen by PyTorch: extraction runs on the CPU, slower; check the driver", needed)


def _precision(profile: Profile) -> Iterator[Finding]:
    from lib.features.device import choose_device, computes_fast

    for device_name, chosen in sorted({(node.device, node.precision) for node in profile.features.values()}):
        try:
            device = choose_device(device_name)
        except ProbeflowError as problem:
            yield Finding("precision", False, str(problem))
            continue
        fast = [name for name in ("bfloat16", "float16") if computes_fast(name, device)]
        words = f"{chosen} on {device.type}; of the short ones it computes {' and '.join(fast) or 'none'} by itself"
        if computes_fast(chosen, device):
            yield Finding("precision", True, words)
        else:
            emulated = f"{words}: {chosen} is emulated, many times slower; take float32"
            yield Finding("precision", False, emulated, needed=False)


def _servers(where: Places) -> Iterator[Finding]:
    yield _prefect()
    yield _mlflow(where)


def _prefect() -> Finding:
    """Whether the server that Prefect's settings name answers, and answers this user."""
    from flows.servers import require_prefect

    try:
        require_prefect()
        from tasks.server import named_in, require_server, server_address

        require_server()
    except ProbeflowError as problem:
        return Finding("Prefect", False, str(problem))
    if (url := server_address()) is None:
        return Finding("Prefect", True, "no server set; each run starts its own for as long as it lasts")
    return Finding("Prefect", True, f"{url} (set by {named_in()})")


def _mlflow(where: Places) -> Finding:
    shown = without_credentials(where.tracking_uri)
    if where.tracking_uri.startswith("sqlite:") and not (where.mlruns / "mlflow.db").exists():
        return Finding("MLflow", True, f"no server needed; a run makes {shown}")
    from lib.tracking.store import connect

    try:
        connect(where)
    except ProbeflowError as problem:
        return Finding("MLflow", False, str(problem))
    return Finding("MLflow", True, shown if where.tracking_uri.startswith("http") else f"no server needed: {shown}")
