"""Runs every fuzz target under atheris, each in a process of its own, and prints how often it was executed.

A target is a module `target_<name>.py` with `corpus() -> list[bytes]` (seeds) and `fuzz(data: bytes) -> None`, which
raises only for a real bug. Coverage guides the mutations; a crash leaves its input in the working directory and fails.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from hashlib import sha256
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
LARGEST_INPUT = 4096


def names() -> list[str]:
    return sorted(path.stem.removeprefix("target_") for path in HERE.glob("target_*.py"))


def run_here(name: str, seconds: int, seeds: Path) -> None:
    """Fuzzes one target in this process, which atheris ends."""
    import atheris  # noqa: PLC0415 (only the fuzzed process needs it; it hooks imports)

    with atheris.instrument_imports(include=["hushroom_common", "hushroom_sfu", "hushroom_client"]):
        target = import_module(f"tests.fuzz.target_{name}")
    for seed in target.corpus():
        (seeds / sha256(seed).hexdigest()[:16]).write_bytes(seed[:LARGEST_INPUT])
    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST_INPUT}", "-rss_limit_mb=2048", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(seeds)], target.fuzz)
    atheris.Fuzz()


def run_apart(name: str, seconds: int) -> int | None:
    """Fuzzes one target in a process of its own; the number of executions, or None when it failed."""
    with tempfile.TemporaryDirectory() as seeds:
        command = [sys.executable, "-m", "tests.fuzz.run", "--here", name, "--seconds", str(seconds), "--seeds", seeds]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 3 + 120, check=False)
    executions = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stderr)
    if done.returncode or executions is None:
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-6000:])
        return None
    return int(executions[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--here", metavar="NAME", help="one target in this process")
    parser.add_argument("--seeds", type=Path)
    parser.add_argument("targets", nargs="*", default=[])
    options = parser.parse_args()
    if options.here:
        run_here(options.here, options.seconds, options.seeds)
        return 0
    failed = 0
    for name in options.targets or names():
        executions = run_apart(name, options.seconds)
        outcome = "FAILED" if executions is None else f"{executions:>10} executions in {options.seconds} s"
        print(f"{name:24} {outcome}", flush=True)
        failed += executions is None
    chosen = len(options.targets or names())
    print(f"{chosen - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
