"""Keys that step on, and keys that each person brings himself, in real rooms on real sockets."""

import asyncio
from contextlib import AsyncExitStack

from hushroom_client import (
    E2EEManager,
    Event,
    ParticipantKeyProvider,
    Ratchet,
    Room,
    SharedKeyProvider,
    TrackSubscribed,
)
from hushroom_client.e2ee import E2EEState
from hushroom_common.ids import Codec, Identity
from tests.support.lossy_udp import announce, lossy_relay
from tests.support.server import running_server
from tests.support.threat.media import scripted
from tests.support.threat.talking import Inbox, eventually

FRAMES = 2000
RATCHET_FRAMES = 50
JOINS_AT_STEP = 20
LOSS = 0.05
PASSPHRASE = "seven quiet otters under a bridge"


class Listener:
    """A room with a sink on everything that comes."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.heard: dict[str, Inbox] = {}
        room.on("track_subscribed", self._subscribed)

    def _subscribed(self, event: Event) -> None:
        assert isinstance(event, TrackSubscribed)
        event.track.attach(self.heard.setdefault(event.participant.identity, Inbox()))

    def rejected(self) -> dict[str, int]:
        """Frames refused so far, by speaker and reason."""
        return {
            f"{who}: {reason}": count
            for who, participant in self.room.participants.items()
            for track in participant.tracks.values()
            for reason, count in track.rejected.items()
        }


async def test_three_people_stay_in_step_while_keys_ratchet_and_packets_are_lost() -> None:
    """2000 frames, a step each 50, 5 % of all datagrams lost both ways; cy comes when ada is at step 20."""
    async with running_server() as server, lossy_relay(server.udp_port) as relay, AsyncExitStack() as stack:
        announce(server, relay.port)

        async def joins(name: str) -> tuple[Listener, E2EEManager]:
            ratchet = Ratchet(every_frames=RATCHET_FRAMES)
            manager = E2EEManager(key_provider=SharedKeyProvider(PASSPHRASE), profile="lk1", ratchet=ratchet)
            room = await Room.join(server.url, room="standup", identity=name, e2ee=manager)
            return Listener(await stack.enter_async_context(room)), manager

        (ada, adas_keys), (bo, bos_keys) = await joins("ada"), await joins("bo")
        said = scripted(Codec.VP8, fps=80, seed=1, size=900)
        track = await ada.room.publish(said)
        await bo.room.publish(scripted(Codec.OPUS, fps=40, seed=2, size=80))
        await eventually(lambda: bo.heard and bo.heard["ada"].frames)
        relay.lose_everywhere(LOSS)

        await eventually(lambda: (adas_keys.key_position or (0, 0))[1] >= JOINS_AT_STEP, within_s=60)
        cy, _ = await joins("cy")
        await eventually(lambda: cy.heard.get("ada") and cy.heard["ada"].frames, within_s=20)
        before_his_key = cy.rejected()
        await eventually(lambda: track.frames_sent >= FRAMES, within_s=60)
        relay.lose_everywhere(0.0)
        await eventually(lambda: len(cy.heard["ada"].frames) > 100)

        index, step = adas_keys.key_position or (0, 0)
        assert index == 0
        assert FRAMES // RATCHET_FRAMES - 4 <= step <= track.frames_sent // RATCHET_FRAMES
        assert (bos_keys.key_position or (0, 0))[1] > 5
        assert bo.rejected() == {}
        assert ada.rejected() == {}
        # What came before cy's key was derived had none to try; after it nothing is refused.
        assert before_his_key.keys() <= {"ada: missing_key", "bo: missing_key"}
        assert cy.rejected() == before_his_key
        assert 0.03 < relay.loss < 0.07
        for listener in (bo, cy):
            assert set(listener.heard["ada"].frames) <= set(said.plain)
        assert len(bo.heard["ada"].frames) > FRAMES * 0.6


async def test_three_people_with_three_keys_moved_outside_hushroom() -> None:
    keys = {name: bytes([number]) * 32 for number, name in enumerate(("ada", "bo", "cy"), start=1)}
    asked: dict[str, list[str]] = {name: [] for name in keys}

    async with running_server() as server, AsyncExitStack() as stack:

        async def joins(name: str) -> Listener:
            async def on_join(identity: Identity) -> bytes:
                asked[name].append(identity)
                await asyncio.sleep(0)  # as if it were fetched from somewhere
                return keys[identity]

            manager = E2EEManager(key_provider=ParticipantKeyProvider(on_join), profile="lk1")
            room = await Room.join(server.url, room="standup", identity=name, e2ee=manager)
            return Listener(await stack.enter_async_context(room))

        people = {name: await joins(name) for name in keys}
        said = {name: scripted(Codec.OPUS, fps=50, seed=seed, size=80) for seed, name in enumerate(keys)}
        for name, person in people.items():
            await person.room.publish(said[name])
        others_of = {name: keys.keys() - {name} for name in keys}
        await eventually(lambda: all(people[name].heard.keys() == others_of[name] for name in keys))
        inboxes = [inbox for person in people.values() for inbox in person.heard.values()]
        await eventually(lambda: all(len(inbox.frames) > 40 for inbox in inboxes))
        for name, person in people.items():
            for one in others_of[name]:
                assert set(person.heard[one].frames) <= set(said[one].plain)
                assert person.room.participants[Identity(one)].e2ee_state is E2EEState.OPENING
            assert set(asked[name]) == set(keys)


async def test_until_a_key_is_set_nothing_is_heard_and_then_everything() -> None:
    async with running_server() as server, AsyncExitStack() as stack:
        adas, bos = ParticipantKeyProvider(), ParticipantKeyProvider()
        adas.set_key("ada", b"a" * 32)
        listeners = {}
        for name, provider in (("ada", adas), ("bo", bos)):
            manager = E2EEManager(key_provider=provider, profile="lk1")
            room = await Room.join(server.url, room="standup", identity=name, e2ee=manager)
            listeners[name] = Listener(await stack.enter_async_context(room))
        bo = listeners["bo"]
        await listeners["ada"].room.publish(scripted(Codec.VP8, fps=50, seed=1))
        await eventually(lambda: sum(bo.rejected().values()) > 20)
        assert set(bo.rejected()) == {"ada: missing_key"}
        assert bo.heard["ada"].frames == []
        assert bo.room.participants[Identity("ada")].e2ee_state is E2EEState.MISSING_KEY
        bos.set_key("ada", b"a" * 32)
        await eventually(lambda: len(bo.heard["ada"].frames) > 40)
        assert set(bo.rejected()) == {"ada: missing_key"}
        assert bo.room.participants[Identity("ada")].e2ee_state is E2EEState.OPENING
