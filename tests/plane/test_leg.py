"""A leg on real sockets and real DTLS: how it connects, moves, ends, and what it shrugs off."""

import asyncio
import gc
import itertools
import os
import random
import weakref

import pytest
from aioice import stun

from hushroom_common.errors import WireError
from hushroom_sfu.plane.drops import Drop
from hushroom_sfu.plane.leg import CloseReason, Leg, LegLimits, LegState
from tests.plane.peers import (
    AdvanceableClock,
    BarePeer,
    Seen,
    Server,
    bare_peer,
    connect_stock_client,
    eventually,
    receiver_report,
    rtp_packet,
    running_server,
)


def address(server: Server) -> tuple[str, int]:
    return server.port.candidates[0]


async def connected(peer: BarePeer) -> BarePeer:
    await peer.connect()
    await eventually(lambda: peer.leg.state == LegState.CONNECTED)
    return peer


async def arrival_of(seen: Seen) -> None:
    await eventually(lambda: seen.rtp)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
async def test_media_flows_both_ways(host: str) -> None:
    async with running_server(host) as server:
        leg, seen = server.leg()
        loopback = "::1" if host == "::1" else "127.0.0.1"
        async with bare_peer(leg, (loopback, server.port.port)) as peer:
            await connected(peer)
            peer.send_rtp(rtp_packet(1))
            peer.send_rtcp(receiver_report())
            await eventually(lambda: (seen.rtp, seen.rtcp) == ([rtp_packet(1)], [receiver_report()]))
            leg.send_rtp(rtp_packet(7))
            leg.send_rtcp(receiver_report())
            await eventually(lambda: peer.received == [(0, rtp_packet(7)), (0, receiver_report())])
            assert seen.states == [LegState.CHECKING, LegState.HANDSHAKING, LegState.CONNECTED]
            assert not server.drops


async def test_both_address_families_share_one_port_number() -> None:
    async with running_server("::") as server:
        for loopback in ("127.0.0.1", "::1"):
            leg, seen = server.leg()
            async with bare_peer(leg, (loopback, server.port.port)) as peer:
                await connected(peer)
                peer.send_rtp(rtp_packet(1))
                await arrival_of(seen)


@pytest.mark.usefixtures("loopback_candidates")
async def test_a_stock_aiortc_connection_connects_exchanges_media_and_says_goodbye() -> None:
    async with running_server() as server:
        leg, seen = server.leg()
        client = await connect_stock_client(server, leg)
        await eventually(lambda: leg.state == LegState.CONNECTED and client.connectionState == "connected")
        dtls = client.getTransceivers()[0].sender.transport
        received: list[bytes] = []

        async def keep(packet: bytes, arrival_time_ms: int) -> None:
            received.append(packet)

        setattr(dtls, "_handle_rtp_data", keep)  # noqa: B010 (a method, replaced on the instance)
        await dtls._send_rtp(rtp_packet(3))
        await eventually(lambda: rtp_packet(3) in seen.rtp and seen.rtcp)
        leg.send_rtp(rtp_packet(4))
        await eventually(lambda: received == [rtp_packet(4)])
        await client.close()
        await eventually(lambda: seen.closed_because == CloseReason.PEER_CLOSED)
        assert not server.drops


async def test_gcm_is_chosen() -> None:
    async with running_server() as server:
        leg, _ = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            assert "GCM" in leg.srtp_profile


async def test_a_nomination_from_a_new_address_moves_the_leg_and_late_packets_of_the_old_still_count() -> None:
    async with running_server() as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            moved = await peer.open_socket()
            await peer.check(moved)
            leg.send_rtp(rtp_packet(1))
            await eventually(lambda: peer.received == [(moved, rtp_packet(1))])
            peer.send_rtp(rtp_packet(2), socket=0)
            peer.send_rtp(rtp_packet(3), socket=moved)
            await eventually(lambda: sorted(seen.rtp) == [rtp_packet(2), rtp_packet(3)])


