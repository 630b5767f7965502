"""The JSON form of signaling: golden texts (docs/protocol.md quotes them), round trips, and what is refused."""

import json
from contextlib import suppress
from dataclasses import fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.errors import WireError
from hushroom_common.ids import Codec, Identity, Kind, LegRole, ParticipantId, PublicationId, RoomId, Source
from hushroom_common.signaling import (
    MAX_CLIENT_TEXT,
    MAX_SDP_CHARS,
    Answer,
    ClientMessage,
    CloseCode,
    Closed,
    Join,
    Joined,
    KeyStep,
    KeyStepHint,
    Leave,
    LeaveReason,
    LegLost,
    Mute,
    Offer,
    OfferedTrack,
    ParticipantInfo,
    ParticipantJoined,
    ParticipantLeft,
    Refused,
    RenewToken,
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
    decode_client,
    decode_server,
    encode,
    message_type,
)

ADA, BO = ParticipantId("p-ada"), ParticipantId("p-bo")
CAM, MIC = PublicationId("cam"), PublicationId("mic")
TALK = TrackInfo(CAM, Kind.VIDEO, Source.CAMERA, Codec.VP8, "lk1")
TALK_JSON = '{"publication":"cam","kind":"video","source":"camera","codec":"vp8","e2ee":"lk1","muted":false}'

GOLDEN: list[tuple[ClientMessage | ServerMessage, str]] = [
    (
        Join(RoomId("standup"), Identity("ada"), token="h.p.s"),
        '{"type":"join","room":"standup","identity":"ada","token":"h.p.s","auto_subscribe":true,"version":1}',
    ),
    (Resume("r3sume"), '{"type":"resume","resume_token":"r3sume","version":1}'),
    (
        Offer(LegRole.PUBLISHER, 1, "v=0\r\n", tracks=(OfferedTrack("0", MIC, Source.MICROPHONE, Codec.OPUS, "lk1"),)),
        '{"type":"offer","leg":"publisher","number":1,"sdp":"v=0\\r\\n","tracks":['
        '{"mid":"0","publication":"mic","source":"microphone","codec":"opus","e2ee":"lk1"}],"slots":[]}',
    ),
    (
        Offer(LegRole.SUBSCRIBER, 2, "v=0\r\n", slots=(Slot("a1"), Slot("v1", ADA, CAM))),
        '{"type":"offer","leg":"subscriber","number":2,"sdp":"v=0\\r\\n","tracks":[],"slots":['
        '{"mid":"a1","participant":null,"publication":null},'
        '{"mid":"v1","participant":"p-ada","publication":"cam"}]}',
    ),
    (Answer(LegRole.SUBSCRIBER, 2, "v=0\r\n"), '{"type":"answer","leg":"subscriber","number":2,"sdp":"v=0\\r\\n"}'),
    (Unpublish(CAM), '{"type":"unpublish","publication":"cam"}'),
    (Mute(MIC, muted=True), '{"type":"mute","publication":"mic","muted":true}'),
    (
        Subscribe(ADA, CAM, max_temporal_id=1),
        '{"type":"subscribe","participant":"p-ada","publication":"cam","max_temporal_id":1}',
    ),
    (Unsubscribe(ADA, CAM), '{"type":"unsubscribe","participant":"p-ada","publication":"cam"}'),
    (KeyStep(0, 7), '{"type":"key_step","key_index":0,"step":7}'),
    (RenewToken("h.p.s"), '{"type":"renew_token","token":"h.p.s"}'),
    (Leave(), '{"type":"leave"}'),
    (
        Joined(
            BO,
            Identity("bo"),
            RoomId("standup"),
            "r3sume",
            (ParticipantInfo(ADA, Identity("ada"), (TALK,)),),
            token_expires_in_s=3600.0,
        ),
        '{"type":"joined","participant":"p-bo","identity":"bo","room":"standup","resume_token":"r3sume",'
        f'"participants":[{{"participant":"p-ada","identity":"ada","tracks":[{TALK_JSON}]}}],'
        '"token_expires_in_s":3600.0,"may_publish":true,"may_subscribe":true}',
    ),
    (
        Resumed("r3sume", (ParticipantInfo(ADA, Identity("ada")),), (Slot("v1", ADA, CAM),)),
        '{"type":"resumed","resume_token":"r3sume",'
        '"participants":[{"participant":"p-ada","identity":"ada","tracks":[]}],'
        '"slots":[{"mid":"v1","participant":"p-ada","publication":"cam"}]}',
    ),
    (
        ParticipantJoined(ParticipantInfo(ADA, Identity("Ада"))),
        '{"type":"participant_joined","info":{"participant":"p-ada","identity":"Ада","tracks":[]}}',
    ),
    (
        ParticipantLeft(ADA, LeaveReason.JOINED_ELSEWHERE),
        '{"type":"participant_left","participant":"p-ada","reason":"joined_elsewhere"}',
    ),
    (TrackPublished(ADA, TALK), f'{{"type":"track_published","participant":"p-ada","track":{TALK_JSON}}}'),
    (TrackUnpublished(ADA, CAM), '{"type":"track_unpublished","participant":"p-ada","publication":"cam"}'),
    (
        TrackMuted(ADA, CAM, muted=False),
        '{"type":"track_muted","participant":"p-ada","publication":"cam","muted":false}',
    ),
    (
        Slots((Slot("v1", ADA, CAM), Slot("a1"))),
        '{"type":"slots","slots":[{"mid":"v1","participant":"p-ada","publication":"cam"},'
        '{"mid":"a1","participant":null,"publication":null}]}',
    ),
    (KeyStepHint(ADA, 0, 7), '{"type":"key_step_hint","participant":"p-ada","key_index":0,"step":7}'),
    (TokenRenewed(3600.5), '{"type":"token_renewed","token_expires_in_s":3600.5}'),
    (LegLost(LegRole.PUBLISHER), '{"type":"leg_lost","leg":"publisher"}'),
    (
        Refused(CloseCode.TOO_MANY_TRACKS, "at most 8 tracks", "offer", CAM),
        '{"type":"refused","code":"too_many_tracks","message":"at most 8 tracks","regarding":"offer",'
        '"publication":"cam","participant":null}',
    ),
    (
        Closed(CloseCode.JOINED_ELSEWHERE, "you joined again"),
        '{"type":"closed","code":"joined_elsewhere","message":"you joined again"}',
    ),
]
CLIENT_TYPES, SERVER_TYPES = get_args(ClientMessage), get_args(ServerMessage)


