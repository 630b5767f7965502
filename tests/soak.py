"""`make soak`: people come and go on a bad network, as long as one likes; exit code 1 when anything froze or stayed."""

import argparse
import asyncio
import sys
import time

from tests.meeting.churn import churn
from tests.support.server_child import server_child

__all__ = ["soak"]

MOST_FROZEN_S = 1.0
MOST_GROWTH_BYTES = 8_000_000
"""Histories fill in the first minutes, and what they leave behind is not given back at once."""


async def soak(minutes: float, loss: float, seed: int) -> bool:
    """Prints what was seen; True when nothing froze, grew or was left behind."""
    until = time.monotonic() + 60 * minutes
    async with server_child() as server:
        verdict = await churn(
            server, lambda cycles: cycles > 2 and time.monotonic() > until, loss=loss, seed=seed, show=print
        )
    print(verdict)
    return (
        max(verdict.longest_freezes_s.values()) <= MOST_FROZEN_S
        and verdict.growth_bytes <= MOST_GROWTH_BYTES
        and verdict.has_left_nothing
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--loss", type=float, default=0.01, help="of all datagrams, 0 to 1 (default 0.01)")
    parser.add_argument("--seed", type=int, default=7)
    found = parser.parse_args()
    sys.exit(0 if asyncio.run(soak(found.minutes, found.loss, found.seed)) else 1)
