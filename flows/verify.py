"""Checking feature sets to the last bit, and what it takes to go on with one from its folder alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from flows.report import run_and_report
from lib.datasets.sources import SourceSettings, parse_source
from lib.errors import ConfigError, FeatureSetError, command
from lib.features import plan as plans
from lib.features import plan_extraction
from lib.features.manifest import read_manifest
from lib.features.plan import SetPlan, read_plan
from lib.features.sets import find_set, found_sets
from lib.features.verify import Verdict, verify
from lib.graph.data import acquire_data
from lib.places import Places, Workers
from lib.profile import Profile, parse_profile
from lib.storage.copies import shown

_SHOWN = 10
_LONGEST_NAME = 100


def verify_sets(name: str | None, where: Places) -> int:
    """Read one set, or all, and print what is wrong. Raises FeatureSetError for none, or any damaged or not sealed."""
    folders = (
        [find_set(name, where.features)] if name is not None else [each.folder for each in found_sets(where.features)]
    )
    if not folders:
        sys.stdout.write(f"no feature sets in {shown(where.features)}; {command('run --only features')} makes one\n")
    bad = []
    for folder in folders:
        verdict = verify(folder)
        sys.stdout.write("\n".join(_lines(verdict)) + "\n")
        if not verdict.whole:
            bad.append(folder)
    if bad:
        name = f"{bad[0].parent.name}/{bad[0].name}"
        raise FeatureSetError(
            f"{len(bad)} of {len(folders)} feature set(s) not whole; {command(f'resume {name}')} makes what is "
            "missing or damaged, and nothing else"
        )
    return 0


def _lines(verdict: Verdict) -> list[str]:
    plan, folder = verdict.plan, verdict.folder
    count = len(plan.cut())
    lines = [f"{plan.dataset} {folder.name}: {plan.description}"]
    if verdict.whole:
        return [*lines, f"  whole: {plan.rows:,} rows in {count:,} shard(s), each byte, row and value read"]
    if not verdict.sealed:
        lines.append(f"  not sealed: {count - len(verdict.missing):,} of {count:,} shards whole")
    faults = list(verdict.faults.items())
    lines += [f"  {name} {fault}" for name, fault in faults[:_SHOWN]]
    return lines + ([f"  and {len(faults) - _SHOWN:,} more"] if len(faults) > _SHOWN else [])


def resume_set(name: str, device: str | None, where: Places, workers: Workers) -> int:
    """Make what is missing or damaged of a set, and seal it. Raises what `profile_of_set` raises."""
    return run_and_report(profile_of_set(name, where, device), ["features"], where, workers)


def profile_of_set(name: str, where: Places, device: str | None) -> Profile:
    """A profile of one dataset and one feature set, `name`: the data source and settings are those in its plan.

    Raises FeatureSetError when there is no such set, it lies elsewhere than here, or its images are others by now.
    """
    folder = find_set(name, where.features)
    plan = read_plan(folder) if (folder / plans.NAME).exists() else read_manifest(folder)
    source = _source(plan, folder)
    settings = plan.settings.model_copy(update={"device": device or "auto"})
    content = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", plan.dataset).lstrip("._-")[:_LONGEST_NAME] or "set",
        "data": {"images": source.model_dump(mode="json")},
        "features": {"features": settings.model_dump(mode="json") | {"of": "images"}},
    }
    profile = parse_profile(content)
    work = plan_extraction(acquire_data(profile.graph, "images", where), settings, where.features, where.mirror)
    if work.digest != plan.digest:
        raise FeatureSetError(
            f"the images or weights of {plan.dataset} differ from those of {folder}: restore them, or run the profile anew, "
            "which makes another set"
        )
    if work.folder.resolve() != folder.resolve():
        raise FeatureSetError(f"{folder} is not under {where.features}: set PROBEFLOW_DATA to the folder that holds it")
    return profile


def _source(plan: SetPlan, folder: Path) -> SourceSettings:
    try:
        return parse_source(plan.source)
    except ConfigError as problem:
        raise FeatureSetError(
            f"{folder} does not say where its images came from ({problem}); run the profile again that made it"
        ) from None
