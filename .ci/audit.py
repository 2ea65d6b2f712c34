"""Look the pinned packages up in the database of known faults; what could not be looked up is said, and is no pass.

Exit status 1: a package has a known fault that `.ci/accepted-faults.txt` does not list with a reason. The database is
PyPI's; without a way to it nothing is audited, which is printed and does not fail a build that cannot fix it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    command = ["pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run([sys.executable, "-m", *command], cwd=HERE.parent, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"NOT AUDITED: pip-audit did not answer ({done.stderr.strip().splitlines()[-1:]})")
        return 0
    status, unknown = judge(packages, accepted((HERE / "accepted-faults.txt").read_text(encoding="utf-8")))
    if unknown == len(packages):
        print(f"NOT AUDITED: PyPI's database of faults cannot be reached from here; {unknown} pinned packages unknown")
    elif unknown:
        print(f"{unknown} of {len(packages)} packages could not be looked up")
    return status


def accepted(text: str) -> set[str]:
    """Identifiers of faults that were looked at; each line is one, and the reason why it does not matter here."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in lines:
        if len(line.split()) < 3:
            sys.exit(f"accepted-faults.txt: {line!r} gives no reason; write ID and why it does not matter here")
    return {line.split()[0] for line in lines}


def judge(packages: list[dict], known: set[str]) -> tuple[int, int]:
    """Print each fault that is not accepted; returns the exit status and how many packages could not be looked up."""
    status = 0
    for package in packages:
        for fault in package.get("vulns", ()):
            if not known & {fault["id"], *fault.get("aliases", ())}:
                fixed = ", ".join(fault.get("fix_versions", ())) or "no version yet"
                print(f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
                status = 1
    return status, sum("skip_reason" in package for package in packages)


if __name__ == "__main__":
    sys.exit(main())
