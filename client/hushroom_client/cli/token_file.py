"""A stay that is longer than a token: whoever renews tokens puts the next one into the same file."""

import asyncio
import time

from hushroom_client.cli.arguments import Misuse, read_token
from hushroom_client.room import Room

__all__ = ["keep_token_fresh"]

_LEAD = 0.25
"""From which share of its life on a token is looked after."""
_INTERVAL_S = 5.0


async def keep_token_fresh(room: Room, path: str) -> None:
    """Hands the server what the file holds, whenever that is another token and the present one nears its end."""
    token = read_token(path)
    while (expires_at := room.token_expires_at) is not None:
        await asyncio.sleep(max(_INTERVAL_S, (expires_at - time.monotonic()) * (1 - _LEAD)))
        try:
            latest = await asyncio.to_thread(read_token, path)
        except Misuse:
            continue  # it may just be being written
        if latest != token:
            token = latest
            room.renew_token(token)
