"""Installations of chosen distributions of ours, from built wheels, beside all that they need of others."""

import os
import site
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

__all__ = ["build_wheel", "files_in", "install", "python_in"]

ROOT = Path(__file__).resolve().parents[3]


def build_wheel(part: str, folder: Path) -> Path:
    """The wheel of `common`, `sfu` or `client`, as anybody builds it; no index is asked."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index"]
    subprocess.run(
        [*command, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT / part)], check=True
    )
    (wheel,) = folder.glob(f"hushroom_{part}-*.whl")
    return wheel


def files_in(wheel: Path) -> dict[str, bytes]:
    """The content of a wheel by name."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def install(folder: Path, *wheels: Path) -> Path:
    """A folder of packages: these wheels, and links to whatever of other people's is installed here."""
    folder.mkdir()
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            archive.extractall(folder)
    for packages in map(Path, site.getsitepackages()):
        for entry in sorted(packages.iterdir()) if packages.is_dir() else ():  # Debian names some that are not there
            is_ours = "hushroom" in entry.name
            if not is_ours and entry.suffix != ".pth" and not (folder / entry.name).exists():
                (folder / entry.name).symlink_to(entry)
    return folder


def python_in(folder: Path) -> tuple[list[str], dict[str, str]]:
    """(command, environment) of a Python that has this folder's packages and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return [sys.executable, "-S", "-P"], environment | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
