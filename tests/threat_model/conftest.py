"""The two calls that most claims are about: the same talk, sealed and not. Each is held once for all tests."""

import asyncio

import pytest

from tests.support.threat.held_media import Viewer
from tests.support.threat.talking import TALK, HeldCall, talk
from tests.support.threat.tapped_process import running_tapped_server


def hold(folder: pytest.TempPathFactory, *, sealed: bool) -> HeldCall:
    with running_tapped_server(folder.mktemp("tapped")) as server:
        return asyncio.run(asyncio.wait_for(talk(server, sealed=sealed), 60))


@pytest.fixture(scope="session")
def sealed_call(tmp_path_factory: pytest.TempPathFactory) -> HeldCall:
    return hold(tmp_path_factory, sealed=True)


@pytest.fixture(scope="session")
def unsealed_call(tmp_path_factory: pytest.TempPathFactory) -> HeldCall:
    """The control: everything else is the same."""
    return hold(tmp_path_factory, sealed=False)


@pytest.fixture(scope="session")
def viewer() -> Viewer:
    return Viewer(TALK)
