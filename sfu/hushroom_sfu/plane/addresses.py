"""Which addresses the media port binds to, and which of them go into SDP as candidates."""

import ipaddress
from collections.abc import Iterable

from aioice import ice

__all__ = ["bind_addresses", "candidate_addresses"]

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 (compared with, not bound to)


def bind_addresses(host: str) -> tuple[str, ...]:
    """The local addresses to bind for `host`: an IP address, `localhost`, or `::` for every address of both families.

    `0.0.0.0` means every IPv4 address and no IPv6. The first address is the one that has to work; the other family is
    added where the machine has it. Raises ValueError, with values that would work, for anything else.
    """
    if host == "localhost":
        return ("127.0.0.1", "::1")
    if host == "::":
        return ("0.0.0.0", "::")  # noqa: S104
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        raise ValueError(
            f"cannot bind media to {host!r}: give an IP address of this machine, localhost, 0.0.0.0 or ::"
        ) from None


def candidate_addresses(bound: Iterable[str], public_ips: Iterable[str] = ()) -> tuple[str, ...]:
    """The addresses to offer, best first: those of the bound sockets, then the public ones, each once.

    A wildcard stands for the machine's interface addresses. Loopback is offered when it was bound by name, or when a
    wildcard finds nothing else: to a peer on another machine it would be a check of his own loopback.
    Raises ValueError when a public address is not an IP address.
    """
    found: list[str] = []
    for host in bound:
        if host not in _WILDCARDS:
            found.append(host)
            continue
        found.extend(ice.get_host_addresses(use_ipv4=host != "::", use_ipv6=host == "::"))
    public = [str(ipaddress.ip_address(address)) for address in public_ips]
    if not found and not public:
        found = ["::1" if host == "::" else "127.0.0.1" for host in bound]
    return tuple(dict.fromkeys([*found, *public]))
