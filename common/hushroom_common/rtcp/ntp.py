"""NTP time as RTCP carries it (RFC 3550 §4): seconds since 1900 as 32.32 fixed point."""

__all__ = ["middle_32", "ntp_from_unix", "unix_from_ntp"]

_SECONDS_1900_TO_1970 = 2_208_988_800


def ntp_from_unix(seconds: float) -> int:
    """64-bit NTP time of `seconds` since 1970; wraps in 2036, as all of RTP does."""
    return (round(seconds * (1 << 32)) + (_SECONDS_1900_TO_1970 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def unix_from_ntp(ntp_time: int) -> float:
    """Seconds since 1970 of a 64-bit NTP time of the era before 2036."""
    return ntp_time / (1 << 32) - _SECONDS_1900_TO_1970


def middle_32(ntp_time: int) -> int:
    """The middle 32 of the 64 bits, in units of 1/65536 s: what LSR repeats of a sender report (RFC 3550 §6.4.1)."""
    return ntp_time >> 16 & 0xFFFF_FFFF
