"""The workflows as they stand, make as they call it, and a `gh` that publishes nothing."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import subprocess
import sys
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "release")]

# What make hands on to a make that it runs, and what a person may have set: the steps are run as they are in the workflow.
NOT_HANDED_ON = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "CONTEXT", "ARCHITECTURE", "FEATURES", "REPLACE", "PYTHON")


def workflow(name: str) -> dict[str, Any]:
    text = (ROOT / ".github/workflows" / name).read_text()
    found = yaml.safe_load(text)
    found["on"] = found.pop(True)  # YAML 1.1 reads `on` as true.
    return found


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    return job.get("steps", [])


def runs(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in steps(job) if "run" in step]


def needed(jobs: dict[str, Any], name: str) -> set[str]:
    """The jobs that have succeeded when a job starts."""
    its = jobs[name].get("needs", [])
    its = [its] if isinstance(its, str) else its
    return set(its).union(*(needed(jobs, it) for it in its))


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON} | more


def make(*words: str, check: bool = True, **variables: str) -> str:
    """Runs make in the repository, with these environment variables. Returns what it wrote."""
    done = subprocess.run(["make", *words], cwd=ROOT, env=environment(**variables), text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check != (done.returncode == 0):
        raise AssertionError(f"make {shlex.join(words)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def would_run(*words: str, **variables: str) -> list[list[str]]:
    """The commands that make would run, in words, without those that are joined to them by `&&`."""
    text = make("--dry-run", *words, **variables).replace("\\\n", " ")
    return [shlex.split(command) for line in text.splitlines() for command in re.split(r" && ", line) if command.count("'") % 2 == 0]


GH = """#!{python}
# In place of GitHub's command line. It notes what it was told, and `release download` finds the assets of the dry run. That
# GitHub would do the same, and what it thinks of an attestation, this does not show.
import json, pathlib, shutil, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["release", "download"]:
    to = pathlib.Path(sys.argv[sys.argv.index("--dir") + 1])
    shutil.copytree({assets!r}, to, dirs_exist_ok=True)
"""


def put_gh(directory: pathlib.Path, log: pathlib.Path, assets: pathlib.Path) -> str:
    """Writes the stand-in, and returns a PATH that has it first."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "gh"
    program.write_text(GH.format(python=sys.executable, log=str(log), assets=str(assets)))
    program.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"
