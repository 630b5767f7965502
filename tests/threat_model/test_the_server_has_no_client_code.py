"""Where only the server is installed, nothing of ours opens frames: `hushroom_client` is not there, in no form."""

import ast
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.threat.installations import build_wheel, files_in, install, python_in

OPENS_FRAMES = ("AESGCM", "PBKDF2", "HKDF", "LKFrameEncryptionKey", "decrypt", "InvalidTag")
"""Names that code cannot do without that opens frames of our profiles."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {part: build_wheel(part, tmp_path_factory.mktemp(part)) for part in ("common", "sfu", "client")}


@pytest.fixture(scope="module")
def server_only(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("server") / "packages", wheels["common"], wheels["sfu"])


@pytest.fixture(scope="module")
def everything(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("all") / "packages", *wheels.values())


def run(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    command, environment = python_in(folder)
    command += ["-c", code]
    return subprocess.run(
        command, check=False, env=environment, cwd=folder.parent, capture_output=True, text=True, timeout=60
    )


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server of that installation; gives its address."""
    command, environment = python_in(folder)
    with subprocess.Popen(
        [*command, "-m", "hushroom_sfu", "--open", "--port", "0", "--udp-port", "0"],
        env=environment,
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+:\d+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


def test_the_server_serves_where_the_client_is_not_installed(server_only: Path) -> None:
    with serving(server_only) as url, urlopen(f"{url}/health", timeout=10) as answer:
        assert answer.status == 200


def test_the_client_cannot_be_imported_there(server_only: Path) -> None:
    done = run(server_only, "import hushroom_sfu.server, hushroom_common; import hushroom_client")
    assert "ModuleNotFoundError: No module named 'hushroom_client'" in done.stderr


def test_the_client_can_be_imported_where_it_is_installed(everything: Path) -> None:
    """The control: it is not the way of running it that keeps the client out."""
    done = run(everything, "import hushroom_client.e2ee; print(hushroom_client.__file__)")
    assert done.stdout.strip() == str(everything / "hushroom_client" / "__init__.py")


def test_a_serving_process_has_loaded_nothing_of_the_client(server_only: Path) -> None:
    done = run(
        server_only,
        "import sys, hushroom_sfu.__main__, hushroom_sfu.server\n"
        "print(*sorted(name for name in sys.modules if name.startswith(('hushroom', 'cryptography', 'av'))))",
    )
    loaded = done.stdout.split()
    assert "hushroom_sfu.server" in loaded
    assert not [name for name in loaded if name.startswith("hushroom_client")]
    # aiortc brings a cipher and decoders along: the claim is about keys and our own code, never "no cipher".
    assert {"cryptography", "av"} <= set(loaded)


@pytest.mark.parametrize("part", ["common", "sfu"])
def test_no_file_of_the_servers_wheels_can_open_frames(wheels: dict[str, Path], part: str) -> None:
    files = files_in(wheels[part])
    code = {name: content.decode() for name, content in files.items() if name.endswith(".py")}
    assert f"hushroom_{part}/__init__.py" in code
    for name, content in code.items():
        assert name.startswith(f"hushroom_{part}/")
        assert not {"cryptography", "av", "hushroom_client"} & set(imports_of(content)), name
        assert not [word for word in OPENS_FRAMES if word in names_in(content)], name
    assert not [name for name in files if not name.endswith((".py", "py.typed")) and ".dist-info/" not in name]


def test_the_clients_wheel_does_open_frames(wheels: dict[str, Path]) -> None:
    """The control: what is looked for above is what opening frames takes."""
    code = [content.decode() for name, content in files_in(wheels["client"]).items() if name.endswith(".py")]
    assert any("cryptography" in imports_of(content) for content in code)
    named = set().union(*(names_in(content) for content in code))
    assert {"AESGCM", "decrypt", "InvalidTag"} <= named


def imports_of(source: str) -> Iterator[str]:
    """The top-level packages that a module imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def names_in(source: str) -> set[str]:
    """All names and attributes that a module's code uses; comments and docstrings say nothing."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.add(node.name.rpartition(".")[2])
    return names
