"""What tests of the control plane share."""

import itertools
from collections.abc import Callable

__all__ = ["counting_entropy"]


def counting_entropy() -> Callable[[int], bytes]:
    """Entropy that never repeats and is the same in every run."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")
