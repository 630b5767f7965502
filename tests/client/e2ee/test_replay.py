"""Replay windows of both kinds of senders, and ten thousand frames of a LiveKit sender."""

from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushroom_client.e2ee.clear_prefix import join_sealed, split_frame
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from hushroom_client.e2ee.outcomes import Dropped, Opened, Outcome
from hushroom_client.e2ee.replay import MAX_LAG_S, WINDOW, CountWindow, Freshness, TimeWindow
from hushroom_client.e2ee.sealer import seal_with_iv
from hushroom_common.ids import Codec
from tests.client.e2ee.people import ADAS_KEY, OPUS_FRAME, VP8_DELTA, Receiver

RATE = 90_000
HOUR = 3600 * RATE


def counted_iv(count: int) -> bytes:
    return bytes.fromhex("11223344c1223344") + count.to_bytes(4, "big")


def livekit_iv(time: int, count: int, ssrc: int = 0x11223344) -> bytes:
    words = (ssrc, time & 0xFFFF_FFFF, (time - count % 0xFFFF) & 0xFFFF_FFFF)
    return b"".join(word.to_bytes(4, "big") for word in words)


class LiveKitSender:
    """Seals as LiveKit's JavaScript does, from `first_count`."""

    def __init__(self, codec: Codec, *, first_count: int = 0, first_time: int = 0, ssrc: int = 0x11223344) -> None:
        self.codec, self.ssrc = codec, ssrc
        self.count, self.time = first_count, first_time
        self.cipher = AESGCM(derive_step(KeyMaterial.of(ADAS_KEY)).frame_key.reveal())

    def seals(self, frame: bytes, *, ticks: int) -> bytes:
        clear, body = split_frame(frame, self.codec)
        iv = livekit_iv(self.time, self.count, self.ssrc)
        self.count += 1
        self.time += ticks
        return join_sealed(clear, seal_with_iv(self.cipher, clear, body, iv=iv, key_index=0), self.codec)


@pytest.mark.parametrize("first_time", [1000, 2**32 - 4_000_000], ids=["rtp time rises", "rtp time wraps"])
def test_ten_thousand_livekit_frames_across_the_wrap_of_their_count(first_time: int) -> None:
    """In order but for 5 % that come up to 20 places late; each fourth is delivered again at some later time."""
    dice = Random(7)
    sender = LiveKitSender(Codec.OPUS, first_count=60_000, first_time=first_time)
    sealed = [(number / 50, sender.seals(OPUS_FRAME, ticks=960)) for number in range(10_000)]
    arrivals = [(at + (dice.uniform(0, 0.4) if dice.random() < 0.05 else 0), frame) for at, frame in sealed]
    again = [(at + dice.uniform(0.001, 60), frame) for at, frame in arrivals[::4]]
    first_seen: set[bytes] = set()
    receiver = Receiver(codec=Codec.OPUS)
    opened = 0
    for at, frame in sorted(arrivals + again):
        outcome = receiver.opens(frame, now=at)
        if frame in first_seen:
            assert outcome in {Dropped.DUPLICATE, Dropped.TOO_OLD}
        else:
            first_seen.add(frame)
            assert isinstance(outcome, Opened), outcome
            opened += 1
    assert opened == 10_000


def test_equal_rtp_times_with_new_ivs_are_legal() -> None:
    """The layers of a picture share its RTP time."""
    sender, receiver = LiveKitSender(Codec.VP8), Receiver()
    frames = [sender.seals(VP8_DELTA, ticks=0) for _ in range(3)]
    assert [receiver.sees(frame) for frame in frames] == [VP8_DELTA] * 3
    assert [receiver.opens(frame) for frame in frames] == [Dropped.DUPLICATE] * 3


def test_a_livekit_frame_more_than_five_seconds_late_is_too_old() -> None:
    window = TimeWindow(RATE)
    newest = 10 * RATE
    window.accept(livekit_iv(newest, 5), 0.0)
    lag = int(MAX_LAG_S * RATE)
    assert window.judge(livekit_iv(newest - lag, 1), 0.0) is Freshness.FRESH
    assert window.judge(livekit_iv(newest - lag - 1, 2), 0.0) is Freshness.TOO_OLD


