"""What a run imports while its server starts: what its nodes will need, and nothing where all is done."""

from __future__ import annotations

import subprocess
import sys

import pytest

AHEAD = """
import sys
from flows.report import _import_ahead
from lib.places import places
from lib.profile import load_profile

graph, wanted = load_profile({profile!r}, assignments=[]).graph, {nodes!r}
_import_ahead(graph, wanted, places())
print(*(name for name in ("torch", "torchvision", "sklearn", "matplotlib") if name in sys.modules))
"""


def imported(profile: str, nodes: list[str], data) -> list[str]:
    """What is imported of these by a run of the nodes in that folder, where there are other records."""
    done = subprocess.run(
        [sys.executable, "-c", AHEAD.format(profile=profile, nodes=nodes)],
        env={"PATH": "", "PROBEFLOW_DATA": str(data)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("profile", "nodes", "done", "expected"),
    [
        ("embedded", ["digits", "activations"], [], ["torch", "sklearn", "matplotlib"]),
        ("embedded", ["patches", "fc8"], [], ["torch", "torchvision", "sklearn", "matplotlib"]),
        ("embedded", ["digits", "activations"], ["activations"], ["sklearn"]),  # its bundled digits
        ("reference", ["mnist", "activations"], ["activations"], []),
    ],
)
def test_what_nodes_need_is_imported_and_little_where_each_has_a_record(profile, nodes, done, expected, tmp_path):
    for name in done:
        (tmp_path / "studies" / name).mkdir(parents=True)
    assert imported(profile, nodes, tmp_path) == expected
