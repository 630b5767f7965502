"""A server's control plane and its clients in virtual time: real messages and real SDP, no sockets.

`Server` carries out what the switchboard asks for in a ledger that refuses what a media plane could not do; `Client`
believes what it is told, as a client would. Tests compare the two.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar, assert_never

from hushroom_common.errors import ProtocolError
from hushroom_common.ids import Codec, Identity, Kind, LegId, LegRole, ParticipantId, PublicationId, RoomId, Source
from hushroom_common.signaling.messages import (
    Answer,
    ClientMessage,
    CloseCode,
    Closed,
    Join,
    Joined,
    KeyStepHint,
    Leave,
    LegLost,
    Mute,
    Offer,
    OfferedTrack,
    ParticipantInfo,
    ParticipantJoined,
    ParticipantLeft,
    Refused,
    Resume,
    Resumed,
    ServerMessage,
    Slot,
    Slots,
    Subscribe,
    TokenRenewed,
    TrackInfo,
    TrackMuted,
    TrackPublished,
    TrackUnpublished,
    Unpublish,
    Unsubscribe,
)
from hushroom_sfu.conversation.actions import (
    Action,
    AssignSlot,
    CloseConnection,
    CloseLeg,
    ConnectLeg,
    LegEvent,
    LimitSlot,
    OpenLeg,
    PublishTrack,
    ReleaseSlot,
    RestartIce,
    RoomEvent,
    Send,
    UnpublishTrack,
)
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.session import ConnectionId, Grants
from hushroom_sfu.conversation.switchboard import Switchboard
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport
from hushroom_sfu.core.specs import DownTrackSpec, UpTrackSpec
from hushroom_sfu.rooms.room import PublicationRef
from tests.support.client_sdp import publisher_offer, subscriber_answer

__all__ = ["CODECS", "STANDUP", "Client", "Leg", "Server", "counting_entropy"]

STANDUP = RoomId("standup")
CODECS = {
    Source.MICROPHONE: Codec.OPUS,
    Source.SCREEN_AUDIO: Codec.OPUS,
    Source.CAMERA: Codec.VP8,
    Source.SCREEN: Codec.VP8,
}
_FINGERPRINT = ":".join(["AB"] * 32)
M = TypeVar("M", bound=ServerMessage)


def counting_entropy() -> Callable[[int], bytes]:
    """Entropy that never repeats and is the same in every run."""
    numbers = itertools.count(1)
    return lambda size: (next(numbers) * 0x9E3779B1 % 2 ** (8 * size)).to_bytes(size, "big")


@dataclass(slots=True)
class Leg:
    """A leg in the ledger: what a media plane would hold for it."""

    participant: ParticipantId
    role: LegRole
    has_remote: bool = False
    is_connected: bool = False
    is_closed: bool = False
    slots: dict[str, PublicationRef] = field(default_factory=dict)
    specs: dict[str, DownTrackSpec] = field(default_factory=dict)
    limits: dict[str, int | None] = field(default_factory=dict)


class Server:
    """A switchboard with the ledger of what it asked for. Legs connect at once unless `legs_connect` is False."""

    def __init__(
        self, *, limits: Limits | None = None, tokens: dict[str, Grants] | None = None, legs_connect: bool = True
    ) -> None:
        self.now = 0.0
        self.tokens = tokens
        self.legs_connect = legs_connect
        self.switchboard = Switchboard(admit=self._admit, entropy=counting_entropy(), limits=limits)
        self.clients: dict[ConnectionId, Client] = {}
        self.legs: dict[LegId, Leg] = {}
        self.published: dict[PublicationRef, tuple[LegId, UpTrackSpec]] = {}
        self.events: list[RoomEvent] = []
        self._numbers = itertools.count(1)
        self._pending: deque[Action] = deque()
        self._is_carrying_out = False

    # --- what tests do --------------------------------------------------------------------------------------------

    def joins(
        self, name: str, room: RoomId = STANDUP, *, token: str | None = None, auto_subscribe: bool = True
    ) -> "Client":
        """Somebody joins, and is in."""
        client = Client(self, name)
        client.joins(room, token=token, auto_subscribe=auto_subscribe)
        assert client.closed is None, client.closed
        return client

    def open_legs(self, participant: ParticipantId | None = None, role: LegRole | None = None) -> list[LegId]:
        """The legs that are not closed."""
        return [
            number
            for number, leg in self.legs.items()
            if not leg.is_closed and participant in (None, leg.participant) and role in (None, leg.role)
        ]

    def reports(self, leg: LegId, event: LegEvent) -> None:
        """The transport reports on a leg."""
        if event is LegEvent.CONNECTED:
            self.legs[leg].is_connected = True
        self.carry_out(self.switchboard.leg_event(leg, event, self.now))

    def loses(self, client: "Client", role: LegRole, event: LegEvent = LegEvent.SILENT) -> None:
        """A leg of a client is lost."""
        (leg,) = self.open_legs(client.id, role)
        self.reports(leg, event)

    def passes(self, seconds: float) -> None:
        """Time passes, with a tick at every deadline."""
        until = self.now + seconds
        while (deadline := self.switchboard.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.carry_out(self.switchboard.tick(self.now))
            following = self.switchboard.next_deadline()
            assert following is None or following > self.now, "a tick has not done what was due"
        self.now = until

    def connects(self, client: "Client") -> ConnectionId:
        """A client opens a WebSocket."""
        connection = ConnectionId(next(self._numbers))
        self.clients[connection] = client
        self.carry_out(self.switchboard.connected(connection, self.now))
        return connection

    def receives(self, connection: ConnectionId, message: ClientMessage) -> None:
        """A client says something."""
        self.carry_out(self.switchboard.received(connection, message, self.now))

    # --- what a shell does ----------------------------------------------------------------------------------------

    def carry_out(self, actions: list[Action]) -> None:
        """In order; what comes of reports made meanwhile is done after that."""
        self._pending.extend(actions)
        if self._is_carrying_out:
            return
        self._is_carrying_out = True
        try:
            while self._pending:
                self._do(self._pending.popleft())
        finally:
            self._is_carrying_out = False

    def _do(self, action: Action) -> None:
        match action:
            case Send(connection, message):
                self.clients[connection].hears(message)
            case CloseConnection(connection, closed):
                self.clients.pop(connection).is_closed_by_server(connection, closed)
            case OpenLeg(participant, role):
                leg = LegId(next(self._numbers))
                self.legs[leg] = Leg(participant, role)
                self.carry_out(self.switchboard.leg_opened(participant, role, leg, self._local(f"ice{leg}"), self.now))
            case RestartIce(leg):
                assert not self.legs[leg].is_closed
                local = self._local(f"again{next(self._numbers)}")
                self.carry_out(self.switchboard.leg_restarted(leg, local, self.now))
            case ConnectLeg(leg, _):
                assert not self.legs[leg].is_closed
                self.legs[leg].has_remote = True
                if self.legs_connect and not self.legs[leg].is_connected:
                    self.reports(leg, LegEvent.CONNECTED)
            case CloseLeg(leg):
                closing = self.legs[leg]
                assert not closing.is_closed, "a leg was closed twice"
                assert not closing.slots, "a leg was closed while its slots are in use"
                assert leg not in {one for one, _ in self.published.values()}, "a leg was closed while it publishes"
                closing.is_closed = True
            case PublishTrack(leg, ref, spec):
                assert ref not in self.published, "a track was published twice"
                assert (self.legs[leg].is_closed, self.legs[leg].role) == (False, LegRole.PUBLISHER)
                self.published[ref] = leg, spec
            case UnpublishTrack(ref):
                del self.published[ref]
                assert all(ref not in one.slots.values() for one in self.legs.values()), "a slot outlived its track"
            case AssignSlot(leg, down_spec, ref, max_temporal_id):
                self._assign(self.legs[leg], down_spec, ref, max_temporal_id)
            case LimitSlot(leg, mid, max_temporal_id):
                assert mid in self.legs[leg].slots
                self.legs[leg].limits[mid] = max_temporal_id
            case ReleaseSlot(leg, mid):
                del self.legs[leg].slots[mid]
                del self.legs[leg].limits[mid]
            case RoomEvent():
                self.events.append(action)
            case _:
                assert_never(action)

    @staticmethod
    def _local(ufrag: str) -> LocalTransport:
        return LocalTransport(ufrag, "p" * 24, Fingerprint("sha-256", _FINGERPRINT), (("192.0.2.1", 50_000),))

    def _assign(self, leg: Leg, spec: DownTrackSpec, ref: PublicationRef, max_temporal_id: int | None) -> None:
        assert leg.is_connected
        assert not leg.is_closed
        assert leg.role is LegRole.SUBSCRIBER
        assert spec.mid not in leg.slots, "a slot carries two publications"
        assert ref not in leg.slots.values(), "a publication has two slots"
        assert leg.specs.setdefault(spec.mid, spec) == spec, "a slot's numbers changed while its leg lives"
        _, up = self.published[ref]
        assert {one.codec for one in up.codecs} & {one.codec for one in spec.codecs}
        leg.slots[spec.mid] = ref
        leg.limits[spec.mid] = max_temporal_id

    def _admit(self, room: RoomId, identity: Identity, token: str | None, now: float) -> Grants:
        if self.tokens is None:
            return Grants(room, identity)
        grants = self.tokens.get(token or "")
        if grants is None:
            raise ProtocolError(CloseCode.BAD_TOKEN, "this token was not minted here")
        return grants


class Client:
    """A client: says what it is told to say, believes what it hears, answers offers unless told otherwise."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.identity = Identity(name)
        self.connection: ConnectionId | None = None
        self.answers_offers = True
        self.video_codecs: tuple[Codec, ...] = (Codec.VP8, Codec.VP9, Codec.H264, Codec.AV1)
        self.heard: list[ServerMessage] = []
        self.closed: Closed | None = None
        self.unanswered: Offer | None = None
        self.id = ParticipantId("")
        self.resume_token = ""
        self.people: dict[ParticipantId, ParticipantInfo] = {}
        self.slots: dict[str, PublicationRef | None] = {}
        self.key_steps: dict[ParticipantId, tuple[int, int]] = {}
        self.m_lines: list[OfferedTrack | Kind] = []
        self.offers = 0
        self.ufrag = "clnt"
        self.fingerprint = ":".join(f"{byte:02X}" for byte in name.encode().ljust(32, b"\0")[:32])

    # --- says -----------------------------------------------------------------------------------------------------

    def connects(self) -> "Client":
        self.connection = self.server.connects(self)
        return self

    def says(self, message: ClientMessage) -> None:
        assert self.connection is not None, f"{self.identity} is not connected"
        self.server.receives(self.connection, message)

    def joins(self, room: RoomId = STANDUP, *, token: str | None = None, auto_subscribe: bool = True) -> None:
        self.connects()
        if self.connection is not None:
            self.says(Join(room, self.identity, token, auto_subscribe))

    def publishes(self, *sources: Source, codec: Codec | None = None, name: str = "") -> None:
        """Offer what is published already and these tracks with it, each on a new m-line."""
        for source in sources:
            publication = PublicationId(name or source)
            mid = str(len(self.m_lines))
            self.m_lines.append(OfferedTrack(mid, publication, source, codec or CODECS[source], "lk1"))
        self.offers_again()

    def offers_again(self) -> None:
        self.says(self.next_offer())

    def next_offer(self) -> Offer:
        self.offers += 1
        tracks = tuple(line for line in self.m_lines if isinstance(line, OfferedTrack))
        return Offer(
            LegRole.PUBLISHER, self.offers, publisher_offer(self.m_lines, self.fingerprint, self.ufrag), tracks
        )

    def drops_m_line(self, publication: str) -> None:
        """Set the m-line inactive in the next offer."""
        self.m_lines = [
            line.codec.kind if isinstance(line, OfferedTrack) and line.publication == publication else line
            for line in self.m_lines
        ]

    def builds_a_new_connection(self) -> None:
        """Throw the publisher's peer connection away and take another, with another certificate."""
        self.fingerprint = self.fingerprint[3:] + ":" + self.fingerprint[:2]
        self.m_lines = [replace(line, mid=str(n)) for n, line in enumerate(self._tracks())]

    def restarts_ice(self) -> None:
        """Offer the same again with other ICE credentials."""
        self.ufrag = f"restart{self.offers}"
        self.offers_again()

    def _tracks(self) -> list[OfferedTrack]:
        return [line for line in self.m_lines if isinstance(line, OfferedTrack)]

    def answers(self) -> None:
        """Answer the last offer of the server."""
        assert self.unanswered is not None
        offer, self.unanswered = self.unanswered, None
        sdp = subscriber_answer(offer.sdp, _FINGERPRINT, self.video_codecs)
        self.says(Answer(LegRole.SUBSCRIBER, offer.number, sdp))

    def unpublishes(self, publication: str) -> None:
        self.drops_m_line(publication)
        self.says(Unpublish(PublicationId(publication)))

    def mutes(self, publication: str, muted: bool = True) -> None:
        self.says(Mute(PublicationId(publication), muted))

    def subscribes(self, other: "Client", publication: str, max_temporal_id: int | None = None) -> None:
        self.says(Subscribe(other.id, PublicationId(publication), max_temporal_id))

    def unsubscribes(self, other: "Client", publication: str) -> None:
        self.says(Unsubscribe(other.id, PublicationId(publication)))

    def leaves(self) -> None:
        self.says(Leave())

    def loses_websocket(self) -> None:
        assert self.connection is not None
        connection, self.connection = self.connection, None
        del self.server.clients[connection]
        self.server.carry_out(self.server.switchboard.disconnected(connection, self.server.now))

    def resumes(self, token: str | None = None) -> None:
        self.connects().says(Resume(token or self.resume_token))

    # --- sees -----------------------------------------------------------------------------------------------------

    def last(self, kind: type[M]) -> M:
        """The last message of a type that was heard."""
        return next(message for message in reversed(self.heard) if isinstance(message, kind))

    def all(self, kind: type[M]) -> list[M]:
        """All messages of a type that were heard."""
        return [message for message in self.heard if isinstance(message, kind)]

    def receives(self) -> dict[tuple[ParticipantId, PublicationId], str]:
        """What flows to this client, and on which m-line."""
        return {
            (ref.publisher, ref.publication): mid
            for number in self.server.open_legs(self.id, LegRole.SUBSCRIBER)
            for mid, ref in self.server.legs[number].slots.items()
        }

    def sees(self, other: "Client", publication: str) -> bool:
        """Whether a publication flows to this client, on an m-line that it knows to carry it."""
        ref = PublicationRef(other.id, PublicationId(publication))
        mid = self.receives().get((other.id, PublicationId(publication)))
        return mid is not None and self.slots.get(mid) == ref

    def tracks_of(self, other: "Client") -> list[str]:
        return [track.publication for track in self.people[other.id].tracks]

    # --- hears ----------------------------------------------------------------------------------------------------

    def is_closed_by_server(self, connection: ConnectionId, closed: Closed | None) -> None:
        if connection == self.connection or self.connection is None:
            self.connection = None
            self.closed = closed

    def hears(self, message: ServerMessage) -> None:
        self.heard.append(message)
        match message:
            case Joined(participant, _, _, resume_token, participants):
                self.id, self.resume_token = participant, resume_token
                self.people = {one.participant: one for one in participants}
            case Resumed(resume_token, participants, slots):
                self.resume_token = resume_token
                self.people = {one.participant: one for one in participants}
                self.key_steps.clear()
                self.slots.clear()
                self._note(slots)
            case ParticipantJoined(info):
                assert info.participant not in self.people
                self.people[info.participant] = info
            case ParticipantLeft(participant):
                del self.people[participant]
                self.key_steps.pop(participant, None)
            case TrackPublished(participant, track):
                self._change_tracks(participant, lambda tracks: (*tracks, track))
            case TrackUnpublished(participant, publication):
                self._change_tracks(
                    participant, lambda tracks: tuple(one for one in tracks if one.publication != publication)
                )
            case TrackMuted(participant, publication, muted):
                self._change_tracks(
                    participant,
                    lambda tracks: tuple(
                        replace(one, muted=muted) if one.publication == publication else one for one in tracks
                    ),
                )
            case Offer(LegRole.SUBSCRIBER, _, _, _, slots):
                self.unanswered = message
                self.slots.clear()
                self._note(slots)
                if self.answers_offers:
                    self.answers()
            case Slots(slots):
                self._note(slots)
            case LegLost(LegRole.SUBSCRIBER):
                self.slots.clear()
                self.unanswered = None
            case KeyStepHint(participant, key_index, step):
                assert participant in self.people
                self.key_steps[participant] = key_index, step
            case LegLost() | Answer() | TokenRenewed() | Refused():
                pass
            case _:
                raise AssertionError(f"unexpected: {message}")

    def _note(self, slots: tuple[Slot, ...]) -> None:
        for slot in slots:
            if slot.participant is None or slot.publication is None:
                self.slots[slot.mid] = None
            else:
                self.slots[slot.mid] = PublicationRef(slot.participant, slot.publication)

    def _change_tracks(
        self, participant: ParticipantId, change: Callable[[tuple[TrackInfo, ...]], tuple[TrackInfo, ...]]
    ) -> None:
        info = self.people[participant]
        self.people[participant] = replace(info, tracks=change(info.tracks))
