"""A meeting through a server that tampers: ada (and bo) speak, cy listens, and every frame that cy opens is noted."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from hushroom_client import (
    E2EEManager,
    Event,
    FrameRejected,
    ParticipantKeyProvider,
    RemoteTrack,
    Room,
    SharedKeyProvider,
    TrackSubscribed,
)
from hushroom_client.e2ee import KeyProvider, Opened, Outcome, TrackOpener
from hushroom_common.ids import Codec, Identity, PublicationId
from hushroom_sfu.config import Config
from tests.support.threat.attacks import AttackingServer, SlotFrame, TamperingFanOut
from tests.support.threat.media import Noted, scripted
from tests.support.threat.talking import Inbox, eventually

__all__ = ["CY", "KEYS", "Meeting", "Opening", "attacked_meeting", "own_keys", "shared_key"]

CY = "cy"
KEYS = {name: bytes([number]) * 8 + bytes(range(24)) for number, name in enumerate(("ada", "bo", "cy", "dee"))}
_CODECS = {"camera": Codec.VP8, "microphone": Codec.OPUS}


@dataclass(frozen=True, slots=True)
class Opening:
    """One frame that came to cy, and what came of it."""

    identity: str
    codec: Codec
    frame: bytes
    outcome: Outcome


class WatchedManager(E2EEManager):
    """An E2EEManager that notes what it opens."""

    def __init__(self, provider: KeyProvider) -> None:
        super().__init__(key_provider=provider, profile="lk1")
        self.openings: list[Opening] = []

    def opener(self, identity: Identity, publication: PublicationId, codec: Codec) -> TrackOpener:
        """The usual one, listened to."""
        opener = super().opener(identity, publication, codec)
        open_frame = opener.open

        def noted(frame: bytes) -> Outcome:
            outcome = open_frame(frame)
            self.openings.append(Opening(identity, codec, frame, outcome))
            return outcome

        opener.open = noted  # type: ignore[method-assign]  # on one instance
        return opener


@dataclass
class Meeting:
    """The meeting, as tests read it. `said` and `heard` are by speaker and source."""

    server: AttackingServer
    engine: TamperingFanOut
    cy: Room
    manager: WatchedManager
    said: dict[tuple[str, str], Noted]
    heard: dict[tuple[str, str], Inbox] = field(default_factory=dict)
    rejected: list[FrameRejected] = field(default_factory=list)

    @property
    def openings(self) -> list[Opening]:
        """What cy's openers judged since the last `forget`."""
        return self.manager.openings

    def track(self, speaker: str, source: str) -> RemoteTrack:
        """A speaker's track as cy has it."""
        tracks = self.cy.participants[Identity(speaker)].tracks.values()
        return next(track for track in tracks if track.source == source)

    def frames_opened(self) -> int:
        """How many frames opened since the last `forget`."""
        return sum(isinstance(opening.outcome, Opened) for opening in self.openings)

    def forget(self) -> None:
        """Notes anew from here on."""
        self.manager.openings.clear()

    async def goes_on(self, frames: int = 25) -> None:
        """So many frames more reach each of cy's sinks."""
        before = {key: len(inbox.frames) for key, inbox in self.heard.items()}
        await eventually(lambda: all(len(self.heard[key].frames) >= count + frames for key, count in before.items()))

    async def calms_down(self) -> None:
        """The server is honest from now on, and what it sent before is through: every track opens frames of now."""
        frames_of_now: set[bytes] = set()

        def honest_and_noted(frame: SlotFrame) -> list[SlotFrame]:
            frames_of_now.add(frame.sealed)
            return [frame]

        def tracks_of_now() -> set[tuple[str, Codec]]:
            now = [opening for opening in self.openings if opening.frame in frames_of_now]
            return {(opening.identity, opening.codec) for opening in now if isinstance(opening.outcome, Opened)}

        self.engine.attack = honest_and_noted
        await eventually(lambda: tracks_of_now() == {(name, _CODECS[source]) for name, source in self.heard})
        await self.goes_on(1)

    def nothing_false_was_heard(self) -> None:
        """Every frame that reached a sink is one that this speaker said on this track, in its order, once."""
        for key, inbox in self.heard.items():
            places = {frame: place for place, frame in enumerate(self.said[key].plain)}
            assert all(frame in places for frame in inbox.frames), f"{key} said nothing like that"
            order = [places[frame] for frame in inbox.frames]
            assert order == sorted(set(order)), f"{key} was heard out of order or twice"


def shared_key(_name: str) -> KeyProvider:
    """One key for all."""
    return SharedKeyProvider(KEYS["ada"])


def own_keys(_name: str) -> KeyProvider:
    """Each has a key of his own, moved outside hushroom."""

    async def on_join(identity: Identity) -> bytes:
        return KEYS[identity]

    return ParticipantKeyProvider(on_join)


@asynccontextmanager
async def attacked_meeting(
    keys: Callable[[str], KeyProvider] = shared_key,
    *,
    speakers: Sequence[tuple[str, str, int]] = (("ada", "camera", 300), ("ada", "microphone", 90)),
    fps: float = 100.0,
    cys_keys: Callable[[str], KeyProvider] | None = None,
    listens_late: bool = False,
    is_heard: bool = True,
) -> AsyncIterator[Meeting]:
    """A meeting in which all that is said arrives, if it `is_heard`. `speakers` are (name, source, size of frames)."""
    engine = TamperingFanOut()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(AttackingServer(Config(port=0, udp_port=0), engine))
        said: dict[tuple[str, str], Noted] = {}
        meeting: Meeting | None = None
        if not listens_late:
            meeting = await _listen(stack, server, engine, (cys_keys or keys)(CY), said)
        rooms: dict[str, Room] = {}
        for seed, (name, source, size) in enumerate(speakers):
            if name not in rooms:
                e2ee = E2EEManager(key_provider=keys(name), profile="lk1")
                joining = Room.join(server.url, room="standup", identity=name, e2ee=e2ee, auto_subscribe=False)
                rooms[name] = await stack.enter_async_context(await joining)
            said[name, source] = scripted(_CODECS[source], fps=fps, seed=seed, size=size)
            await rooms[name].publish(said[name, source])
        if meeting is None:
            meeting = await _listen(stack, server, engine, (cys_keys or keys)(CY), said)
        if is_heard:
            await eventually(lambda: len(meeting.heard) == len(speakers))
            await meeting.goes_on(10)
        yield meeting


async def _listen(
    stack: AsyncExitStack,
    server: AttackingServer,
    engine: TamperingFanOut,
    keys: KeyProvider,
    said: dict[tuple[str, str], Noted],
) -> Meeting:
    manager = WatchedManager(keys)
    cy = await stack.enter_async_context(await Room.join(server.url, room="standup", identity=CY, e2ee=manager))
    meeting = Meeting(server, engine, cy, manager, said)

    @cy.on("track_subscribed")
    def subscribed(event: Event) -> None:
        assert isinstance(event, TrackSubscribed)
        inbox = meeting.heard.setdefault((event.participant.identity, event.track.source), Inbox())
        event.track.attach(inbox)

    @cy.on("frame_rejected")
    def rejected(event: Event) -> None:
        assert isinstance(event, FrameRejected)
        meeting.rejected.append(event)

    return meeting
