"""Sealed records of studies that never ran, for tests of those who read records."""

from __future__ import annotations

from lib.studies.identity import Identity, Origin, write_origin
from lib.studies.record import FORMAT, DatasetNote, RunNote, StudyFolder


def identity_of(data="a" * 64, path="/old", **settings):
    """A sweep over learning rates with some settings of its own."""
    settings = {"seeds": [0]} | settings
    parts = {"learning_rates": settings | {"data": {"source": "folder", "path": path}}}
    return Identity("learning_rates", settings, {"data": data}, parts)


def trial_note(parameters, batch_size, epochs, seconds, role="candidate"):
    """A trial's run, as long as it is not looked into; scikit-learn's have no parameters."""
    metrics = {"training_seconds": seconds} | ({"parameters": float(parameters)} if parameters else {})
    history = tuple({"epoch": float(epoch)} for epoch in range(epochs))
    params = {"batch_size": batch_size, "epochs": epochs}
    return RunNote("key", "trial", params, metrics, history, {"probeflow.role": role})


def seal_record(root, identity, children=(), seconds=None, stage_seconds=None, rows=100, **changes):
    """A record; with `seconds` it says that it took so long."""
    folder = StudyFolder.of(root, identity)
    fields = {
        "title": "title",
        "headline": "headline",
        "notes": "notes",
        "dataset": DatasetNote("data", identity.digests.get("data", ""), "made up", ("a", "b"), {"train": rows}),
        "summary": {},
        "parent": RunNote(folder.key, "parent", {}),
        "children": tuple(children),
    }
    record = folder.seal(**fields | changes)
    if seconds is not None:
        write_origin(folder.path, Origin(FORMAT, identity, seconds, stage_seconds))
    return record
