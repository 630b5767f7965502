"""Why a server cannot start though its settings are sound: somebody else has the port, or the address is not here."""

import errno

from hushroom_common.errors import HushroomError

__all__ = ["StartError", "cannot_bind"]


class StartError(HushroomError):
    """The server cannot start. The text is one line that says what to do."""


def cannot_bind(error: OSError, *, flag_prefix: str, host: str, port: int) -> StartError:
    """What `error` means for whoever set `--{flag_prefix}host` and `--{flag_prefix}port`."""
    protocol = "UDP" if flag_prefix else "TCP"
    flag = f"--{flag_prefix}port"
    if error.errno == errno.EADDRINUSE:
        text = f"{protocol} port {port} of {host} is in use: stop what uses it, or give another {flag}"
    elif error.errno in (errno.EACCES, errno.EPERM):
        text = f"{protocol} port {port} of {host} is not for this user: give a {flag} above 1023"
    elif error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        text = f"{host} is no address of this machine: give --{flag_prefix}host 0.0.0.0 or 127.0.0.1"
    else:
        text = f"{protocol} port {port} of {host} cannot be opened: {error.strerror or type(error).__name__}"
    return StartError(text)
