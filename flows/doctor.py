"""What works here for a profile, and what to do about what does not: data, weights, GPU, servers, disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from flows.tables import filled
from lib.addresses import without_credentials
from lib.errors import ProbeflowError
from lib.places import Places, places
from lib.profile import Profile
from lib.text import columns, visible

if TYPE_CHECKING:
    from lib.datasets import Dataset

_ENOUGH_DISK = 5e9


@dataclass(frozen=True)
class Finding:
    subject: str
    works: bool
    words: str
    needed: bool = True


def examine(profile: Profile, only: Sequence[str] | None = None) -> int:
    """Print what works and each fix, for some nodes of `profile` or all; the status is 1 when something needed does not."""
    failed = False
    nodes = profile.graph.chosen(only)
    width = max([12, *(columns(name) for name in nodes)])  # subjects of our own have 8 letters at most
    for finding in _findings(profile, nodes, places()):
        mark = "ok" if finding.works else ("FIX" if finding.needed else "-")
        sys.stdout.write(f"{mark:5s} {filled(finding.subject, width)} {visible(finding.words)}\n")
        sys.stdout.flush()
        failed |= finding.needed and not finding.works
    return 1 if failed else 0


def _findings(profile: Profile, names: Sequence[str], where: Places) -> Iterator[Finding]:
    packages = ("prefect", "mlflow", "torch", "torchvision", "scikit-learn", "numpy")
    running = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", True, f"Python {running}, " + ", ".join(f"{name} {version(name)}" for name in packages))
    yield from _disk(where)
    datasets: dict[str, Dataset] = {}
    yield from _data(profile, names, where, datasets)
    yield from _weights(profile, names, where)
    yield from _nodes(profile, names, where, datasets)
    yield _gpu(profile, names)
    yield from _precision(profile, names)
    yield _prefect()
    yield _mlflow(where)


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


def _data(profile: Profile, names: Sequence[str], where: Places, datasets: dict[str, Dataset]) -> Iterator[Finding]:
    from lib.datasets import require_no_leakage
    from lib.graph.data import acquire_data

    yield Finding(
        "mirror",
        True,
        without_credentials(where.mirror or "") or "none set; downloads come from their public addresses",
    )
    for name in names:
        if name not in profile.data:
            continue
        try:
            dataset = acquire_data(profile.graph, name, where)
            require_no_leakage(dataset)
        except ProbeflowError as problem:
            yield Finding(name, False, str(problem))
        else:
            datasets[name] = dataset
            yield Finding(name, True, f"{dataset.name}: {'; '.join(dataset.understood.lines())} ({dataset.origin})")


def _weights(profile: Profile, names: Sequence[str], where: Places) -> Iterator[Finding]:
    """Each file of ImageNet weights: what the profile's feature sets need, and AlexNet's, which `try` takes."""
    from lib.backbones.config import NetworkSettings
    from lib.backbones.weights import have_weights

    needed = [profile.features[name].extraction for name in names if name in profile.features]
    needed = [each for each in needed if each.weights == "imagenet"]
    listed: dict[tuple[str, str | None], NetworkSettings] = {
        (each.backbone, each.weights_file): each for each in needed
    }
    taken = NetworkSettings(weights="imagenet")
    for of, settings in ({(taken.backbone, None): taken} | listed).items():
        try:
            works, words = have_weights(settings, where.weights, where.mirror)
        except ProbeflowError as problem:
            works, words = False, str(problem)
        yield Finding("weights", works, f"{settings.entry.title}, ImageNet: {words}", needed=of in listed)


def _nodes(profile: Profile, names: Sequence[str], where: Places, datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Weights of feature sets, and what nodes lack as a run would refuse it; whether the disk takes what they write."""
    from lib.backbones.weights import weights_digest
    from lib.graph.check import look_ahead, problems, small_disk
    from lib.graph.outlook import Outlook

    outlook = Outlook(profile, datasets, where, fetch=True)
    lacking = dict(problems(profile, names, outlook))
    waiting: set[str] = set(lacking)
    for name in names:
        if name in profile.data:
            continue
        if name not in lacking and (waits := [need.node for need in profile.graph[name].needs if need.node in waiting]):
            waiting.add(name)
            yield Finding(name, False, f"{profile.graph[name].kind}: waits for {', '.join(waits)}", needed=False)
            continue
        words = f"{profile.graph[name].kind}: its settings and data fit"
        try:
            if name in lacking:
                raise lacking[name]
            if name in profile.features:
                extraction = profile.features[name].extraction
                digest = weights_digest(extraction, where.weights, where.mirror)
                words = f"{extraction.describe()}, sha256 {digest[:16]}…"
        except ProbeflowError as problem:
            yield Finding(name, False, str(problem))
        else:
            yield Finding(name, True, words)
    if lacking or any(name in profile.data and name not in datasets for name in names):
        return
    forecasts = [node.forecast for node in look_ahead(profile, names, outlook) if node.forecast is not None]
    if too_small := small_disk(forecasts, where):
        yield Finding("disk", False, str(too_small))


def _gpu(profile: Profile, names: Sequence[str]) -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding("GPU", True, ", ".join(names))
    needed = any(node.device.startswith("cuda") for name, node in profile.features.items() if name in names)
    if not needed and not Path("/dev/nvidiactl").exists():
        return Finding("GPU", True, "no GPU: everything runs on the CPU")
    return Finding("GPU", False, "none seen by PyTorch: everything runs on the CPU, slower; check the driver", needed)


def _precision(profile: Profile, names: Sequence[str]) -> Iterator[Finding]:
    from lib.features.device import choose_device, computes_fast

    wanted = {(node.device, node.precision) for name, node in profile.features.items() if name in names}
    for device_name, chosen in sorted(wanted):
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


def _prefect() -> Finding:
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
