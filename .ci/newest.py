"""Print what the project needs without its own upper bounds, one a line: what `make newest` installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
for each in wanted:
    if not each.startswith(project["name"]):  # its own extras, listed anyway
        print(re.sub(r",?(<|==)[^,]*", "", each))
