"""The command `hushroom`. Exit code 0: done, 1: failed, 2: misused. Results go to stdout, all talk to stderr."""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

from hushroom_client.cli.arguments import Misuse, Options, parse
from hushroom_client.cli.stay import Stay
from hushroom_client.cli.terminal import Terminal
from hushroom_client.signaling import BadServerUrl
from hushroom_common.errors import HushroomError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    logging.basicConfig(level=logging.ERROR, format="hushroom: %(message)s", stream=sys.stderr)
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        return asyncio.run(_stay(options))
    except (Misuse, BadServerUrl) as error:
        print(f"hushroom: {error}", file=sys.stderr)
        return 2
    except HushroomError as error:
        print(f"hushroom: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1  # asked twice


async def _stay(options: Options) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_politely() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)  # who asks again does not want to wait

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_politely)
    stay = Stay(options, Terminal(sys.stderr), stop)
    try:
        await stay.run()
    finally:
        for path in stay.recordings.files if stay.recordings is not None else ():
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
