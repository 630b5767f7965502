"""The private names of aiortc that `dtls` stands on. When aiortc moves, this fails first and names what moved."""

import asyncio
import inspect
from importlib.metadata import version

import pylibsrtp
import pytest
from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCDtlsFingerprint, RTCDtlsParameters
from OpenSSL import SSL


class Carrier:
    """A transport that never brings anything."""

    role = "controlled"
    state = "completed"

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def _recv(self) -> bytes:
        return await asyncio.Future()

    async def _send(self, datagram: bytes) -> None:
        self.sent.put_nowait(datagram)


def transport() -> RTCDtlsTransport:
    return RTCDtlsTransport(Carrier(), [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]  # duck-typed


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("aiortc").startswith("1.16."), "read rtcdtlstransport.py again, then move this pin and the others"


@pytest.mark.parametrize(
    ("name", "before_start"),
    [("_ssl", None), ("_rx_srtp", None), ("_tx_srtp", None), ("_task", None), ("_role", "auto"), ("state", "new")],
)
async def test_a_fresh_transport_has(name: str, before_start: object) -> None:
    assert hasattr(transport(), name), f"aiortc.RTCDtlsTransport.{name} is gone"
    assert getattr(transport(), name) == before_start


async def test_set_role_makes_a_server() -> None:
    server = transport()
    server._set_role("server")
    assert server._role == "server"


async def test_the_carrier_needs_recv_and_send_only() -> None:
    client = transport()
    client._set_role("client")
    start = asyncio.ensure_future(client.start(RTCDtlsParameters([fingerprint_of_nobody()])))
    carrier = client.transport
    assert isinstance(carrier, Carrier)
    async with asyncio.timeout(5):
        hello = await carrier.sent.get()
    assert hello[0] == 22, "a DTLS handshake record"
    assert isinstance(client._ssl, SSL.Connection)
    start.cancel()
    await asyncio.wait([start])
    await client.stop()


def fingerprint_of_nobody() -> RTCDtlsFingerprint:
    return RTCCertificate.generateCertificate().getFingerprints()[0]


def test_a_certificate_makes_its_context_from_the_srtp_profiles_alone() -> None:
    parameters = list(inspect.signature(RTCCertificate._create_ssl_context).parameters)
    assert parameters == ["self", "srtp_profiles"]
    assert isinstance(RTCCertificate.generateCertificate()._create_ssl_context(SRTP_PROFILES), SSL.Context)


def test_the_first_fingerprint_is_sha_256() -> None:
    assert RTCCertificate.generateCertificate().getFingerprints()[0].algorithm == "sha-256"


def test_gcm_profiles_come_first() -> None:
    names = [profile.openssl_profile for profile in SRTP_PROFILES]
    assert names == [b"SRTP_AEAD_AES_256_GCM", b"SRTP_AEAD_AES_128_GCM", b"SRTP_AES128_CM_SHA1_80"]


def test_the_state_changes_are_announced_under_their_name() -> None:
    assert 'emit("statechange")' in inspect.getsource(RTCDtlsTransport._set_state)


def test_libsrtp_names_its_errors_as_the_counters_read_them() -> None:
    assert "authentication failure" in pylibsrtp.ERRORS
    assert "replay check failed (bad index)" in pylibsrtp.ERRORS
    assert "replay check failed (index too old)" in pylibsrtp.ERRORS


def test_libsrtp_is_reached_by_the_names_that_libsrtp_py_uses() -> None:
    from pylibsrtp import _binding  # noqa: PLC0415 (a private module: its absence is this test's failure)

    assert version("pylibsrtp").startswith("1."), "read pylibsrtp/__init__.py again, then move this pin and the others"
    session = pylibsrtp.Session()
    assert session._srtp[0] != _binding.ffi.NULL
    for name in ("srtp_protect", "srtp_protect_rtcp", "srtp_unprotect", "srtp_unprotect_rtcp"):
        assert hasattr(_binding.lib, name), f"pylibsrtp's binding has no {name} any more"
    assert pylibsrtp.ERRORS[7] == "authentication failure"
