"""The connection on which a participant receives: the server's offers, and sealed frames out of its packets."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import assert_never

from aiortc import RTCRtpTransceiver
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters

from hushroom_client.media import aiortc_seam
from hushroom_client.media.leg_receiver import LegAction, LegReceiver, ReceivedFrame, SendRtcp
from hushroom_client.media.peer import Peer
from hushroom_client.media.track_receiver import ReceiverSpec, TrackReceiver
from hushroom_common.ids import Codec, Kind

__all__ = ["SubscriberConnection"]

log = logging.getLogger(__name__)

_CODECS = {"vp8": Codec.VP8, "opus": Codec.OPUS}
_REPORTING_SSRC = 1
"""Who never sends media may report under any SSRC."""


class SubscriberConnection:
    """The client's subscriber leg: the server always offers.

    `on_frame` is called from the event loop with each whole frame, still sealed; it must not block.
    `run` has to run as long as the connection lives: it sends feedback and gives up what does not come.
    """

    def __init__(
        self,
        on_frame: Callable[[ReceivedFrame], None],
        *,
        gather_loopback: bool = False,
        on_state: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_frame = on_frame
        self._clock = clock
        self._peer = Peer(gather_loopback=gather_loopback, on_state=on_state)
        self._leg = LegReceiver(local_ssrc=_REPORTING_SSRC, now=clock())
        self._tapped: set[RTCRtpTransceiver] = set()
        self._outbox: deque[bytes] = deque(maxlen=256)
        self._wake = asyncio.Event()
        self._sleeps_until = 0.0

    @property
    def state(self) -> str:
        """new, connecting, connected, failed or closed."""
        return self._peer.state

    async def wait_connected(self) -> None:
        """Return when media can flow; raises ConnectionError when it never will."""
        await self._peer.wait_connected()

    async def accept_offer(self, sdp: str) -> str:
        """Take the server's offer; returns the answer, with all ICE candidates.

        Raises ProtocolError for an offer that cannot be used.
        """
        await self._peer.describe_remotely(sdp, "offer")
        self._tap()
        answer = await self._peer.connection.createAnswer()
        return await self._peer.describe_locally(answer)

    def receiver(self, mid: str) -> TrackReceiver | None:
        """The receiver of a slot, for its figures."""
        return self._leg.receiver(mid)

    def request_keyframe(self, mid: str) -> None:
        """What came last on this slot could not be used: its next frame will be a keyframe, and one is asked for."""
        if receiver := self._leg.receiver(mid):
            receiver.request_keyframe(self._clock())
            self._wake.set()

    def reset(self, mid: str, *, carries_media: bool = True) -> None:
        """The slot carries another publication from now on, or none."""
        if receiver := self._leg.receiver(mid):
            receiver.reset(self._clock(), carries_media=carries_media)
            self._wake.set()

    async def run(self) -> None:
        """Wait until connected, then keep feedback going until the connection is over; raises ConnectionError then."""
        await self.wait_connected()
        dtls = aiortc_seam.transport_of(self._peer.connection)
        if dtls is None:
            raise ConnectionError("the connection has no transport")
        while self.state == "connected":
            self._wake.clear()
            now = self._clock()
            self._carry_out(self._leg.poll(now))
            while self._outbox:
                await aiortc_seam.send_rtcp(dtls, self._outbox.popleft())
            self._sleeps_until = self._leg.next_deadline()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._sleeps_until - self._clock())):
                    await self._wake.wait()
        raise ConnectionError(f"the connection is {self.state}")

    async def close(self) -> None:
        """End it; may be called twice."""
        await self._peer.close()
        self._wake.set()

    # --- between aiortc and the leg -----------------------------------------------------------------------------

    def _tap(self) -> None:
        """Take the packets of all slots, before aiortc starts a receiver for any."""
        dtls = aiortc_seam.transport_of(self._peer.connection)
        if dtls is not None:
            aiortc_seam.receive_packets(dtls, on_rtp=self._receive_rtp, on_rtcp=self._receive_rtcp)
        for transceiver in self._peer.connection.getTransceivers():
            if transceiver not in self._tapped:
                self._tapped.add(transceiver)
                configure = partial(self._configure, Kind(transceiver.kind))
                aiortc_seam.on_receive_parameters(transceiver.receiver, configure)

    def _configure(self, kind: Kind, parameters: RTCRtpReceiveParameters) -> None:
        spec = _spec_of(kind, parameters)
        if spec is not None:
            self._leg.configure(spec)
            self._wake.set()

    def _receive_rtp(self, data: bytes) -> None:
        self._carry_out(self._leg.receive_rtp(data, self._clock()))
        if self._outbox or self._leg.next_deadline() < self._sleeps_until:
            self._wake.set()

    def _receive_rtcp(self, data: bytes) -> None:
        self._leg.receive_rtcp(data, self._clock())

    def _carry_out(self, actions: list[LegAction]) -> None:
        for action in actions:
            match action:
                case ReceivedFrame():
                    self._hand_over(action)
                case SendRtcp(data):
                    self._outbox.append(data)
                case _:
                    assert_never(action)

    def _hand_over(self, frame: ReceivedFrame) -> None:
        try:
            self._on_frame(frame)
        except Exception:  # a frame may be anything; it must not cost the others their feedback
            log.warning("a received frame was dropped by an error of ours", exc_info=True)


def _spec_of(kind: Kind, parameters: RTCRtpReceiveParameters) -> ReceiverSpec | None:
    """What was negotiated for a slot; None for one without an SSRC, on which nothing can come."""
    if not parameters.encodings:
        return None
    codecs: dict[int, Codec] = {}
    rtx: dict[int, int] = {}
    feedback: set[tuple[str, str | None]] = set()
    for parameter in parameters.codecs:
        name = parameter.name.lower()
        payload_type = parameter.payloadType
        repeated = parameter.parameters.get("apt")
        if payload_type is None:
            continue
        if name == "rtx" and isinstance(repeated, int):
            rtx[payload_type] = repeated
        elif name in _CODECS:
            codecs[payload_type] = _CODECS[name]
            feedback |= {(item.type, item.parameter) for item in parameter.rtcpFeedback}
    encoding = parameters.encodings[0]
    return ReceiverSpec(
        mid=parameters.muxId,
        kind=kind,
        codecs=codecs,
        rtx=rtx,
        ssrc=encoding.ssrc,
        rtx_ssrc=encoding.rtx.ssrc if encoding.rtx else None,
        may_nack=("nack", None) in feedback,
        may_pli=("nack", "pli") in feedback,
    )
