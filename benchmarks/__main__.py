"""All benchmarks, then RESULTS.md: ``make bench``; ``BENCH_FULL=1`` for the long version."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from benchmarks.results import FOLDER

ALL = (
    "fan_out",
    "faults",
    "soak",
    "triggerer",
    "batch",
    "accounts",
    "ledger",
    "slots",
    "distributed",
    "submitting",
    "inputs",
    "gallery",
)


def keep_import_times() -> None:
    """Run the benchmark of imports, which prints its table, and keep that."""
    argv = [sys.executable, "-m", "benchmarks.bench_import"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    if said.stdout.strip():
        (FOLDER / "import.md").write_text(said.stdout)


def main() -> int:
    line = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    line.add_argument("names", nargs="*", metavar="NAME", help=f"only these of {', '.join(ALL)}")
    given = line.parse_args()
    if unknown := set(given.names) - set(ALL):
        line.error(f"unknown: {', '.join(sorted(unknown))}")
    is_full = os.environ.get("BENCH_FULL", "") not in ("", "0")
    failed = []
    for name in given.names or ALL:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        # A process for each: what one has imported and set must not weigh on the next.
        call = f"from benchmarks.{name} import main; main([], full={is_full})"
        if subprocess.run([sys.executable, "-c", call], check=False).returncode:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - began:.0f} s", flush=True)
    if not given.names:
        keep_import_times()
    subprocess.run([sys.executable, "-m", "benchmarks.report"], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}; RESULTS.md keeps what was measured before", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