async def test_a_plain_check_takes_over_only_from_a_silent_path() -> None:
    clock = AdvanceableClock()
    async with running_server(clock=clock) as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            other = await peer.open_socket()
            peer.send_rtp(rtp_packet(1))
            await eventually(lambda: seen.rtp)
            await peer.check(other, nominate=False)
            leg.send_rtp(rtp_packet(2))
            await eventually(lambda: peer.received == [(0, rtp_packet(2))])
            clock.ahead_s = 3.0
            await peer.check(other, nominate=False)
            leg.send_rtp(rtp_packet(3))
            await eventually(lambda: peer.received[-1] == (other, rtp_packet(3)))


async def heard_after(leg: Leg, moment: float) -> None:
    await eventually(lambda: leg.last_authenticated_at > moment)


def _age(leg: Leg) -> float:
    return asyncio.get_running_loop().time() - leg.last_authenticated_at


async def test_a_controlled_peer_is_told_487_and_gets_no_path() -> None:
    async with running_server() as server:
        leg, _ = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await peer.open_socket()
            response = await peer.check(role="ICE-CONTROLLED")
            assert response.message_class == stun.Class.ERROR
            assert response.attributes["ERROR-CODE"][0] == 487
            assert leg.route is None
            assert server.drops == {Drop.STUN_ROLE_CONFLICT: 1}


async def test_unauthenticated_checks_are_not_answered() -> None:
    async with running_server() as server:
        leg, _ = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await peer.open_socket()
            peer.send(bytes(peer.request(password="a guess of the password")))
            peer.send(bytes(peer.request(username="nobody:here")))
            await eventually(lambda: server.drops == {Drop.STUN_BAD_INTEGRITY: 1, Drop.STUN_UNKNOWN_USER: 1})
            await peer.check()
            assert leg.route is not None
            assert peer.unasked == 0


async def test_a_certificate_other_than_the_announced_one_is_refused() -> None:
    async with running_server() as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await peer.connect(fingerprints=(("sha-256", ":".join(["AB"] * 32)),))
            await eventually(lambda: seen.closed_because == CloseReason.HANDSHAKE_FAILED)
            assert LegState.CONNECTED not in seen.states
            peer.send_rtp(rtp_packet(1))
            await eventually(lambda: server.drops[Drop.UNKNOWN_SOURCE])
            assert seen.rtp == []


async def test_fingerprints_of_unknown_kinds_only_are_refused() -> None:
    async with running_server() as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await peer.connect(fingerprints=(("md5", "AB"),))
            await eventually(lambda: seen.closed_because == CloseReason.HANDSHAKE_FAILED)


async def test_a_leg_needs_a_fingerprint_and_keeps_it() -> None:
    async with running_server() as server:
        leg, _ = server.leg()
        with pytest.raises(WireError):
            leg.connect("theirs", ())
        leg.connect("theirs", (("sha-256", "AB"),))
        leg.connect("restarted", (("sha-256", "AB"),))
        with pytest.raises(WireError):
            leg.connect("restarted", (("sha-256", "CD"),))


async def test_a_handshake_that_never_comes_ends_the_leg() -> None:
    async with running_server() as server:
        leg, seen = server.leg(limits=LegLimits(handshake_s=0.05))
        async with bare_peer(leg, address(server)) as peer:
            await peer.open_socket()
            leg.connect(peer.ufrag, peer.fingerprints)
            await peer.check()
            await eventually(lambda: seen.closed_because == CloseReason.HANDSHAKE_FAILED)
            assert seen.states == [LegState.CHECKING, LegState.HANDSHAKING, LegState.CLOSED]


async def test_a_peer_that_never_checks_ends_the_leg() -> None:
    async with running_server() as server:
        leg, seen = server.leg(limits=LegLimits(path_s=0.05))
        leg.connect("theirs", (("sha-256", "AB"),))
        await eventually(lambda: seen.closed_because == CloseReason.NO_PATH)


async def test_a_silent_peer_ends_the_leg() -> None:
    async with running_server() as server:
        leg, seen = server.leg(limits=LegLimits(silent_s=0.2))
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            await eventually(lambda: seen.closed_because == CloseReason.SILENT)