def test_nothing_as_old_as_a_forgotten_livekit_frame_is_fresh() -> None:
    """A sender of more than 1024 frames in five seconds: what fell out of the set must not come back."""
    window = TimeWindow(RATE)
    ivs = [livekit_iv(1000 + 10 * number, number) for number in range(WINDOW + 5)]
    for iv in ivs:
        window.accept(iv, 0.0)
    assert [window.judge(iv, 0.0) for iv in ivs[:6]] == [Freshness.TOO_OLD] * 5 + [Freshness.DUPLICATE]


def test_a_livekit_sender_who_pauses_for_eight_hours_is_heard_again() -> None:
    """Whether his RTP clock ran on meanwhile or not. 32 bits of it turn in 13 hours of video."""
    for resumed_at in (5000 + 8 * HOUR, 8000):
        window = TimeWindow(RATE)
        window.accept(livekit_iv(5000, 1), 100.0)
        assert window.judge(livekit_iv(resumed_at, 2), 100.0 + 8 * 3600) is Freshness.FRESH
        window.accept(livekit_iv(resumed_at, 2), 100.0 + 8 * 3600)
        assert window.judge(livekit_iv(resumed_at + 3000, 3), 100.1 + 8 * 3600) is Freshness.FRESH


@pytest.mark.parametrize("age_h", [1, 6, 7, 8, 12])
def test_livekit_frames_of_hours_ago_are_too_old_though_serial_arithmetic_would_call_them_new(age_h: int) -> None:
    """They were captured, not delivered: no set of seen IVs knows them."""
    window = TimeWindow(RATE)
    window.accept(livekit_iv(20 * HOUR, 1), 0.0)
    assert window.judge(livekit_iv(20 * HOUR - age_h * HOUR, 2), 60.0) is Freshness.TOO_OLD


def test_a_counted_window_holds_exactly_1024_counts() -> None:
    window = CountWindow()
    for count in (1, 5000, 4500):
        assert window.judge(counted_iv(count), 0.0) is Freshness.FRESH
        window.accept(counted_iv(count), 0.0)
    judged = {count: window.judge(counted_iv(count), 0.0) for count in (1, 3976, 3977, 4500, 4501, 5000, 5001, 2**31)}
    assert judged == {
        1: Freshness.TOO_OLD,
        3976: Freshness.TOO_OLD,
        3977: Freshness.FRESH,
        4500: Freshness.DUPLICATE,
        4501: Freshness.FRESH,
        5000: Freshness.DUPLICATE,
        5001: Freshness.FRESH,
        2**31: Freshness.FRESH,
    }


def test_a_counted_window_agrees_with_a_plain_set() -> None:
    dice = Random(3)
    window, accepted, highest = CountWindow(), set[int](), -1
    for _ in range(5000):
        count = max(0, highest + dice.randint(-1100, 40))
        expected = (
            Freshness.TOO_OLD
            if count <= highest - WINDOW
            else Freshness.DUPLICATE
            if count in accepted
            else Freshness.FRESH
        )
        assert window.judge(counted_iv(count), 0.0) is expected
        if expected is Freshness.FRESH and dice.random() < 0.8:
            window.accept(counted_iv(count), 0.0)
            accepted.add(count)
            highest = max(highest, count)


def test_outcomes_of_a_replayed_sender_of_ours() -> None:
    outcomes: list[Outcome] = []
    receiver = Receiver()
    cipher = AESGCM(derive_step(KeyMaterial.of(ADAS_KEY)).frame_key.reveal())
    for count in (100, 100, 2000, 100):
        sealed = VP8_DELTA[:3] + seal_with_iv(
            cipher, VP8_DELTA[:3], VP8_DELTA[3:], iv=counted_iv(0x0101_0101 + count), key_index=0
        )
        outcomes.append(receiver.opens(sealed))
    assert outcomes == [Opened(VP8_DELTA, 0, 0), Dropped.DUPLICATE, Opened(VP8_DELTA, 0, 0), Dropped.TOO_OLD]
