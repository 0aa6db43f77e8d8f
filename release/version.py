#!/usr/bin/env python3
"""Whether this commit can be released as a tag, and with which notes. Runs before anything is built or published.

    release/version.py v0.1.0 [--changelog CHANGELOG.md] [--notes FILE]

Fails unless the tag is `v` and a version of three numbers, every package has that version, and the changelog has a section of
it with something in it, which is written to FILE. CONTRIBUTING.md ("Cutting a version") says what is to be done before.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
# No suffixes: `0.1.0-rc.1` of Cargo and npm is `0.1.0rc1` in a wheel's name.
TAG = re.compile(r"v((?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*))")


def versions(root: pathlib.Path = ROOT) -> dict[str, str]:
    """Each place where our version stands. The agent (slack-agent) and the tests' packages have versions of their own."""
    found = {"Cargo.toml": toml(root / "Cargo.toml")["package"]["version"],
             "slack-dev/Cargo.toml": toml(root / "slack-dev/Cargo.toml")["package"]["version"],
             "bolt/python/pyproject.toml": toml(root / "bolt/python/pyproject.toml")["project"]["version"]}
    for path in ("Cargo.lock", "fuzz/Cargo.lock"):
        [found[path]] = [it["version"] for it in toml(root / path)["package"] if it["name"] == "slack-ingress"]
    for directory in ("cdk", "bolt/javascript"):
        found[f"{directory}/package.json"] = json.loads((root / directory / "package.json").read_text())["version"]
        lock = json.loads((root / directory / "package-lock.json").read_text())
        found[f"{directory}/package-lock.json"] = lock["packages"][""]["version"]
    path = "bolt/python/slack_ingress_bolt/__init__.py"
    [found[path]] = re.findall(r'^__version__ = "(.*)"$', (root / path).read_text(), re.MULTILINE)
    return found


def toml(path: pathlib.Path) -> dict:
    return tomllib.loads(path.read_text())


def notes(changelog: str, version: str) -> str:
    """The section of the changelog whose heading has this version as its first word."""
    sections = re.split(r"^## +", changelog, flags=re.MULTILINE)[1:]
    texts = [body for heading, _, body in (it.partition("\n") for it in sections) if heading.split()[:1] == [version]]
    return texts[0].strip() if len(texts) == 1 else ""


def problems(tag: str, changelog: str, root: pathlib.Path = ROOT) -> list[str]:
    """Why this commit cannot be released as this tag."""
    match = TAG.fullmatch(tag)
    if match is None:
        return [f"{tag!r} is no tag of a release, such as v0.1.0"]
    version = match[1]
    found = [f"{path} has the version {it}, and the tag is {tag}" for path, it in versions(root).items() if it != version]
    if not notes(changelog, version):
        found.append(f"the changelog has no section `## {version}` with something in it, or two")
    return found


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("tag")
    arguments.add_argument("--changelog", type=pathlib.Path, default=ROOT / "CHANGELOG.md")
    arguments.add_argument("--notes", type=pathlib.Path)
    given = arguments.parse_args()
    changelog = given.changelog.read_text()
    found = problems(given.tag, changelog)
    print(*found, sep="\n", file=sys.stderr)
    if found:
        return 1
    if given.notes:
        given.notes.parent.mkdir(parents=True, exist_ok=True)
        given.notes.write_text(notes(changelog, given.tag.removeprefix("v")) + "\n")
    print(f"{given.tag} can be released from this commit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
