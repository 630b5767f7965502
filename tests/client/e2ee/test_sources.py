"""Pins and windows over tracks, participations and their bounds."""

from hushroom_client.e2ee import sources
from hushroom_client.e2ee.iv import UNKNOWN_SOURCE
from hushroom_client.e2ee.sources import MAX_SOURCES_PER_TRACK, PIN_FINAL_AFTER_S, SourcePins, Track, Verdict
from tests.client.e2ee.people import ADA, BO, CAMERA, SCREEN
from tests.client.e2ee.test_replay import livekit_iv

LATE = PIN_FINAL_AFTER_S + 1.0
ADAS_CAMERA, ADAS_SCREEN, BOS_CAMERA = Track(ADA, CAMERA), Track(ADA, SCREEN), Track(BO, CAMERA)


def our_iv(source: int, count: int = 0x0101_0101) -> bytes:
    return source.to_bytes(4, "big") + b"\xc1\x22\x33\x44" + count.to_bytes(4, "big")


def heard(pins: SourcePins, track: Track, iv: bytes, *, now: float = 0.0) -> Verdict:
    """Judges an IV and accepts it if it is fresh, as for a frame that opened."""
    verdict = pins.judge(track, iv, now=now)
    if verdict is Verdict.FRESH:
        pins.accept(track, iv, clock_rate=90_000, now=now)
    return verdict


def test_a_source_belongs_to_the_track_it_was_first_heard_on() -> None:
    pins = SourcePins()
    assert heard(pins, ADAS_CAMERA, our_iv(7)) is Verdict.FRESH
    for other in (ADAS_SCREEN, BOS_CAMERA):
        assert heard(pins, other, our_iv(7, 0x0101_0102)) is Verdict.WRONG_TRACK
    assert heard(pins, ADAS_CAMERA, our_iv(7, 0x0101_0102)) is Verdict.FRESH


def test_judging_alone_pins_nothing() -> None:
    pins = SourcePins()
    assert pins.judge(BOS_CAMERA, our_iv(7), now=0.0) is Verdict.FRESH
    assert heard(pins, ADAS_CAMERA, our_iv(7)) is Verdict.FRESH


def test_livekits_word_for_an_unknown_ssrc_is_pinned_to_nobody_but_its_frames_are_no_less_counted() -> None:
    pins = SourcePins()
    iv = livekit_iv(9000, 1, ssrc=int.from_bytes(UNKNOWN_SOURCE, "big"))
    assert heard(pins, ADAS_CAMERA, iv) is Verdict.FRESH
    assert heard(pins, ADAS_CAMERA, iv) is Verdict.DUPLICATE
    assert heard(pins, BOS_CAMERA, iv) is Verdict.FRESH


def test_simulcast_layers_are_sources_of_their_own() -> None:
    """Three LiveKit layers at the same RTP time, each with its SSRC."""
    pins = SourcePins()
    for ssrc in (1, 2, 3):
        assert heard(pins, ADAS_CAMERA, livekit_iv(9000, 1, ssrc=ssrc)) is Verdict.FRESH
        assert heard(pins, ADAS_SCREEN, livekit_iv(9000, 1, ssrc=ssrc)) is Verdict.WRONG_TRACK


def test_a_track_has_room_for_eight_sources_and_for_eight_more_after_its_end() -> None:
    pins = SourcePins()
    for source in range(1, MAX_SOURCES_PER_TRACK + 1):
        assert heard(pins, ADAS_CAMERA, our_iv(source)) is Verdict.FRESH
    assert heard(pins, ADAS_CAMERA, our_iv(9)) is Verdict.TOO_MANY_SOURCES
    assert heard(pins, ADAS_SCREEN, our_iv(9)) is Verdict.FRESH
    pins.retire(ADA, CAMERA, now=LATE)
    assert heard(pins, ADAS_CAMERA, our_iv(1)) is Verdict.DUPLICATE
    for source in range(11, MAX_SOURCES_PER_TRACK + 11):
        assert heard(pins, ADAS_CAMERA, our_iv(source)) is Verdict.FRESH
    assert heard(pins, ADAS_CAMERA, our_iv(19)) is Verdict.TOO_MANY_SOURCES


def test_replays_stay_refused_after_their_sender_left() -> None:
    pins = SourcePins()
    assert heard(pins, ADAS_CAMERA, our_iv(7)) is Verdict.FRESH
    pins.retire(ADA, now=LATE)
    assert heard(pins, ADAS_CAMERA, our_iv(7)) is Verdict.DUPLICATE
    assert heard(pins, ADAS_SCREEN, our_iv(7)) is Verdict.WRONG_TRACK


def test_a_source_that_overtook_its_label_is_not_lost_once_the_label_is_there() -> None:
    """Labels travel by TCP, media by UDP: a slot's next publication can be heard under the name of the last one."""
    pins = SourcePins()
    assert heard(pins, ADAS_CAMERA, our_iv(7), now=0.0) is Verdict.FRESH
    now = 2 * PIN_FINAL_AFTER_S
    assert heard(pins, ADAS_CAMERA, our_iv(8), now=now) is Verdict.FRESH
    assert heard(pins, BOS_CAMERA, our_iv(8, 0x0101_0102), now=now) is Verdict.WRONG_TRACK
    pins.retire(ADA, CAMERA, now=now + 30.0)
    assert heard(pins, BOS_CAMERA, our_iv(8), now=now + 31.0) is Verdict.DUPLICATE
    assert heard(pins, BOS_CAMERA, our_iv(8, 0x0101_0102), now=now + 31.0) is Verdict.FRESH
    assert heard(pins, ADAS_CAMERA, our_iv(8, 0x0101_0103), now=now + 31.0) is Verdict.WRONG_TRACK
    assert heard(pins, BOS_CAMERA, our_iv(7, 0x0101_0102), now=now + 31.0) is Verdict.WRONG_TRACK


def test_a_source_that_was_relabelled_has_one_window_however_often_its_tracks_end() -> None:
    pins = SourcePins()
    for number, track in enumerate((ADAS_CAMERA, BOS_CAMERA, ADAS_SCREEN)):
        assert heard(pins, track, our_iv(7, 0x0101_0101 + number)) is Verdict.FRESH
        for seen in range(number + 1):
            assert heard(pins, track, our_iv(7, 0x0101_0101 + seen)) is Verdict.DUPLICATE
        pins.retire(track.identity, now=1.0)


def test_our_own_sources_stay_ours_when_a_publication_ends() -> None:
    pins = SourcePins()
    pins.claim(ADAS_CAMERA, our_iv(7)[:4])
    pins.retire(ADA, CAMERA, now=0.0)
    assert heard(pins, BOS_CAMERA, our_iv(7)) is Verdict.WRONG_TRACK


def test_a_registry_stays_bounded_and_forgets_the_least_recently_heard() -> None:
    pins = SourcePins()
    for source in range(1, sources.MAX_SOURCES + 1):
        heard(pins, Track(ADA, CAMERA), our_iv(source))
        pins.retire(ADA, now=LATE)
    heard(pins, ADAS_CAMERA, our_iv(1, 0x0101_0102))
    heard(pins, ADAS_CAMERA, our_iv(99_999))
    assert pins.judge(ADAS_CAMERA, our_iv(1), now=0.0) is Verdict.DUPLICATE
    assert pins.judge(ADAS_SCREEN, our_iv(2), now=0.0) is Verdict.FRESH
    assert pins.judge(ADAS_SCREEN, our_iv(3), now=0.0) is Verdict.WRONG_TRACK
