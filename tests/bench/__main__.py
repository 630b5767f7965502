"""`make bench`: every promise about speed and size, measured; exit code 1 when one is broken."""

import asyncio
import sys

from tests.bench import forwarding

if __name__ == "__main__":
    sys.exit(0 if asyncio.run(forwarding.run()) else 1)
