"""Stands in for programs that compile, install, or ask a service that is not there: `programs.py NAME ARGUMENT…`.

    make     runs the line of the real Makefile that calls the CDK, as `make --dry-run` prints it; what comes before it is built. With
             SYNTHESIZE=1 the CDK synthesizes and does not deploy, nor does it bootstrap
    npm      `npm ci` does nothing, because everything is installed; anything else is the real npm
    npx      the real npx
    cargo    `cargo run --release --bin NAME` runs what is built
    gh       `gh release download` finds what `make release-dry-run` made, or of it what --pattern names, `gh attestation verify` only that it is told of all it needs
    git      `git clone` is a copy of project.py's checkout; anything else is the real git
    sam      `sam deploy` is the real one, of a template without what the emulator refuses (sam_for_emulator.py)
    curl     answers `auth.revoke` as Slack does, if it is told of a bot token on standard input

A deployment is carried out once, however often it is asked for with the same arguments, and `cdk destroy` only where DESTROY=1.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def real(name: str) -> str:
    others = [it for it in os.environ["PATH"].split(os.pathsep) if it != os.environ["PROGRAMS"]]
    found = shutil.which(name, path=os.pathsep.join(others))
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return found


def once(kind: str, arguments: list[str], run: list[str]) -> int:
    """Runs a command, unless one of its kind was run with these arguments."""
    done = pathlib.Path(os.environ["PROGRAMS"]) / f"done-{kind}"
    asked = repr(arguments)
    if done.exists() and asked in done.read_text().splitlines():
        print(f"{kind}: this has been done")
        return 0
    status = subprocess.run(run).returncode
    if status == 0:
        with done.open("a") as file:
            print(asked, file=file)
    return status


def make(arguments: list[str]) -> int:
    targets = [it for it in arguments if "=" not in it]
    if targets == ["doctor"]:
        # What it says is tested in slack-dev/tests. Here, that it is told of both stacks.
        told = re.search(r"--outputs (\S+)", " ".join(arguments))
        stacks = json.loads(pathlib.Path(told[1]).read_text()) if told else {}
        print(f"doctor: {arguments}, of {list(stacks)}")
        return 0 if {"SlackIngress", "SlackIngressAgent"} <= stacks.keys() else 1
    # A deployment in another region, or only its synthesis, is another one.
    kind = "-".join(filter(None, [targets[0], os.environ.get("AWS_REGION", "us-east-1"), "synthesis" if os.environ.get("SYNTHESIZE") else ""]))
    plan = subprocess.run([real("make"), "--dry-run", "--no-print-directory", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if plan.returncode != 0:
        print(plan.stderr, file=sys.stderr)
        return plan.returncode
    for line in plan.stdout.replace("\\\n", " ").splitlines():
        if line.startswith("cd cdk && np") and "npm ci" not in line:
            if os.environ.get("SYNTHESIZE"):
                if targets == ["bootstrap"]:
                    continue
                line = synthesis(line)
            status = once(kind, arguments, ["bash", "-euo", "pipefail", "-c", line])
            if status != 0:
                return status
    return 0


def synthesis(line: str) -> str:
    """What a deployment begins with."""
    settings = re.sub(r"--replace=\S+", "", line.split(" deploy -- ")[1])
    return f"cd cdk && npx --no-install cdk synth --quiet --output \"$PROGRAMS/synthesized\" {settings}"


def npm(arguments: list[str]) -> int:
    if arguments == ["ci"]:
        return 0
    run = [real("npm"), *arguments]
    return once("npm", arguments, run) if arguments[:2] == ["run", "deploy"] else subprocess.run(run).returncode


def npx(arguments: list[str]) -> int:
    words = [it for it in arguments if not it.startswith("-")]
    if words[:2] == ["cdk", "destroy"]:
        if os.environ.get("DESTROY") != "1":
            return 0
        arguments = [*arguments, "--force"]
    run = [real("npx"), *arguments]
    return once("npx", arguments, run) if words[:2] == ["cdk", "bootstrap"] else subprocess.run(run).returncode


def cargo(arguments: list[str]) -> int:
    if arguments[:3] == ["run", "--release", "--bin"] and len(arguments) == 4:
        built = pathlib.Path(os.environ.get("BOOTSTRAP_DIR", ROOT / "target/bootstrap"))
        return subprocess.run([built / arguments[3] / "bootstrap"]).returncode
    print(f"cargo {arguments} is not known here", file=sys.stderr)
    return 1


def curl(arguments: list[str]) -> int:
    told = sys.stdin.read()
    if arguments != ["--silent", "--config", "-", "https://slack.com/api/auth.revoke"] or "xox" in " ".join(arguments):
        print(f"curl {arguments} is not known here", file=sys.stderr)
        return 1
    is_told = re.fullmatch(r'header = "Authorization: Bearer xoxb-[\w-]+"\n', told)
    print('{"ok":true,"revoked":true}' if is_told else '{"ok":false,"error":"not_authed"}')
    return 0 if is_told else 1


def gh(arguments: list[str]) -> int:
    option = dict(zip(arguments[3:], arguments[4:], strict=False))
    if arguments[:2] == ["release", "download"] and arguments[2].startswith("v") and "--repo" in option:
        wanted = [value for name, value in zip(arguments[3:], arguments[4:], strict=False) if name == "--pattern"]
        to = pathlib.Path(option.get("--dir", "."))
        to.mkdir(exist_ok=True)
        for file in pathlib.Path(os.environ["RELEASE_ASSETS"]).iterdir():
            if not wanted or file.name in wanted:
                shutil.copy2(file, to)
        return 0
    if arguments[:2] == ["attestation", "verify"] and pathlib.Path(arguments[2]).is_file():
        return 0 if {"--repo", "--source-ref", "--signer-workflow"} <= option.keys() else 1
    print(f"gh {arguments} is not known here", file=sys.stderr)
    return 1


def git(arguments: list[str]) -> int:
    if arguments[0] != "clone":
        return subprocess.run([real("git"), *arguments]).returncode
    shutil.copytree(os.environ["CHECKOUT"], arguments[-1], symlinks=True)
    return 0


def sam(arguments: list[str]) -> int:
    if arguments[0] != "deploy":
        print(f"sam {arguments} is not known here", file=sys.stderr)
        return 1
    return subprocess.run([ROOT / ".venv/bin/python", pathlib.Path(__file__).with_name("sam_for_emulator.py"), *arguments]).returncode


PROGRAMS = {"make": make, "npm": npm, "npx": npx, "cargo": cargo, "curl": curl, "gh": gh, "git": git, "sam": sam}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](sys.argv[2:]))
