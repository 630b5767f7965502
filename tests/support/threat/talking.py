"""A call to be listened to: ada talks, bo watches, and a tapped server in a process of its own stands between them."""

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hushroom_client import E2EEManager, Ratchet, Room, SharedKeyProvider, TrackSubscribed
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from hushroom_client.events import Event
from hushroom_client.media.frames import EncodedFrame
from hushroom_common.ids import Codec, Kind
from tests.support.talk_media import Talk
from tests.support.threat.canaries import WINDOW, Canaries, Coverage
from tests.support.threat.channels import Search, search
from tests.support.threat.media import talk_pictures, talk_sound
from tests.support.threat.tap import Kind as TapKind
from tests.support.threat.tap import TapRecord
from tests.support.threat.tapped_process import TappedServer

__all__ = [
    "PASSPHRASE",
    "RATCHET_FRAMES",
    "TALK",
    "HeldCall",
    "Inbox",
    "call_canaries",
    "eventually",
    "secrets_of",
    "talk",
]

PASSPHRASE = "quartz lantern meadow saffron orbit"
RATCHET_FRAMES = 60
TALK = Talk(320, 180, fps=15, duration_s=7.0)
_STEPS = 16
_SEARCH_AFTER_S = (2.0, 4.0, 6.0)


@dataclass(frozen=True)
class HeldCall:
    """A call that is over: what was said, and what the server held."""

    pictures: list[bytes]
    """Plain frames, as the encoder made them."""
    sounds: list[bytes]
    received: dict[Kind, list[bytes]]
    """Plain frames, as bo's sinks got them."""
    records: list[TapRecord]
    searches: list[Search]
    """While it went on."""
    coverage: Coverage
    last_step: int


class Inbox:
    """A sink that keeps frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        """Keeps it."""
        self.frames.append(frame.data)

    def close(self) -> None:
        """Keeps what came."""


async def eventually(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Return once the condition holds; fail if it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is waited for happens behind a socket)
            await asyncio.sleep(0.01)


def secrets_of(passphrase: str, steps: int = _STEPS) -> dict[str, bytes]:
    """The passphrase, and each step's frame key and material."""
    secrets = {"passphrase": passphrase.encode()}
    material = KeyMaterial.of(passphrase)
    for step in range(steps):
        derived = derive_step(material)
        material = derived.next_material
        secrets[f"frame key of step {step}"] = derived.frame_key.reveal()
        secrets[f"material of step {step + 1}"] = material.secret.reveal()
    return secrets


def call_canaries(secrets: dict[str, bytes], pictures: list[bytes], sounds: list[bytes]) -> Canaries:
    """Secrets, and plain frames past their clear bytes. Frames too short for a window have none."""
    canaries = Canaries()
    for name, secret in secrets.items():
        canaries.add(name, secret)
        for spelling in _spellings(secret):
            canaries.add(f"{name}, spelt", spelling)
    for codec, frames in ((Codec.VP8, pictures), (Codec.OPUS, sounds)):
        for number, frame in enumerate(frames):
            body = frame[_clear_bytes(codec, frame) :]
            if len(body) >= WINDOW:
                canaries.add(f"{codec} frame {number}", body)
    return canaries


def _spellings(secret: bytes) -> Iterator[bytes]:
    """As memory may hold a secret that was written as text: hex, and base64 at any place of a longer text."""
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):
        # The first and the last characters also depend on what stands before and after.
        yield base64.b64encode(bytes(shift) + secret + bytes(2))[4:-4]


def _clear_bytes(codec: Codec, frame: bytes) -> int:
    """As the threat model lists them; `test_clear_bytes` holds the list to what is sent. Nothing of ours is asked."""
    if codec is Codec.OPUS:
        return 1
    return 3 if frame[0] & 1 else 10


async def talk(server: TappedServer, *, sealed: bool) -> HeldCall:
    """Holds the call, searching the server several times while it goes on."""
    secrets = secrets_of(PASSPHRASE) if sealed else {}
    pictures, sounds = talk_pictures(TALK), talk_sound(TALK)
    inboxes: dict[Kind, Inbox] = {}
    managers = [_manager() if sealed else None for _ in range(2)]
    searches: list[Search] = []

    def subscribed(event: Event) -> None:
        assert isinstance(event, TrackSubscribed)
        inboxes[event.track.kind] = inbox = Inbox()
        event.track.attach(inbox)

    async with (
        await Room.join(server.url, room="standup", identity="ada", e2ee=managers[0]) as ada,
        await Room.join(server.url, room="standup", identity="bo", e2ee=managers[1]) as bo,
    ):
        bo.on("track_subscribed", subscribed)
        tracks = [await ada.publish(pictures), await ada.publish(sounds)]
        await eventually(lambda: len(inboxes) == 2 and all(inbox.frames for inbox in inboxes.values()))
        began_at = time.monotonic()
        for after_s in _SEARCH_AFTER_S:
            await asyncio.sleep(max(0.0, began_at + after_s - time.monotonic()))  # the talk's own time
            canaries = call_canaries(secrets, list(pictures.plain), list(sounds.plain))
            searches.append(await asyncio.to_thread(search, server, canaries))
        async with asyncio.timeout(30):
            for track in tracks:
                await track.wait_ended()
        position = managers[0].key_position if managers[0] is not None else None
    return HeldCall(
        pictures=pictures.plain,
        sounds=sounds.plain,
        received={kind: inbox.frames for kind, inbox in inboxes.items()},
        records=server.records(*TapKind),
        searches=searches,
        coverage=call_canaries(secrets, pictures.plain, sounds.plain).coverage,
        last_step=position[1] if position is not None else 0,
    )


def _manager() -> E2EEManager:
    ratchet = Ratchet(every_frames=RATCHET_FRAMES)
    return E2EEManager(key_provider=SharedKeyProvider(PASSPHRASE), profile="lk1", ratchet=ratchet)
