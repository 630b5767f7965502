"""The server's side of the forwarding benchmark: a media plane in a process of its own, told what to do line by line.

Reads one JSON object a line from stdin, answers with one on stdout. Only this process's CPU time counts.
"""

import asyncio
import json
import os
import resource
import socket
import sys
import time
from typing import Any

import pylibsrtp

from hushroom_common.ids import Codec, Kind, LegId, LegRole
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec, UpTrackSpec
from hushroom_sfu.core.up_track import UpTrackId
from hushroom_sfu.plane.leg import Leg, LegState
from hushroom_sfu.plane.media_plane import MediaPlane

VP8 = (NegotiatedCodec(Codec.VP8, 96),)
PAYLOAD_BYTES = 1188


class Bench:
    """The commands. Each takes and gives JSON values."""

    def __init__(self, plane: MediaPlane) -> None:
        self._plane = plane
        self._legs: dict[LegId, Leg] = {}
        self._ssrc = 0x5000

    def port(self) -> int:
        return self._plane.udp_port

    def open(self, role: str, ufrag: str, fingerprints: list[list[str]]) -> dict[str, Any]:
        leg = self._plane.open_leg(LegRole(role), lambda state, reason: None)
        leg.connect(ufrag, tuple((algorithm, value) for algorithm, value in fingerprints))
        self._legs[leg.id] = leg
        return {
            "leg": leg.id,
            "ufrag": leg.credentials.ufrag,
            "password": leg.credentials.password,
            "fingerprints": leg.fingerprints,
        }

    def connected(self) -> int:
        return sum(leg.state is LegState.CONNECTED for leg in self._legs.values())

    def publish(self, leg: int, ssrc: int) -> int:
        spec = UpTrackSpec("0", Kind.VIDEO, VP8, ssrc, None, wants_nack=True, wants_pli=True)
        return self._plane.publish(LegId(leg), spec)

    def subscribe(self, leg: int, track: int) -> None:
        self._ssrc += 1
        slot = self._plane.open_slot(LegId(leg), DownTrackSpec("0", Kind.VIDEO, VP8, self._ssrc, None, cname="bench"))
        self._plane.assign(slot, UpTrackId(track))

    def usage(self) -> dict[str, int]:
        """CPU time so far in ns, packets forwarded so far, and those dropped for any reason."""
        tracks = self._plane.forwarder.up_tracks()
        sent = sum(group.packets * len(group.routes) for track in tracks for group in track.classes)
        drops = sum(self._plane.forwarder.drops.values()) + sum(self._plane.drops.values())
        return {"cpu_ns": time.process_time_ns(), "sent": sent, "drops": drops}

    def bare(self, packets: int, gap_s: float) -> float:
        """CPU in ns of one bare `protect` and `sendto` a packet, to the same subscribers by a plain UDP socket.

        With a gap the loop sleeps between rounds, as one that is fed by a network does.
        """
        addresses = [leg.route[0] for leg in self._legs.values() if leg.role is LegRole.SUBSCRIBER and leg.route]
        sessions = [_session() for _ in addresses]
        targets = list(zip(sessions, addresses, strict=True))
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        rounds = max(1, packets // len(targets))
        plain = [b"\x80\x60" + number.to_bytes(2) + bytes(8) + bytes(PAYLOAD_BYTES) for number in range(rounds)]
        began = time.process_time_ns()
        for packet in plain:
            for session, address in targets:
                sock.sendto(session.protect(packet), address)
            if gap_s:
                time.sleep(gap_s)
        return (time.process_time_ns() - began) / (rounds * len(targets))

    def memory(self) -> int:
        """Resident bytes now."""
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def history_bytes(self) -> int:
        return sum(track.history.octets() for track in self._plane.forwarder.up_tracks())


def _session() -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(
        key=os.urandom(28),
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    )
    return pylibsrtp.Session(policy)


async def main() -> None:
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    lines: asyncio.StreamReader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with MediaPlane("127.0.0.1", 0) as plane:
        bench = Bench(plane)
        while line := await lines.readline():
            command = json.loads(line)
            answer = getattr(bench, command.pop("do"))(**command)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