async def test_any_authentic_packet_keeps_a_leg_alive_and_no_other_does() -> None:
    async with running_server() as server:
        leg, seen = server.leg(limits=LegLimits(silent_s=0.3))
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            for number in range(8):
                sent_at = asyncio.get_running_loop().time()
                if number % 2:
                    peer.send_rtp(rtp_packet(number))
                else:
                    peer.send_rtcp(receiver_report())
                await heard_after(leg, sent_at)
                await eventually(lambda: _age(leg) > 0.1)
            assert leg.state == LegState.CONNECTED
            heard_at = leg.last_authenticated_at
            peer.send(rtp_packet(99, payload=bytes(60)))
            await eventually(lambda: server.drops[Drop.SRTP_UNAUTHENTIC])
            assert leg.last_authenticated_at == heard_at
            await eventually(lambda: seen.closed_because == CloseReason.SILENT)


async def test_sending_stops_when_consent_runs_out_though_media_still_comes_and_goes_on_after_a_check() -> None:
    clock = AdvanceableClock()
    async with running_server(clock=clock) as server:
        leg, _ = server.leg(limits=LegLimits(silent_s=1.0))
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            clock.ahead_s = 30.0
            numbers = itertools.count()

            def is_refused() -> bool:
                peer.send_rtp(rtp_packet(next(numbers)))
                leg.send_rtp(rtp_packet(next(numbers)))
                return server.drops[Drop.NO_CONSENT] > 0

            await eventually(is_refused)
            assert leg.state == LegState.CONNECTED
            await peer.check()
            leg.send_rtp(rtp_packet(9999))
            await eventually(lambda: (0, rtp_packet(9999)) in peer.received)


async def test_media_before_the_keys_is_dropped() -> None:
    async with running_server() as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await peer.open_socket()
            await peer.check()
            peer.send(rtp_packet(1, payload=bytes(60)))
            await eventually(lambda: server.drops == {Drop.MEDIA_BEFORE_KEYS: 1})
            leg.send_rtp(rtp_packet(1))
            assert seen.rtp == []


async def test_a_flood_of_dtls_fills_a_bounded_queue_and_the_leg_still_connects() -> None:
    async with running_server() as server:
        leg, _ = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await peer.open_socket()
            await peer.check()
            for _ in range(300):
                peer.send(bytes([22, 254, 253]) + os.urandom(60))
            await eventually(lambda: server.drops[Drop.DTLS_QUEUE_FULL] == 300 - 32)
            await connected(peer)


async def test_an_ice_restart_of_the_peer_goes_on_under_new_names() -> None:
    async with running_server() as server:
        leg, _ = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            old = leg.credentials
            peer.ufrag = "restarted"
            leg.connect(peer.ufrag, peer.fingerprints)
            assert leg.restart_ice() != old
            moved = await peer.open_socket()
            await peer.check(moved)
            leg.send_rtp(rtp_packet(1))
            await eventually(lambda: peer.received == [(moved, rtp_packet(1))])
            peer.send(bytes(peer.request(username=f"{old.ufrag}:restarted", password=old.password)))
            await eventually(lambda: server.drops == {Drop.STUN_UNKNOWN_USER: 1})


async def test_nobody_takes_a_route_on_which_another_peers_media_flows() -> None:
    async with running_server() as server:
        (leg, seen), (thief, _) = server.leg(), server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            peer.send_rtp(rtp_packet(1))
            await eventually(lambda: seen.rtp)
            forged = f"{thief.credentials.ufrag}:thief"
            peer.send(bytes(peer.request(username=forged, password=thief.credentials.password)))
            await eventually(lambda: server.drops == {Drop.STUN_SOURCE_TAKEN: 1})
            peer.send_rtp(rtp_packet(2))
            await eventually(lambda: seen.rtp == [rtp_packet(1), rtp_packet(2)])


async def test_a_peer_keeps_a_bounded_number_of_addresses() -> None:
    async with running_server() as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            for _ in range(12):
                await peer.check(await peer.open_socket(), nominate=False)
            peer.send_rtp(rtp_packet(1), socket=1)
            await eventually(lambda: server.drops == {Drop.UNKNOWN_SOURCE: 1})
            peer.send_rtp(rtp_packet(2), socket=0)
            peer.send_rtp(rtp_packet(3), socket=12)
            await eventually(lambda: sorted(seen.rtp) == [rtp_packet(2), rtp_packet(3)])


