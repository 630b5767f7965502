"""A real server on loopback inside the test's own process, and what a test needs to talk to it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from hushroom_common.secret import Secret
from hushroom_sfu.config import Config
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.plane.leg import LegLimits
from hushroom_sfu.server import Server

__all__ = ["SECRET", "metric", "running_server"]

SECRET = Secret(b"a secret of the tests, 32 bytes or more")


@asynccontextmanager
async def running_server(
    *,
    secret: Secret | None = None,
    limits: Limits | None = None,
    leg_limits: LegLimits | None = None,
    failures: int = 0,
    **settings: Any,
) -> AsyncIterator[Server]:
    """A server on free ports of 127.0.0.1, open to anyone unless a `secret` is given.

    `settings` are fields of `Config`. Enter and leave it in one task: in the test's body, not in a fixture. Afterwards
    nothing is left of anybody, and the server made no mistakes but the `failures` that the test provoked.
    """
    config = replace(Config(port=0, udp_port=0, secret=secret, limits=limits or Limits()), **settings)
    async with Server(config, leg_limits=leg_limits) as server:
        yield server
    assert server.control.failures == failures, "the server made a mistake: see the log"
    assert server.control.is_empty
    assert server.plane.leg_count == 0


def metric(server: Server, name: str, label: str | None = None) -> float:
    """What a metric says now; of those with a label, the value of one label or the sum of all."""
    (family,) = (family for family in server.metrics() if family.name == name)
    if not isinstance(family.values, Mapping):
        return family.values
    return sum(family.values.values()) if label is None else family.values[label]
