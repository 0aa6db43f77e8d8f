#!/usr/bin/env python3
"""How long the agent takes to start, and how much memory it has then: `make bench-agent`.

From the start of a new Python process until `think` has been made, which is nearly all imports. Beside each figure is its ratio to
a Python that does nothing, because seconds differ from machine to machine. Medians of ROUNDS processes (7) after one that does not
count, so the files are in the page cache; the memory is the most that was resident (Linux's VmHWM).

    compiled       Python finds the bytecode of each module beside it
    not compiled   it compiles each module but its own library's first: `make agent-zip` packs no bytecode

With `--tracing PYTHON`, the Python of an environment with agent/requirements-tracing.txt, the same under OpenTelemetry.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

AGENT = pathlib.Path(__file__).resolve().parents[2] / "agent"
ROUNDS = int(os.environ.get("ROUNDS") or 7)

START = """
import os, sys
sys.path.insert(0, os.environ["AGENT"])
import slack_agent
from slack_agent.thinking import thinking
thinking(os.environ)
"""
# Nothing that a process does at its end counts.
END = """
import os
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")), flush=True)
os._exit(0)
"""
MODEL = "some.model-v1:0"
THINKING = {
    "`echo`": {"THINKING": "echo"},
    "`bedrock:`": {"THINKING": f"bedrock:{MODEL}"},
    "`strands:`": {"THINKING": f"strands:{MODEL}"},
    "`strands:` with `TOOLS`": {
        "THINKING": f"strands:{MODEL}", "TOOLS": "post_to_slack", "GATEWAY_URL": "http://127.0.0.1:1/mcp"},
}
# As the stack sets them; the distribution's own are what AgentCore documents.
TRACING = {"OTEL_PYTHON_DISTRO": "aws_distro", "OTEL_PYTHON_CONFIGURATOR": "aws_configurator", "OTEL_LOGS_EXPORTER": "none",
           "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
NOTHING = "a Python that does nothing"


@dataclass(frozen=True)
class Case:
    python: pathlib.Path
    command: list[str]
    settings: dict[str, str]


def environment(more: dict[str, str]) -> dict[str, str]:
    """This one without what is set for a real account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OTEL_", "PYTHON"))}
    return kept | {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE000000000", "AWS_SECRET_ACCESS_KEY": "made-up-secret",
                   "AWS_EC2_METADATA_DISABLED": "true"} | more


def start(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Returns the seconds and the MiB of one process."""
    began = time.perf_counter()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, int(done.stdout.split()[-1]) / 1024


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tracing", type=pathlib.Path)
    tracing: pathlib.Path | None = arguments.parse_args().tracing
    python = pathlib.Path(sys.executable)
    cases = {NOTHING: Case(python, [str(python), "-c", END], {})}
    for name, settings in THINKING.items():
        cases[name] = Case(python, [str(python), "-c", START + END], settings)
    if tracing is not None:
        instrument = [str(tracing.parent / "opentelemetry-instrument"), str(tracing), "-c", START + END]
        for name, settings in THINKING.items():
            cases[f"{name}, traced"] = Case(tracing, instrument, settings | TRACING)
    pythons = {it.python for it in cases.values()}
    compiled = measured(cases, {it: {"AGENT": str(AGENT)} for it in pythons})
    with tempfile.TemporaryDirectory() as directory:
        not_compiled = measured(cases, {it: without_bytecode(it, pathlib.Path(directory)) for it in pythons})
    print(f"Python {sys.version.split()[0]}, medians of {ROUNDS}\n")
    print("| `THINKING` | compiled | not compiled | MiB |\n|---|---|---|---|")
    for name in cases:
        columns = [f"{it[name][0]:.2f} s ({it[name][0] / it[NOTHING][0]:.0f} ×)" for it in (compiled, not_compiled)]
        print(f"| {name} | {' | '.join(columns)} | {compiled[name][1]:.0f} |")


def without_bytecode(python: pathlib.Path, directory: pathlib.Path) -> dict[str, str]:
    """Copies the agent and all packages of an environment without bytecode. Returns what has Python import them from there."""
    where = "import site; print(site.getsitepackages()[0])"
    packages = subprocess.run([str(python), "-c", where], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    copy, no_bytecode = pathlib.Path(tempfile.mkdtemp(dir=directory)), shutil.ignore_patterns("__pycache__")
    shutil.copytree(packages, copy, ignore=no_bytecode, dirs_exist_ok=True)
    shutil.copytree(AGENT / "slack_agent", copy / "slack_agent", ignore=no_bytecode)
    return {"AGENT": str(copy), "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def measured(cases: dict[str, Case], more: dict[pathlib.Path, dict[str, str]]) -> dict[str, tuple[float, float]]:
    """Returns the medians of each. They take turns, so that what else the machine does is in all of them."""
    rounds = [{name: start(it.command, environment(it.settings | more[it.python])) for name, it in cases.items()}
              for _ in range(ROUNDS + 1)][1:]
    return {name: (statistics.median(it[name][0] for it in rounds), statistics.median(it[name][1] for it in rounds))
            for name in cases}


if __name__ == "__main__":
    main()