async def test_garbage_from_strangers_and_from_the_peer_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(2)
    async with running_server() as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            stranger = await peer.open_socket()
            check = bytes(peer.request())
            for number in range(1500):
                first = dice.choice([0, 1, 20, 22, 23, 25, 63, 70, 128, 144, 191, 200, 255])
                garbage = bytes([first]) + dice.randbytes(dice.choice([0, 1, 7, 11, 12, 19, 40, 1200, 2100]))
                at = dice.randrange(len(check))
                for socket in (0, stranger):
                    peer.send(garbage, socket)
                    peer.send(check[:at] + dice.randbytes(1) + check[at + 1 :], stranger)
                if number % 50 == 0:
                    await asyncio.sleep(0)
            peer.send(b"", stranger)
            peer.send_rtp(rtp_packet(1))
            await eventually(lambda: seen.rtp == [rtp_packet(1)])
            assert leg.state == LegState.CONNECTED
            assert server.drops[Drop.INTERNAL_ERROR] == 0
            assert {Drop.OVERSIZE, Drop.UNKNOWN_PROTOCOL, Drop.UNKNOWN_SOURCE, Drop.STUN_UNREADABLE} <= set(
                server.drops
            )
            assert "ERROR" not in caplog.text


async def test_a_failing_listener_costs_a_counter_and_one_log_line_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(packet: bytes, now: float) -> None:
        raise RuntimeError("192.0.2.77 said something")

    async with running_server() as server:
        leg, _ = server.leg(on_rtp=fails)
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            peer.send_rtp(rtp_packet(1))
            peer.send_rtp(rtp_packet(2))
            await eventually(lambda: server.drops == {Drop.INTERNAL_ERROR: 2})
            assert leg.state == LegState.CONNECTED
            errors = [record for record in caplog.records if record.levelname == "ERROR"]
            assert len(errors) == 1
            assert "192.0.2.77" not in str(errors[0].__dict__)


async def test_closing_says_close_notify_and_leaves_no_task_descriptor_or_leg_behind() -> None:
    gc.collect()
    tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    async with running_server() as server:
        leg, seen = server.leg()
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            leg.close()
            client = peer.dtls
            await eventually(lambda: client.state == "closed")
            assert seen.closed_because == CloseReason.LOCAL
            leg.send_rtp(rtp_packet(1))
            assert server.demultiplexer.is_empty
            del peer.leg
        gone = weakref.ref(leg)
        server.legs.clear()
        del leg
        await eventually(lambda: gone() is None)  # by reference counts alone: OpenSSL's memory waits for no collector
    await eventually(lambda: len(asyncio.all_tasks()) == tasks and len(os.listdir("/proc/self/fd")) == descriptors)


async def test_cancelling_serve_closes_the_leg() -> None:
    async with running_server() as server:
        leg, seen = server.leg()
        serving = next(task for task in asyncio.all_tasks() if "Leg.serve" in repr(task.get_coro()))
        async with bare_peer(leg, address(server)) as peer:
            await connected(peer)
            serving.cancel()
            await eventually(lambda: peer.dtls.state == "closed")
            assert seen.closed_because == CloseReason.LOCAL


@pytest.mark.usefixtures("loopback_candidates")
async def test_a_hundred_stock_clients_connect_to_one_port() -> None:
    async with running_server() as server:
        legs = [server.leg() for _ in range(100)]
        clients = await asyncio.gather(*(connect_stock_client(server, leg) for leg, _ in legs))
        await eventually(
            lambda: (
                all(leg.state == LegState.CONNECTED for leg, _ in legs)
                and all(client.connectionState == "connected" for client in clients)
            ),
            within_s=60,
        )
        routes = {leg.route for leg, _ in legs}
        assert len(routes) == 100
        await asyncio.gather(*(client.close() for client in clients))
        await eventually(lambda: all(seen.closed_because == CloseReason.PEER_CLOSED for _, seen in legs))
        assert server.demultiplexer.is_empty
