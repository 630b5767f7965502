"""Signaling messages from any text: they decode to something that encodes to the same again, or raise WireError."""

from contextlib import suppress

from hushroom_common.errors import WireError
from hushroom_common.signaling import decode_client, decode_server, encode

__all__ = ["corpus", "fuzz"]


def corpus() -> list[bytes]:
    """One text of every shape that a field can have."""
    return [
        b'{"type":"join","room":"standup","identity":"ada","token":"h.p.s","auto_subscribe":true,"version":1}',
        b'{"type":"offer","leg":"publisher","number":1,"sdp":"v=0\\r\\n","tracks":[{"mid":"0","publication":"mic",'
        b'"source":"microphone","codec":"opus","e2ee":"lk1"}],"slots":[]}',
        b'{"type":"subscribe","participant":"p1","publication":"cam","max_temporal_id":1}',
        b'{"type":"key_step","key_index":0,"step":7}',
        b'{"type":"leave"}',
        b'{"type":"joined","participant":"p2","identity":"bo","room":"standup","resume_token":"r","participants":'
        b'[{"participant":"p1","identity":"\xd0\x90","tracks":[{"publication":"cam","kind":"video","source":"camera",'
        b'"codec":"vp8","e2ee":"lk1","muted":false}]}],"token_expires_in_s":3600.0,"may_publish":true}',
        b'{"type":"slots","slots":[{"mid":"v1","participant":"p1","publication":null}]}',
        b'{"type":"refused","code":"too_many_tracks","message":"at most 8","regarding":"offer","publication":"cam"}',
        b'{"type":"token_renewed","token_expires_in_s":1e999}',
        b'{"type":"leave","a":[[[[[[{"b":NaN}]]]]]]}',
    ]


def fuzz(data: bytes) -> None:
    """Decode as either side would; what was understood must mean the same when said again."""
    text = data.decode("utf-8", "replace")
    with suppress(WireError):
        client_message = decode_client(text)
        assert decode_client(encode(client_message)) == client_message
    with suppress(WireError):
        server_message = decode_server(text)
        assert decode_server(encode(server_message)) == server_message
