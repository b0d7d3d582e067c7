"""What importing an operator costs the DAG processor, beside other providers, in one run.

    python -m benchmarks.bench_import [--runs 7]

Counted is what comes on top of ``airflow.sdk``, ``httpx`` and ``pydantic``, which Airflow has loaded by then. Each
figure is the best of several fresh processes, taken in turns so that a busy moment strikes all alike. Needs the
``bench`` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

TARGET_MS, TARGET_MODULES = 40.0, 40

PROBE = """
import json, sys, time
import airflow.sdk, httpx, pydantic
from airflow.sdk import DAG, BaseOperator, BaseOperatorLink, BaseSensorOperator, task
before = set(sys.modules)
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps([seconds * 1000, len(set(sys.modules) - before)]))
"""


@dataclass(frozen=True)
class Contender:
    """A module that DAG files import."""

    title: str
    module: str
    package: str


CONTENDERS = (
    Contender("Wan: operators", "airflow_provider_wan.operators.wan", "airflow-provider-wan"),
    Contender("Wan: batch", "airflow_provider_wan.operators.batch", "airflow-provider-wan"),
    Contender("Wan: sensor", "airflow_provider_wan.sensors.wan", "airflow-provider-wan"),
    Contender(
        "common-ai: LLM batch",
        "airflow.providers.common.ai.operators.llm_batch",
        "apache-airflow-providers-common-ai",
    ),
    Contender("http", "airflow.providers.http.operators.http", "apache-airflow-providers-http"),
    Contender("databricks", "airflow.providers.databricks.operators.databricks", "apache-airflow-providers-databricks"),
    Contender("openai", "airflow.providers.openai.operators.openai", "apache-airflow-providers-openai"),
)


def measure(contender: Contender, home: str) -> tuple[float, int]:
    """Import once in a fresh process; return milliseconds and modules."""
    env = os.environ | {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    # The first run writes the byte code that a deployment would have.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    argv = [sys.executable, "-c", PROBE.format(module=contender.module)]
    said = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=300)
    if said.returncode:
        raise SystemExit(f"{contender.module} could not be imported:\n{said.stderr[-2000:]}")
    milliseconds, modules = json.loads(said.stdout.splitlines()[-1])
    return milliseconds, modules


def installed(contender: Contender) -> str | None:
    try:
        return version(contender.package)
    except PackageNotFoundError:
        return None


def best_of(runs: int) -> dict[Contender, tuple[float, int]]:
    """Return the best time of each contender that is installed, and its modules."""
    found: dict[Contender, tuple[float, int]] = {}
    contenders = [contender for contender in CONTENDERS if installed(contender)]
    with tempfile.TemporaryDirectory() as home:
        for contender in contenders:
            measure(contender, home)
        for _ in range(runs):
            for contender in contenders:
                found[contender] = min(measure(contender, home), found.get(contender, (float("inf"), 0)))
    return found


def table(found: dict[Contender, tuple[float, int]]) -> str:
    """Return the figures as markdown."""
    lines = ["| operator module | version | milliseconds | modules |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {contender.title} (`{contender.module}`) | {installed(contender)} | {milliseconds:.0f} | {modules} |"
        for contender, (milliseconds, modules) in found.items()
    ]
    return "\n".join(lines)


def main() -> int:
    """Print the table; fail when the provider misses its own target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="fresh processes per module")
    found = best_of(parser.parse_args().runs)
    print(table(found))
    milliseconds, modules = found[CONTENDERS[0]]
    is_met = milliseconds <= TARGET_MS and modules <= TARGET_MODULES
    print(f"\nTarget: at most {TARGET_MS:.0f} ms and {TARGET_MODULES} modules: {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
