"""What every fan-out engine does: each subscriber his own copy, to the last bit as `core` says, and nothing else."""

import struct
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.codecs import vp8
from hushroom_common.header_extensions import ExtensionMap, ExtensionUri, build_extensions, read_extensions
from hushroom_common.ids import LegId
from hushroom_common.rtp import RtpPacket, build_rtp, padding_only
from hushroom_sfu.core.actions import FanOut
from hushroom_sfu.core.packet import NO_MARKS, Filler, MediaPacket
from hushroom_sfu.core.route import Route, rewritten
from hushroom_sfu.plane.fan_out import FanOutEngine, PythonFanOut
from tests.support.streams import vp8_payload

ENGINES: list[Callable[[], FanOutEngine]] = [PythonFanOut]

ADA, BO, CY = LegId(1), LegId(2), LegId(3)
SENDER_IDS = ((ExtensionUri.VIDEO_ORIENTATION, 4), (ExtensionUri.ABSOLUTE_SEND_TIME, 3))
PLAIN = ExtensionMap((), (), ())
TURNED = ExtensionMap(SENDER_IDS, ((ExtensionUri.VIDEO_ORIENTATION, 9),), {ExtensionUri.VIDEO_ORIENTATION})


class Bench:
    """An engine with three legs, and what each of them was given to send."""

    def __init__(self, engine: FanOutEngine) -> None:
        self.engine = engine
        self.sent: dict[LegId, list[bytes]] = defaultdict(list)
        for leg in (ADA, BO, CY):
            engine.add_leg(leg, self.sent[leg].append)

    def fans_out(self, packet: MediaPacket, *routes: Route, number: int = 5, dropped_frames: int = 0) -> None:
        self.engine.fan_out(FanOut(list(routes), number, dropped_frames, packet))


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param())


def media(
    *, picture_id: int = 40, tl0picidx: int = 7, marker: bool = False, timestamp: int = 10_000, extensions: bytes = b""
) -> MediaPacket:
    payload = vp8_payload(
        starts_frame=True, is_keyframe=True, picture_id=picture_id, temporal_id=0, tl0picidx=tl0picidx
    )
    data = build_rtp(
        payload_type=96,
        marker=marker,
        sequence_number=5,
        timestamp=timestamp,
        ssrc=1,
        payload=payload,
        csrcs=(4, 5),
        extensions=extensions,
        padding=3,
    )
    return MediaPacket(RtpPacket.parse(data), 5, vp8.read_marks(payload))


def route(leg: LegId, ssrc: int, **changes: int) -> Route:
    bases = {"first_number": 0, "sequence_base": 0, "timestamp_base": 0, "picture_id_base": 0, "tl0picidx_base": 0}
    return Route(leg=leg, ssrc=ssrc, payload_type=120, extension_map=PLAIN, **{**bases, **changes})


turned_route = partial(
    Route,
    payload_type=120,
    extension_map=TURNED,
    first_number=0,
    sequence_base=0,
    timestamp_base=0,
    picture_id_base=0,
    tl0picidx_base=0,
)


def test_each_route_gets_one_copy_under_its_own_numbers(bench: Bench) -> None:
    packet = media(marker=True)
    bench.fans_out(packet, route(BO, 20, sequence_base=3), route(CY, 30, sequence_base=-9, timestamp_base=1000))
    assert {leg: len(sent) for leg, sent in bench.sent.items()} == {ADA: 0, BO: 1, CY: 1}
    (bo,), (cy,) = (map(RtpPacket.parse, bench.sent[leg]) for leg in (BO, CY))
    assert (bo.ssrc, bo.sequence_number, bo.timestamp) == (20, 2, 10_000)
    assert (cy.ssrc, cy.sequence_number, cy.timestamp) == (30, 14, 9_000)
    for copy in (bo, cy):
        assert copy.payload == packet.payload
        assert copy.payload_type == 120
        assert copy.marker
        assert copy.csrcs == ()
        assert copy.padding_size == 0


def test_two_slots_of_one_leg_get_a_copy_each_in_order(bench: Bench) -> None:
    bench.fans_out(media(), route(BO, 20), route(BO, 21))
    assert [RtpPacket.parse(packet).ssrc for packet in bench.sent[BO]] == [20, 21]


def test_numbers_wrap(bench: Bench) -> None:
    low = route(BO, 20, sequence_base=6, timestamp_base=10_001, picture_id_base=41, tl0picidx_base=8)
    bench.fans_out(media(), low)
    copy = RtpPacket.parse(bench.sent[BO][0])
    assert (copy.sequence_number, copy.timestamp) == (0xFFFF, 0xFFFFFFFF)
    marks = vp8.read_marks(copy.payload)
    assert (marks.picture_id, marks.tl0picidx) == (0x7FFF, 0xFF)


