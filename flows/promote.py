"""The registry from a terminal: what stands there and why, promotion by hand, roll-back."""

from __future__ import annotations

import sys
import textwrap

from lib.errors import ConfigError
from lib.places import Places
from lib.text import visible
from lib.tracking.promotion import promote_by_hand, roll_back
from lib.tracking.registry import DECISION_TAG, Registry, registered_name, registered_names
from lib.tracking.store import connect

_WIDTH = 118


def show_versions(model: str | None, where: Places) -> int:
    """Print the versions of a registered model, or of all, newest first, with their aliases and what was decided on each."""
    tracking = connect(where)
    lines = []
    for name in registered_names(tracking) if model is None else [registered_name(tracking, model)]:
        lines.append(name)
        for version in reversed(Registry(tracking, name).versions()):
            lines.append(
                f"  version {version.number}{version.shown_aliases}, run {version.run_id}, trained on {version.data}"
            )
            decided = version.tags.get(DECISION_TAG, "nothing was decided on it")
            lines += textwrap.wrap(decided, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    sys.stdout.write("\n".join(map(visible, lines)) + "\n")
    return 0


def promote(version: str | None, back: bool, reason: str | None, model: str | None, where: Places) -> int:
    """Make `version` champion by hand, or with `back` the champion before the present one; else list the versions.

    Raises ConfigError when the two contradict each other, there is no reason for a promotion by hand, or the registry
    refuses.
    """
    if version is None and not back:
        return show_versions(model, where)
    if back and version is not None:
        raise ConfigError(f"--rollback goes back to the champion before; leave out the version {version!r}")
    if version is not None and not reason:
        raise ConfigError(f"promoting version {version!r} by hand needs a reason, which is kept: --reason WHY")
    tracking = connect(where)
    name = registered_name(tracking, model)
    decision = (
        roll_back(tracking, name, reason or "no reason given")
        if version is None
        else promote_by_hand(tracking, name, version, str(reason))
    )
    sys.stdout.write(decision.sentence + "\n")
    return 0
