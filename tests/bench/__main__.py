"""`make bench`: every promise about speed and size, measured; exit code 1 when one is broken."""

import asyncio
import sys

from tests.bench import calls, forwarding


async def main() -> bool:
    # Calls first: the forwarding benchmark keeps this process off the first core from then on.
    return all([await calls.run(), await forwarding.run()])


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