def test_dropped_frames_count_for_the_picture_and_not_for_its_base_layer(bench: Bench) -> None:
    packet = media()
    bench.fans_out(packet, route(BO, 20), dropped_frames=4)
    bench.fans_out(packet, route(CY, 30))
    marks = vp8.read_marks(RtpPacket.parse(bench.sent[BO][0]).payload)
    assert (marks.picture_id, marks.tl0picidx) == (36, 7)
    assert RtpPacket.parse(bench.sent[CY][0]).payload == packet.payload, "one copy's numbers leaked into another's"


def test_each_receiver_gets_the_extensions_that_he_negotiated(bench: Bench) -> None:
    packet = media(extensions=build_extensions([(4, b"\x03"), (3, b"abc"), (7, b"who knows")]))
    routes = [turned_route(leg=BO, ssrc=20), route(CY, 30), turned_route(leg=BO, ssrc=21)]
    bench.fans_out(packet, *routes)
    assert [read_extensions(RtpPacket.parse(copy)) for copy in bench.sent[BO]] == [{9: b"\x03"}] * 2
    assert RtpPacket.parse(bench.sent[CY][0]).extension_profile == 0


@pytest.mark.parametrize("with_padding_from_the_publisher", [False, True])
def test_a_packet_without_payload_goes_out_as_one_byte_of_padding(
    bench: Bench, with_padding_from_the_publisher: bool
) -> None:
    packet: MediaPacket = Filler(5, 10_000)
    if with_padding_from_the_publisher:
        probe = padding_only(payload_type=96, sequence_number=5, timestamp=10_000, ssrc=1, size=250, marker=True)
        packet = MediaPacket(RtpPacket.parse(probe), 5, NO_MARKS)
    bench.fans_out(packet, route(BO, 20), dropped_frames=2)
    assert bench.sent[BO] == [padding_only(payload_type=120, sequence_number=5, timestamp=10_000, ssrc=20, size=1)]


def test_the_same_twice_is_the_same_to_the_last_bit(bench: Bench) -> None:
    packet = media(extensions=build_extensions([(4, b"\x03")]))
    for _ in range(2):
        bench.fans_out(packet, turned_route(leg=BO, ssrc=20), route(BO, 21, picture_id_base=3), dropped_frames=1)
    assert bench.sent[BO][:2] == bench.sent[BO][2:]


def test_finished_packets_pass_untouched(bench: Bench) -> None:
    bench.engine.transmit(BO, b"whatever core built")
    assert bench.sent[BO] == [b"whatever core built"]
    assert bench.sent[CY] == []


def test_who_left_gets_nothing_and_nobody_else_misses_anything(bench: Bench) -> None:
    bench.engine.remove_leg(BO)
    bench.engine.remove_leg(LegId(99))
    bench.fans_out(media(), route(BO, 20), route(CY, 30))
    bench.fans_out(media())
    bench.engine.transmit(BO, b"x")
    assert bench.sent[BO] == []
    assert len(bench.sent[CY]) == 1


def test_a_leg_that_comes_again_sends_by_its_new_way(bench: Bench) -> None:
    bench.engine.remove_leg(BO)
    again: list[bytes] = []
    bench.engine.add_leg(BO, again.append)
    bench.fans_out(media(), route(BO, 20))
    assert len(again) == 1
    assert bench.sent[BO] == []


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
@given(
    number=st.integers(-(2**20), 2**40),
    dropped_frames=st.integers(0, 2**20),
    bases=st.tuples(*[st.integers(-(2**33), 2**33)] * 4),
    payload=st.binary(min_size=5, max_size=40),
)
def test_every_engine_writes_what_the_core_writes_for_repeats(
    engine: Callable[[], FanOutEngine], number: int, dropped_frames: int, bases: tuple[int, ...], payload: bytes
) -> None:
    """A repeat is built by `core.route.rewritten`: were a bit different, one SRTP index would carry two contents."""
    bench = Bench(engine())
    sequence_base, timestamp_base, picture_id_base, tl0picidx_base = bases
    one = route(
        BO,
        20,
        sequence_base=sequence_base,
        timestamp_base=timestamp_base,
        picture_id_base=picture_id_base,
        tl0picidx_base=tl0picidx_base,
    )
    described = b"\x90\xe0" + struct.pack("!H", 0x8000 | dropped_frames & 0x7FFF) + b"\x01\x20" + payload
    data = build_rtp(payload_type=96, marker=False, sequence_number=1, timestamp=9, ssrc=1, payload=described)
    packet = MediaPacket(RtpPacket.parse(data), 1, vp8.read_marks(described))
    bench.fans_out(packet, one, number=number, dropped_frames=dropped_frames)
    assert bench.sent[BO] == [rewritten(one, number, dropped_frames, packet)]
