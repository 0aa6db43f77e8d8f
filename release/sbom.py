#!/usr/bin/env python3
"""The bills of materials (CycloneDX) of what is deployed, the functions, the agent and the construct, and of slack-dev.

    release/sbom.py --version 0.1.0 DIRECTORY

| bill | of | from |
|---|---|---|
| slack-ingress-functions.cdx.json | all five functions, with every cargo feature, for both architectures | `cargo tree`: what is linked, so no build dependencies and no macros; checksums from Cargo.lock |
| slack-ingress-agent.cdx.json | the agent's zip | `cyclonedx-py`, from agent/requirements.txt, which pins everything |
| slack-ingress-slack-dev.cdx.json | the developer's tool, for all three machines | `cargo tree`, as for the functions |
| slack-ingress-cdk.cdx.json | what an app has installed with the construct | `npm sbom`, with the peers at the versions that the tests install |

cargo-cyclonedx is not used for those of Rust: it reads `cargo metadata`, where the features of development are unified in. The
C library in aws-lc-sys is part of that crate and is not named by itself. Each bill is validated against CycloneDX's schema.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGETS = ("aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu")
FEATURES = "dispatch,redis,sns"
# Where people run the tool.
PLATFORMS = (*TARGETS, "aarch64-apple-darwin")


def functions(version: str) -> str:
    return crates_of("slack-ingress", version, TARGETS, FEATURES)


def tool(version: str) -> str:
    return crates_of("slack-dev", version, PLATFORMS)


def crates_of(package: str, version: str, targets: Iterable[str], features: str = "") -> str:
    """The crates that are linked into a package's programs, each with what it needs itself."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(it["name"], it["version"]): it.get("checksum") for it in lock}
    crates: dict[tuple[str, str], Component] = {}
    needs: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for target in targets:
        path: list[tuple[str, str]] = []
        for depth, name, its_version, license in tree(package, target, features):
            crate = (name, its_version)
            crates.setdefault(crate, component(name, its_version, license, checksums[crate]))
            del path[depth:]
            if path:
                needs.setdefault(path[-1], set()).add(crate)
            path.append(crate)
    ours = crates.pop((package, version))
    bill = Bom(components=crates.values())
    bill.metadata.component = ours
    everything = crates | {(package, version): ours}
    for crate, it in everything.items():
        bill.register_dependency(it, [everything[needed] for needed in needs.get(crate, ())])
    return JsonV1Dot6(bill).output_as_string(indent=1)


def tree(package: str, target: str, features: str) -> list[tuple[int, str, str, str]]:
    """What `cargo tree` says for a target: depth, name, version, licence. A crate's own tree is given where it first stands."""
    command = ["cargo", "tree", "--locked", "--package", package, "--features", features, "--target", target,
               "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}\t{l}"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [re.match(r"(\d+) (\S+) v(\S+)[^\t]*\t(.*?)(?: \(\*\))?$", line) for line in lines]
    return [(int(it[1]), it[2], it[3], it[4]) for it in found if it is not None or sys.exit("cargo tree writes in another form")]


def component(name: str, version: str, license: str, checksum: str | None) -> Component:
    # Cargo's old form of OR is a slash.
    expression = LicenseExpression(re.sub(r"\s*/\s*", " OR ", license))
    purl = PackageURL("cargo", name=name, version=version)
    return Component(name=name, version=version, purl=purl, bom_ref=purl.to_string(), licenses=[expression],
                     type=ComponentType.LIBRARY if checksum else ComponentType.APPLICATION,
                     hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [])


def agent() -> str:
    command = [pathlib.Path(sys.executable).with_name("cyclonedx-py"), "requirements", "agent/requirements.txt",
               "--pyproject", "agent/pyproject.toml", "--output-reproducible", "--of", "JSON"]
    # It warns that a list of requirements does not say which package needs which.
    quiet = os.environ | {"PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=ROOT, env=quiet, check=True, stdout=subprocess.PIPE, text=True).stdout


def construct(version: str) -> str:
    """What the apps of cdk/test/package install, without the compiler of TypeScript."""
    ours = json.loads((ROOT / "cdk/package.json").read_text())
    with tempfile.TemporaryDirectory() as directory:
        # npm names the component after its directory.
        app = pathlib.Path(directory) / ours["name"]
        shutil.copytree(ROOT / "cdk/test/package", app, ignore=lambda _, names: [it for it in names if not it.startswith("package")])
        for file in ("package.json", "package-lock.json"):
            content = json.loads((app / file).read_text())
            for it in (content, content.get("packages", {}).get("", {})):
                it |= {"name": ours["name"], "version": version, "description": ours["description"], "license": ours["license"]}
            (app / file).write_text(json.dumps(content))
        command = ["npm", "sbom", "--sbom-format", "cyclonedx", "--package-lock-only", "--omit", "dev"]
        return subprocess.run(command, cwd=app, check=True, stdout=subprocess.PIPE, text=True).stdout


def valid(bill: str) -> str:
    """The bill, if it is one by the schema of its own version of CycloneDX."""
    version = json.loads(bill)["specVersion"]
    error = JsonStrictValidator(SchemaVersion.from_version(version)).validate_str(bill)
    if error is not None:
        raise SystemExit(f"not a bill of CycloneDX {version}: {error}")
    return bill


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--version", required=True)
    arguments.add_argument("directory", type=pathlib.Path)
    given = arguments.parse_args()
    version = given.version.removeprefix("v")
    bills = {"functions": functions(version), "agent": agent(), "cdk": construct(version), "slack-dev": tool(version)}
    for name, bill in bills.items():
        (given.directory / f"slack-ingress-{name}.cdx.json").write_text(valid(bill))


if __name__ == "__main__":
    main()
