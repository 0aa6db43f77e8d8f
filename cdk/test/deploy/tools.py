"""The programs that the deploy test runs, the functions that it deploys, and where they are."""

from __future__ import annotations

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

from report import Failed

CDK = pathlib.Path(__file__).resolve().parents[2]
ROOT = CDK.parent
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
NOT_INSTALLED = f"is not installed: {sys.executable} -m pip install -r cdk/requirements.txt"


def tool(name: str) -> str:
    """The path of a program that is installed in this Python's environment."""
    program = pathlib.Path(sys.executable).with_name(name)
    if not program.exists():
        raise SystemExit(f"{name} {NOT_INSTALLED}")
    return str(program)


def node() -> str:
    """The path of Node.js."""
    program = shutil.which("node")
    if program is None:
        raise SystemExit("node is not installed: the CDK needs Node.js 20 or later")
    return program


def cdk_cli() -> str:
    """The path of the CDK's command line."""
    node()
    program = CDK / "node_modules/.bin/cdk"
    if not program.exists():
        raise SystemExit("the CDK is not installed: run `npm ci` in cdk/")
    return str(program)


def function_dir(name: str) -> str:
    """The directory with a function's `bootstrap`, below BOOTSTRAP_DIR."""
    directory = pathlib.Path(os.environ.get("BOOTSTRAP_DIR", "")) / name
    if not (directory / "bootstrap").is_file():
        raise SystemExit(f"BOOTSTRAP_DIR must name a directory with `{name}/bootstrap`, built for this machine")
    return str(directory.resolve())


def agent_dir() -> str:
    """The directory of the agent."""
    directory = ROOT / "agent"
    if not (directory / "main.py").is_file():
        raise SystemExit(f"{directory} does not contain the agent's main.py")
    return str(directory)


def run(command: list[str], env: dict[str, str], cwd: pathlib.Path = CDK) -> None:
    """Runs a command to its end. Its output is shown only if the command fails."""
    code, output = completed(command, env, cwd)
    if code != 0:
        raise Failed(f"`{shown(command)}` failed:\n{output}")


def run_refused(command: list[str], env: dict[str, str], cwd: pathlib.Path = CDK) -> str:
    """Runs a command that must fail, and returns what it wrote."""
    code, output = completed(command, env, cwd)
    if code == 0:
        raise Failed(f"`{shown(command)}` succeeded:\n{output}")
    return output


def completed(command: list[str], env: dict[str, str], cwd: pathlib.Path) -> tuple[int, str]:
    start = time.monotonic()
    done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    print(f"   ran {shown(command)}  ({time.monotonic() - start:.0f} s)", flush=True)
    return done.returncode, done.stdout


def shown(command: list[str]) -> str:
    return " ".join([pathlib.Path(command[0]).name, *command[1:]])
