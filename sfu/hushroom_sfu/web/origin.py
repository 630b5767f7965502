"""Which web pages may open a WebSocket to a server that is open to anyone on its own machine.

Browsers let any page open WebSockets to localhost: RFC 6455 §10.2 leaves it to the server to judge the Origin. Where
tokens are needed they are the judge, and pages from anywhere are welcome.
"""

from urllib.parse import urlsplit

from hushroom_sfu.config import is_loopback

__all__ = ["may_connect"]


def may_connect(origin: str | None, host: str) -> bool:
    """Whether that page, None for what is no browser, may talk to the server under the name that it was called by.

    The name counts too: a page can have its own name resolved to 127.0.0.1 and then is of the "same origin".
    """
    return _is_local(f"//{host}") and (origin is None or _is_local(origin))


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