@pytest.mark.parametrize(("message", "text"), GOLDEN, ids=lambda value: type(value).__name__)
def test_every_message_has_this_json(message: ClientMessage | ServerMessage, text: str) -> None:
    assert encode(message) == text
    if isinstance(message, CLIENT_TYPES):
        assert decode_client(text) == message
    if isinstance(message, SERVER_TYPES):
        assert decode_server(text) == message


def test_no_message_is_missing_from_the_golden_texts() -> None:
    assert {type(message) for message, _ in GOLDEN} == {*CLIENT_TYPES, *SERVER_TYPES}


def test_a_message_names_its_type() -> None:
    assert message_type(ParticipantLeft(ADA, LeaveReason.LEFT)) == "participant_left"


# --- any message survives the wire ------------------------------------------------------------------------------

NAMES = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]).filter(
        lambda c: c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    ),
    min_size=1,
    max_size=64,
)
STRINGS = {
    "mid": st.text("abcXYZ019-_", min_size=1, max_size=16),
    "sdp": st.text("v=0\r\na:üß", min_size=1, max_size=200),
    "token": st.text("abc.XYZ_-=", min_size=1, max_size=4096),
    "resume_token": st.text("abcXYZ_-", min_size=1, max_size=256),
    "e2ee": st.sampled_from(["lk1", "sframe", "none"]),
    "message": NAMES | st.just(""),
    "regarding": st.sampled_from(["join", "key_step"]),
}
INTEGERS = {"number": 2**31 - 1, "version": 65_535, "max_temporal_id": 7, "key_index": 255, "step": 2**32 - 1}


def values(hint: Any, name: str) -> st.SearchStrategy[Any]:
    if get_origin(hint) in (Union, UnionType):
        return st.none() | values(next(arm for arm in get_args(hint) if arm is not NoneType), name)
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0], name), max_size=4).map(tuple)
    if isinstance(hint, NewType):
        return NAMES
    if hint is str:
        return STRINGS[name]
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(0, INTEGERS[name])
    if hint is float:
        return st.floats(0, 1e9)
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    return instances(hint)


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    return st.builds(cls, **{f.name: values(hints[f.name], f.name) for f in fields(cls)})


@given(st.one_of([instances(cls) for cls in CLIENT_TYPES]))
def test_what_a_client_says_arrives_as_it_was_said(message: ClientMessage) -> None:
    assert decode_client(encode(message)) == message


@given(st.one_of([instances(cls) for cls in SERVER_TYPES]))
def test_what_the_server_says_arrives_as_it_was_said(message: ServerMessage) -> None:
    assert decode_server(encode(message)) == message


# --- hostile and broken texts -----------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_any_text_decodes_or_raises_wire_error(text: str) -> None:
    for decode in (decode_client, decode_server):
        with suppress(WireError):
            decode(text)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from([text for _, text in GOLDEN]), st.data())
def test_a_message_with_any_field_replaced_decodes_or_raises_wire_error(text: str, data: st.DataObject) -> None:
    value = json.loads(text)
    value[data.draw(st.sampled_from(sorted(value)))] = data.draw(JSON_VALUES)
    for decode in (decode_client, decode_server):
        with suppress(WireError):
            decode(json.dumps(value))


def join(**changed: object) -> str:
    return json.dumps({"type": "join", "room": "standup", "identity": "ada"} | changed)


def test_what_a_newer_client_adds_is_ignored() -> None:
    assert decode_client(join(mood="cheerful", extra={"a": [1]})) == Join(RoomId("standup"), Identity("ada"))


