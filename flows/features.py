"""The feature sets on this machine: a line each, or all there is to say of one, with its statistics and a picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.tables import aligned, size
from lib.errors import command
from lib.features.manifest import Manifest
from lib.features.quarantine import read_quarantine
from lib.features.reading import FeatureSet, open_feature_set
from lib.features.sets import FoundSet, find_set, found_sets
from lib.features.speed import read_speeds
from lib.features.statistics import FeatureStatistics
from lib.files import atomic_path, require_writable
from lib.places import Places
from lib.progress import bar
from lib.storage.copies import shown
from lib.text import number

PICTURE = "features.png"
_REASONS = 5
_NAMES = 5


def features(name: str | None, where: Places) -> int:
    """Describe a set, or list all. Raises what `show_set` raises."""
    return list_sets(where) if name is None else show_set(name, where)


def list_sets(where: Places) -> int:
    """Print a line for each set under the data folder, sealed or not."""
    sets = found_sets(where.features)
    if not sets:
        sys.stdout.write(f"no feature sets in {shown(where.features)}; {command('run --only features')} makes one\n")
        return 0
    heads = ("set", "digest", ">rows", ">width", "state", ">size", "what")
    lines = [
        *aligned(heads, [_line(each) for each in sets]),
        "",
        f"in {shown(where.features)}; `features DIGEST` describes one",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _line(found: FoundSet) -> Sequence[str]:
    name, plan = found.folder.parent.name, found.plan
    if plan is None:
        return (name, found.digest[:16], "?", "?", "damaged", "?", found.problem)
    whole = found.present == found.shards
    state = "sealed" if found.sealed and whole else "incomplete" if found.sealed else "unsealed"
    if not found.sealed or not whole:
        state += f", {found.present} of {found.shards} shards"
    return (
        name, found.digest[:16], f"{plan.rows:,}", f"{plan.width:,}", state, size(found.bytes),
        f"{plan.description}, {plan.settings.precision}, stored as {plan.settings.storage}",
    )  # fmt: skip


def show_set(name: str, where: Places) -> int:
    """Check a set's every byte, print what there is to say of it, and put its picture into its folder.

    Raises FeatureSetError when there is no such set or several, or it is not sealed or damaged; StorageError when it cannot
    be written.
    """
    folder = find_set(name, where.features)
    feature_set = open_feature_set(folder)
    require_writable(folder)  # before a large set is read

    from lib.features.statistics import feature_statistics
    from lib.figures.features import feature_portrait
    from lib.figures.raster import save_png
    from lib.studies.features import sample_of_set

    manifest = feature_set.manifest
    with bar(f"features of {manifest.dataset}", manifest.rows, "image") as advance:
        statistics = feature_statistics(feature_set, advance)
    X, labels, points, shares = sample_of_set(feature_set)
    sampled = f"{len(X):,} training images of {manifest.dataset}"
    sys.stdout.write("\n".join(_lines(feature_set, statistics, len(X), shares)) + "\n")
    title = f"{manifest.description}, {manifest.settings.precision} arithmetic, stored as {manifest.settings.storage}"
    portrait = feature_portrait(statistics, X, labels, manifest.class_names, points, shares, title, sampled)
    with atomic_path(folder / PICTURE) as temporary:
        save_png(portrait, temporary)
    sys.stdout.write(f"\npicture: {folder / PICTURE}\n")
    return 0


def _lines(
    feature_set: FeatureSet, statistics: FeatureStatistics, sampled: int, shares: npt.NDArray[np.floating]
) -> Iterator[str]:
    manifest = feature_set.manifest
    yield f"{manifest.dataset}: {manifest.description}"
    yield ""
    yield from aligned(("", ""), list(_facts(feature_set)))[1:]
    yield ""
    yield from _classes(feature_set)
    if manifest.quarantined:
        yield ""
        yield from _quarantined(feature_set.folder, manifest)
    yield ""
    yield from _statistics(statistics)
    first = ", ".join(f"{share:.1%}" for share in shares[:3])
    yield (
        f"of the variance of {sampled:,} training rows the first principal components have {first}; "
        f"the first {len(shares)} together {shares.sum():.1%}"
    )


def _facts(feature_set: FeatureSet) -> Iterator[tuple[str, str]]:
    manifest, settings, folder = feature_set.manifest, feature_set.manifest.settings, feature_set.folder
    splits = ", ".join(f"{count:,} {split}" for split, count in manifest.splits.items())
    values = manifest.rows * manifest.width * np.dtype(settings.storage).itemsize
    stored = sum(shard.bytes for shard in manifest.shards)
    yield "folder", shown(folder)
    yield "digest", manifest.digest
    yield "dataset", f"{manifest.dataset}, digest {manifest.dataset_digest}"
    yield "rows", f"{manifest.rows:,}: {splits}"
    yield "quarantined", f"{manifest.quarantined:,} files" if manifest.quarantined else "none"
    yield "model", f"{manifest.description} (torchvision {manifest.versions.get('torchvision', '?')})"
    yield "weights", f"sha256 {manifest.weights_sha256}"
    yield "input", f"{settings.input_size} x {settings.input_size} px, {settings.interpolation}"
    yield "precision", f"computed in {settings.precision}, stored as {settings.storage}"
    yield "width", f"{manifest.width:,} values an image"
    yield "size", f"{size(stored)} on disk, of which {size(values)} are features"
    count = len(manifest.shards)
    shards = f"{count} of up to {settings.shard_rows:,} rows" if count > 1 else "1"
    yield "shards", f"{shards}; sealed, and every byte as the manifest says"
    speeds = read_speeds(folder)
    for place, speed in enumerate(speeds):
        yield "" if place else "made", f"{speed.images:,} images: {speed.words}"
    if not speeds:
        yield "made", "nothing is known of its making"


def _classes(feature_set: FeatureSet) -> Iterator[str]:
    names = feature_set.manifest.class_names
    counts = {
        split: np.bincount(feature_set.labels(split), minlength=len(names)).tolist()
        for split in feature_set.manifest.splits
    }
    rows = [(name, *(f"{of_class[label]:,}" for of_class in counts.values())) for label, name in enumerate(names)]
    yield from aligned(("class", *(f">{split}" for split in counts)), rows)


def _quarantined(folder: Path, manifest: Manifest) -> Iterator[str]:
    listed = read_quarantine(folder)
    if listed is None:
        yield f"quarantine.parquet, which lists {manifest.quarantined:,} files, is missing"
        return
    rows = [(str(row["name"]), str(row["reason"])) for row in listed.slice(0, _REASONS).to_pylist()]
    yield from aligned(("quarantined", "because"), rows)
    if listed.num_rows > _REASONS:
        yield f"and {listed.num_rows - _REASONS:,} more, in {folder / 'quarantine.parquet'}"


def _statistics(statistics: FeatureStatistics) -> Iterator[str]:
    columns = {
        "mean": statistics.mean,
        "standard deviation": statistics.deviation,
        "minimum": statistics.minimum,
        "maximum": statistics.maximum,
        "share of zeros": statistics.zeros,
    }
    rows = []
    for name, values in columns.items():
        low, high = int(values.argmin()), int(values.argmax())
        of = [f"f{feature:04d}" if values[low] < values[high] else "all" for feature in (low, high)]
        rows.append((name, number(values[low]), of[0], number(np.median(values)), number(values[high]), of[1]))
    heads = (f"each feature over {statistics.rows:,} rows", ">smallest", "of", ">median", ">largest", "of")
    yield from aligned(heads, rows)
    constant = np.flatnonzero(statistics.constant)
    names = ", ".join(f"f{feature:04d}" for feature in constant[:_NAMES].tolist())
    which = f" ({names}{', …' if len(constant) > _NAMES else ''})" if len(constant) else ""
    always = int((statistics.zeros == 1).sum())
    yield (
        f"{len(constant):,} of {len(statistics.mean):,} features are constant{which}, {always:,} of them always 0; "
        f"{statistics.zeros.mean():.1%} of all values are 0"
    )
