"""The plane's clock: it goes on whatever one action costs."""

import asyncio
from functools import partial
from typing import Any

from hushroom_common.ids import Codec, Kind, LegId, LegRole
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec, UpTrackSpec
from hushroom_sfu.plane.fan_out import PythonFanOut
from hushroom_sfu.plane.media_plane import MediaPlane
from tests.plane.peers import AdvanceableClock, eventually
from tests.support.streams import Vp8Stream

VP8 = (NegotiatedCodec(Codec.VP8, 96),)


class EngineThatFails(PythonFanOut):
    """Cannot send finished packets."""

    failures = 0

    def has_failed(self, times: int) -> bool:
        return self.failures == times

    def transmit(self, leg: LegId, packet: bytes) -> None:
        self.failures += 1
        raise RuntimeError("no transmission today")


async def test_a_failure_does_not_stop_the_clock() -> None:
    engine, clock = EngineThatFails(), AdvanceableClock()
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with MediaPlane("127.0.0.1", 0, engine=engine, clock=clock) as plane:
        publisher = plane.open_leg(LegRole.PUBLISHER, lambda *_: None)
        subscriber = plane.open_leg(LegRole.SUBSCRIBER, lambda *_: None)
        track = plane.publish(publisher.id, UpTrackSpec("0", Kind.VIDEO, VP8, 0x1000, None))
        plane.assign(plane.open_slot(subscriber.id, DownTrackSpec("0", Kind.VIDEO, VP8, 7, None, "seat")), track)
        stream = Vp8Stream(packets_per_frame=1)
        for failures in (1, 2):
            plane.forwarder.receive(stream.frame(is_keyframe=True)[0], publisher.id, clock())
            stream.frame()  # lost
            plane.forwarder.receive(stream.frame()[0], publisher.id, clock())
            clock.ahead_s += 1.0
            await eventually(partial(engine.has_failed, failures))
        assert len(said) == 2
