"""Prints what the project needs from an index, for `make lock`: `run` for its users, `dev` for its developers too."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ("hatchling>=1.27", "editables>=0.5")


def requirements(purpose: str) -> list[str]:
    found = set(BUILD)
    for part in ("common", "sfu", "client"):
        project = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
        found |= {line for line in project.get("dependencies", []) if not line.startswith("hushroom-")}
    if purpose == "dev":
        found |= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"])
    return sorted(found)


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