@pytest.mark.parametrize("size", [1, 64])
def test_a_name_has_1_to_64_characters(size: int) -> None:
    assert decode_client(join(identity="x" * size)) == Join(RoomId("standup"), Identity("x" * size))


@pytest.mark.parametrize(
    "identity",
    ["", "x" * 65, "a\nb", "a\x00b", "a\x7fb", "a\x9bb", "a\u202eb", "a\u2028b", "\ud800", 7, None, True, ["ada"]],
)
def test_a_name_that_is_no_name_is_refused(identity: object) -> None:
    with pytest.raises(WireError, match=r"join\.identity"):
        decode_client(join(identity=identity))


@pytest.mark.parametrize("version", [True, 1.0, "1", None, -1, 65_536, 1e3])
def test_a_number_is_a_whole_number_in_its_bounds(version: object) -> None:
    with pytest.raises(WireError, match=r"join\.version"):
        decode_client(join(version=version))


@pytest.mark.parametrize("flag", [0, 1, "true", None])
def test_a_flag_is_true_or_false(flag: object) -> None:
    with pytest.raises(WireError, match=r"join\.auto_subscribe"):
        decode_client(join(auto_subscribe=flag))


@pytest.mark.parametrize(
    "seconds", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "true", '"3"', "1" + "0" * 400, "9" * 5000]
)
def test_seconds_are_a_finite_number(seconds: str) -> None:
    with pytest.raises(WireError):
        decode_server(f'{{"type":"token_renewed","token_expires_in_s":{seconds}}}')


def test_whole_seconds_may_be_written_without_a_point() -> None:
    assert decode_server('{"type":"token_renewed","token_expires_in_s":60}') == TokenRenewed(60.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "7",
        '"join"',
        "[]",
        "{}",
        '{"type":7}',
        '{"type":["join"]}',
        '{"type":"joyn"}',
        '{"type":"joined"}',  # the server's word, not a client's
        '{"type":"leave"} {}',
        '{"type":"leave"',
        "[" * 100_000,
        "[" * 20_000 + "]" * 20_000,
        '{"type":"leave","deep":' + "[" * 30_000 + "]" * 30_000 + "}",
    ],
    ids=range(15),
)
def test_what_is_no_client_message_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        decode_client(text)


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(WireError, match="twice"):
        decode_client('{"type":"join","room":"a","identity":"ada","identity":"bo"}')


def test_a_missing_field_is_named() -> None:
    with pytest.raises(WireError, match="join lacks identity, room"):
        decode_client('{"type":"join"}')


def offer(sdp: str = "v=0\r\n", tracks: int = 1, mid: str = "0") -> str:
    track = OfferedTrack(mid, CAM, Source.CAMERA, Codec.VP8, "lk1")
    return encode(Offer(LegRole.PUBLISHER, 1, sdp, tracks=(track,) * tracks))


def test_the_longest_session_description_fits_the_servers_message() -> None:
    line = "a=candidate:1 1 udp 1 ::1 9\r\n"
    sdp = (line * (MAX_SDP_CHARS // len(line))).ljust(MAX_SDP_CHARS, "x")
    message = decode_server(offer(sdp))
    assert isinstance(message, Offer)
    assert message.sdp == sdp


@pytest.mark.parametrize("text", [offer("x" * (MAX_SDP_CHARS + 1)), offer("a\x00b"), offer("")], ids=range(3))
def test_a_session_description_has_bounds(text: str) -> None:
    with pytest.raises(WireError, match=r"offer\.sdp"):
        decode_server(text)


def test_an_offer_lists_at_most_16_tracks() -> None:
    decode_client(offer(tracks=16))
    with pytest.raises(WireError, match=r"offer\.tracks must be a list of at most 16"):
        decode_client(offer(tracks=17))


@pytest.mark.parametrize("mid", ["", "x" * 17, "a b", "a:b", 'a"', "ä"])
def test_a_mid_is_a_short_token(mid: str) -> None:
    with pytest.raises(WireError, match=r"offer\.tracks\.mid"):
        decode_client(offer(mid=mid))


def test_a_room_lists_at_most_64_participants() -> None:
    def resumed(people: int) -> str:
        return encode(Resumed("r", (ParticipantInfo(ADA, Identity("ada")),) * people))

    decode_server(resumed(64))
    with pytest.raises(WireError, match="at most 64"):
        decode_server(resumed(65))


def test_a_client_message_is_bounded_before_it_is_parsed() -> None:
    padding = MAX_CLIENT_TEXT - len('{"type":"leave"}')
    assert decode_client('{"type":"leave"}' + " " * padding) == Leave()
    with pytest.raises(WireError, match="at most 65536"):
        decode_client('{"type":"leave"}' + " " * (padding + 1))


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(WireError) as refusal:
        decode_client(join(token="do not log me!"))
    assert "log me" not in str(refusal.value)
    assert refusal.value.__cause__ is None
