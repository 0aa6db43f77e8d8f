#!/usr/bin/env python3
"""The functions' zips on their way: from where cargo-lambda builds them to the assets, and from there to the
construct, or to a deployment.

    release/functions.py collect --architecture arm64 [--feature sns] target/lambda target/assets
    release/functions.py for-the-construct target/assets target/package/functions
    release/functions.py for-a-deployment --architecture arm64 [--feature sns] target/assets target/deploy

With a feature only the two functions that send events are taken: the others do not use it.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil

from assets import AGENT, ARCHITECTURES, FEATURES, FUNCTIONS, IN_THE_CONSTRUCT, SENDERS, function_zip


def collect(built: pathlib.Path, assets: pathlib.Path, architecture: str, feature: str) -> None:
    assets.mkdir(parents=True, exist_ok=True)
    for name in SENDERS if feature else FUNCTIONS:
        shutil.copyfile(built / name / "bootstrap.zip", assets / function_zip(name, architecture, feature))


def for_the_construct(assets: pathlib.Path, out: pathlib.Path) -> None:
    """In the form that cdk/bin/package.ts takes them: `arm64/redrive-sns.zip`. Whether all are there, assets.py looks."""
    shutil.rmtree(out, ignore_errors=True)
    for architecture in ARCHITECTURES:
        for name in FUNCTIONS:
            for feature in ("", *IN_THE_CONSTRUCT):
                source = assets / function_zip(name, architecture, feature)
                if source.exists():
                    (out / architecture).mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, out / architecture / f"{name}{feature and '-'}{feature}.zip")


def for_a_deployment(assets: pathlib.Path, out: pathlib.Path, architecture: str, feature: str) -> None:
    """Under the names of the functions, with the agent: what `make deployables` builds is called so."""
    for name in FUNCTIONS:
        shutil.copyfile(assets / function_zip(name, architecture, feature if name in SENDERS else ""), out / f"{name}.zip")
    shutil.copyfile(assets / AGENT, out / "agent.zip")


def main() -> None:
    arguments = argparse.ArgumentParser()
    commands = arguments.add_subparsers(dest="command", required=True)
    for name in ("collect", "for-the-construct", "for-a-deployment"):
        command = commands.add_parser(name)
        if name != "for-the-construct":
            command.add_argument("--architecture", required=True, choices=ARCHITECTURES)
            command.add_argument("--feature", default="", choices=("", *FEATURES))
        command.add_argument("source", type=pathlib.Path)
        command.add_argument("out", type=pathlib.Path)
    given = arguments.parse_args()
    if given.command == "collect":
        collect(given.source, given.out, given.architecture, given.feature)
    elif given.command == "for-a-deployment":
        for_a_deployment(given.source, given.out, given.architecture, given.feature)
    else:
        for_the_construct(given.source, given.out)


if __name__ == "__main__":
    main()
