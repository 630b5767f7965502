"""The two peer connections of a room as one thing each that outlives the connections: a lost one is replaced.

Each method of a leg is called by one task, one after another. Generations count the connections.
"""

import logging
from collections.abc import Callable, Coroutine

from hushroom_client.media.brief_answer import brief
from hushroom_client.media.feed import Feed
from hushroom_client.media.leg_receiver import ReceivedFrame
from hushroom_client.media.publisher import PublishedTrack, PublisherConnection
from hushroom_client.media.subscriber import SubscriberConnection
from hushroom_common.ids import PublicationId

__all__ = ["PublisherLeg", "SubscriberLeg"]

log = logging.getLogger(__name__)

_OVER = ("failed", "closed")


class PublisherLeg:
    """Sends our feeds, over as many connections as it takes. `on_lost` is called with a generation that is over."""

    def __init__(self, *, gather_loopback: bool, on_lost: Callable[[int], None]) -> None:
        self._gather_loopback = gather_loopback
        self._on_lost = on_lost
        self._feeds: dict[PublicationId, Feed] = {}
        self._connection: PublisherConnection | None = None
        self._generation = -1
        self._published: dict[PublicationId, PublishedTrack] = {}

    def add(self, publication: PublicationId, feed: Feed) -> None:
        """Offers this as well from now on."""
        self._feeds[publication] = feed

    def remove(self, publication: PublicationId) -> None:
        """Sends this no more, at once, and closes its feed."""
        feed = self._feeds.pop(publication, None)
        if feed is None:
            return
        published = self._published.pop(publication, None)
        if published is not None and self._connection is not None:
            self._connection.remove_track(published)
        feed.close()

    async def offer(self, generation: int) -> tuple[str, dict[PublicationId, str]]:
        """An offer on the connection of that generation, and which m-line carries what."""
        if self._connection is None or generation != self._generation:
            await self.drop()
            self._generation = generation
            self._connection = PublisherConnection(
                gather_loopback=self._gather_loopback, on_state=lambda state: self._note(generation, state)
            )
        for publication, feed in self._feeds.items():
            if publication not in self._published:
                self._published[publication] = self._connection.add_track(feed)
        sdp = await self._connection.create_offer()
        return sdp, {publication: published.mid for publication, published in self._published.items()}

    async def apply(self, generation: int, sdp: str) -> list[PublicationId]:
        """Takes the server's answer; returns what it accepted. Raises ProtocolError for one that cannot be used."""
        if self._connection is None or generation != self._generation:
            return []
        await self._connection.accept_answer(sdp)
        return [publication for publication, published in self._published.items() if published.is_accepted]

    async def drop(self) -> None:
        """Closes the connection; the feeds go on."""
        connection, self._connection = self._connection, None
        self._published.clear()
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Ends everything."""
        for publication in tuple(self._feeds):
            self.remove(publication)
        await self.drop()

    def _note(self, generation: int, state: str) -> None:
        log.debug("publisher connection %s", state)
        if state in _OVER and self._connection is not None and generation == self._generation:
            self._on_lost(generation)


class SubscriberLeg:
    """Receives, over as many connections as it takes. `spawn` gives a coroutine a parent that ends with the room."""

    def __init__(
        self,
        *,
        gather_loopback: bool,
        on_frame: Callable[[ReceivedFrame], None],
        spawn: Callable[[Coroutine[None, None, None], str], object],
    ) -> None:
        self._gather_loopback = gather_loopback
        self._on_frame = on_frame
        self._spawn = spawn
        self._connection: SubscriberConnection | None = None
        self._generation = -1

    async def answer(self, generation: int, sdp: str) -> str:
        """The answer to the server's offer. Raises ProtocolError for one that cannot be used."""
        if self._connection is None or generation != self._generation:
            await self.drop()
            self._generation = generation
            self._connection = SubscriberConnection(self._on_frame, gather_loopback=self._gather_loopback)
            answer = brief(await self._connection.accept_offer(sdp))
            self._spawn(_receive(self._connection), "subscriber connection")
            return answer
        return brief(await self._connection.accept_offer(sdp))

    def request_keyframe(self, mid: str) -> None:
        """Asks for a keyframe on this m-line."""
        if self._connection is not None:
            self._connection.request_keyframe(mid)

    def reset(self, mid: str, *, carries_media: bool) -> None:
        """This m-line carries another publication from now on, or none."""
        if self._connection is not None:
            self._connection.reset(mid, carries_media=carries_media)

    async def drop(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _receive(connection: SubscriberConnection) -> None:
    try:
        await connection.run()
    except ConnectionError as error:
        # The server notices as well, and offers another one.
        log.debug("subscriber connection over: %s", error)
    finally:
        await connection.close()
