"""What the owner of a server decides: one frozen dataclass, checked at once when it is made.

Where the values come from (flags, HUSHROOM_* variables) is `settings`; here is what they mean and which can work.
"""

import ipaddress
from dataclasses import dataclass, field

from hushroom_common.errors import HushroomError
from hushroom_common.secret import Secret
from hushroom_common.signaling import MAX_CLIENT_TEXT
from hushroom_sfu.conversation.limits import Limits

__all__ = ["LOG_LEVELS", "MIN_SECRET_BYTES", "Config", "ConfigError", "is_loopback"]

MIN_SECRET_BYTES = 32
"""As long as HS256's hash: a shorter key is easier to guess than the signature (RFC 7518 §3.2)."""

LOG_LEVELS = ("debug", "info", "warning", "error")
_MIN_MESSAGE_BYTES = 4096


class ConfigError(HushroomError):
    """A setting cannot work. The text names it and a value that would."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Raises `ConfigError` on construction when it cannot work."""

    host: str = "127.0.0.1"
    """Where to listen for HTTP and WebSockets: an address of this machine, localhost, 0.0.0.0 or ::."""
    port: int = 8080
    """The TCP port; 0 takes any free one."""
    udp_host: str | None = None
    """Where media comes in; None is `host`. They differ behind a reverse proxy, which passes no UDP on."""
    udp_port: int = 3478
    """The UDP port of all media; 0 takes any free one. 3478 is ICE's own (RFC 8489 §18.6), which firewalls often let
    out, and lies below the ports that Linux gives to outgoing connections."""
    public_ips: tuple[str, ...] = ()
    """Addresses that clients reach the UDP port by besides those of this machine's interfaces, as behind a NAT."""
    secret: Secret | None = None
    """The key that tokens are signed with; None where anyone may join."""
    is_open_to_network: bool = False
    """The owner has confirmed that anyone who reaches this machine may join."""
    max_message_bytes: int = MAX_CLIENT_TEXT
    """The largest message of a client."""
    max_idle_s: float = 10.0
    """How long a TCP connection may do without becoming a WebSocket."""
    heartbeat_s: float = 10.0
    """How long a WebSocket may be silent before it is pinged; it is closed half as long after that."""
    log_level: str = "info"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _check_host("--host", self.host)
        _check_host("--udp-host", self.media_host)
        _check_port("--port", self.port, 8080)
        _check_port("--udp-port", self.udp_port, 3478)
        for address in self.public_ips:
            _check_public_ip(address)
        if self.secret is not None and len(self.secret) < MIN_SECRET_BYTES:
            raise ConfigError(f"a secret has {MIN_SECRET_BYTES} bytes or more, not {len(self.secret)}")
        if self.secret is None and not self.is_open_to_network:
            for flag, host in (("--host", self.host), ("--udp-host", self.media_host)):
                if not is_loopback(host):
                    raise ConfigError(
                        f"--open with {flag} {host} lets anyone who reaches this machine join: "
                        f"use {flag} 127.0.0.1, or --secret-file, or confirm with --open-to-network"
                    )
        if not _MIN_MESSAGE_BYTES <= self.max_message_bytes <= MAX_CLIENT_TEXT:
            raise ConfigError(
                f"--max-message-bytes {self.max_message_bytes} is not between {_MIN_MESSAGE_BYTES} and "
                f"{MAX_CLIENT_TEXT}: use {MAX_CLIENT_TEXT}"
            )
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"--log-level {self.log_level} is none of {', '.join(LOG_LEVELS)}: use info")

    @property
    def is_open(self) -> bool:
        """Whether anyone may join, without a token."""
        return self.secret is None

    @property
    def media_host(self) -> str:
        """Where the UDP port is bound."""
        return self.host if self.udp_host is None else self.udp_host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_host(flag: str, host: str) -> None:
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ConfigError(
                f"{flag} {host!r} is not an IP address: use 127.0.0.1 for this machine alone, 0.0.0.0 or :: for all"
            ) from None


def _check_port(flag: str, port: int, usual: int) -> None:
    if not 0 <= port <= 65_535:
        raise ConfigError(f"{flag} {port} is not between 0 and 65535: use {usual}, or 0 for any free port")


def _check_public_ip(address: str) -> None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(f"--public-ip {address!r} is not an IP address: use one like 203.0.113.7") from None
    if parsed.is_unspecified or parsed.is_multicast:
        raise ConfigError(f"--public-ip {address} is nobody's own address: use one like 203.0.113.7")
