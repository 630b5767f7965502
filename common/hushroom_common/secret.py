"""Bytes that must not be printed, pickled or compared in variable time."""

import hmac
from typing import NoReturn

__all__ = ["Secret"]


class Secret:
    """Secret bytes; `reveal()` is the only way out, so that a review can search for it."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves. The caller must not log, format or store them."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> NoReturn:
        raise TypeError("a Secret is not a key of a table")

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret does not leave this process")
