#!/usr/bin/env python3
"""What a release has: the list of its assets, and whether each is what its name says.

    release/assets.py --version 0.1.0 DIRECTORY

Fails if a file is missing, if there is one that does not belong there, or if one is of another kind: a function for another
architecture or with other cargo features, a tool for another machine, an agent with libraries for another machine, a package without
the functions.

The functions are looked at as the CDK looks at them before it deploys them (cdk/lib/common/bootstrap.ts).
"""

from __future__ import annotations

import argparse
import io
import json
import pathlib
import re
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable

import agent_size
import checksums

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCHITECTURES = ("arm64", "x86_64")
FUNCTIONS = ("slack-ingress", "redrive", "agent-dispatch", "agent-settle", "token-rotation")
# The functions that send events, and what the default build of them does without.
SENDERS = ("slack-ingress", "redrive")
FEATURES = ("sns", "redis")
# What the construct has besides the default build: its prop `topic`.
IN_THE_CONSTRUCT = ("sns",)

# e_machine of an ELF header.
MACHINES = {"arm64": 0xB7, "x86_64": 0x3E}
# GitHub gives an asset another name if it has another character in it, and then SHA256SUMS would name a file that is not there.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# The developer's tool, for the machines of people. Each is named as `uname -s` and `uname -m` name it, so that one command finds
# the right one everywhere.
TOOL = "slack-dev"
PLATFORMS = ("Linux-aarch64", "Linux-x86_64", "Darwin-arm64")
# Of a Mach-O header: the magic number of one of 64 bits, and cputype.
MACH_O, MACH_O_ARM64 = 0xFEEDFACF, 0x0100000C

AGENT = "slack-ingress-agent.zip"
# For editors, beside the rules of a user. It is the repository's file.
SCHEMA = "fast-path.schema.json"
SBOMS = ("slack-ingress-functions.cdx.json", "slack-ingress-agent.cdx.json", "slack-ingress-cdk.cdx.json",
         "slack-ingress-slack-dev.cdx.json")


class Wrong(Exception):
    """An asset is not what it should be."""


def function_zip(name: str, architecture: str, feature: str = "") -> str:
    """The name of a function's zip: `slack-ingress-redrive-sns-arm64.zip`."""
    parts = ["slack-ingress", *([name] if name != "slack-ingress" else []), *([feature] if feature else []), architecture]
    return "-".join(parts) + ".zip"


def sam_zip(architecture: str) -> str:
    return f"slack-ingress-sam-{architecture}.zip"


def tool_archive(platform: str) -> str:
    return f"{TOOL}-{platform}.tar.gz"


def construct_packages(version: str) -> dict[str, str]:
    """The packages of the constructs, by their kind."""
    return {"npm": f"slack-ingress-cdk-{version}.tgz", "wheel": f"slack_ingress_cdk-{version}-py3-none-any.whl",
            "sdist": f"slack_ingress_cdk-{version}.tar.gz"}


def bolt_packages(version: str) -> dict[str, str]:
    """The packages for Bolt apps, by their kind."""
    return {"npm": f"slack-ingress-bolt-{version}.tgz", "wheel": f"slack_ingress_bolt-{version}-py3-none-any.whl",
            "sdist": f"slack_ingress_bolt-{version}.tar.gz"}


def expected(version: str, architectures: Iterable[str] = ARCHITECTURES,
             features: Iterable[str] = FEATURES, platforms: Iterable[str] = PLATFORMS) -> dict[str, Callable[[bytes], None]]:
    """Each asset of a release, with what looks at its content."""
    architectures, features = tuple(architectures), tuple(features)
    found: dict[str, Callable[[bytes], None]] = {}
    for architecture in architectures:
        for name in FUNCTIONS:
            found[function_zip(name, architecture)] = function_check(architecture, ())
        for feature in features:
            for name in SENDERS:
                found[function_zip(name, architecture, feature)] = function_check(architecture, (feature,))
        found[sam_zip(architecture)] = sam_check(architecture, version)
    for platform in platforms:
        found[tool_archive(platform)] = tool_check(platform)
    inside = [f"functions/{architecture}/{name}" for architecture in architectures for name in in_the_construct(features)]
    found[AGENT] = check_agent
    construct, bolt = construct_packages(version), bolt_packages(version)
    found[construct["npm"]] = npm_check("slack-ingress-cdk", version, [".jsii", "dist/index.js", "dist/index.d.ts", *inside])
    found[construct["wheel"]] = wheel_check("slack_ingress_cdk", version)
    found[construct["sdist"]] = sdist_check("slack-ingress-cdk", version)
    found[bolt["npm"]] = npm_check("slack-ingress-bolt", version, ["dist/index.js", "dist/index.d.ts"])
    found[bolt["wheel"]] = wheel_check("slack_ingress_bolt", version)
    found[bolt["sdist"]] = sdist_check("slack-ingress-bolt", version)
    found[SCHEMA] = check_schema
    for name in SBOMS:
        found[name] = sbom_check(version if name != "slack-ingress-agent.cdx.json" else None)
    return found


def in_the_construct(features: Iterable[str]) -> list[str]:
    """The zips in the construct's package, for one architecture."""
    with_features = [f"{name}-{feature}.zip" for feature in IN_THE_CONSTRUCT if feature in features for name in SENDERS]
    return [f"{name}.zip" for name in FUNCTIONS] + with_features


def check(directory: pathlib.Path, assets: dict[str, Callable[[bytes], None]]) -> list[str]:
    """What is wrong with a directory of assets, a line for each finding."""
    there = {it.name for it in directory.iterdir()}
    wanted = {*assets, checksums.FILE}
    problems = [f"{name}: is missing" for name in sorted(wanted - there)]
    problems += [f"{name}: does not belong to a release" for name in sorted(there - wanted)]
    problems += [f"{name}: GitHub would give it another name" for name in sorted(wanted) if not NAME.fullmatch(name)]
    for name in sorted(there & {*assets}):
        try:
            assets[name]((directory / name).read_bytes())
        except (Wrong, zipfile.BadZipFile, tarfile.TarError, KeyError, ValueError) as error:
            problems.append(f"{name}: {error}")
    if checksums.FILE in there:
        problems += checksums.problems(directory)
    return problems


def function_check(architecture: str, features: tuple[str, ...]) -> Callable[[bytes], None]:
    def look(content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            program = archive.read("bootstrap")
            mode = archive.getinfo("bootstrap").external_attr >> 16
        if not mode & 0o111:
            raise Wrong("its bootstrap may not be executed")
        if machine(program) != MACHINES[architecture]:
            raise Wrong(f"it was not built for {architecture}")
        if b"slack-ingress build;" not in program:
            raise Wrong("it is none of our functions")
        has = {feature for feature in FEATURES if f"slack-ingress feature {feature};".encode() in program}
        if has != set(features):
            raise Wrong(f"it was built with the cargo features {sorted(has)}, and not with {sorted(features)}")
    return look


def machine(program: bytes) -> int | None:
    """The machine that an ELF file is for, or None if it is none."""
    return struct.unpack_from("<H", program, 18)[0] if program[:4] == b"\x7fELF" and len(program) > 20 else None


def tool_check(platform: str) -> Callable[[bytes], None]:
    def look(content: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            entry = archive.getmember(TOOL)
            program = archive.extractfile(entry).read()  # type: ignore[union-attr]
            for name in ("LICENSE-APACHE", "LICENSE-MIT"):
                archive.getmember(name)
        if not entry.mode & 0o111:
            raise Wrong(f"its {TOOL} may not be executed")
        if not is_for(platform, program):
            raise Wrong(f"it was not built for {platform}")
        # The first words of its own help.
        if b"A Slack to run on your own machine" not in program:
            raise Wrong(f"it is not {TOOL}")
    return look


def is_for(platform: str, program: bytes) -> bool:
    if platform == "Darwin-arm64":
        return len(program) > 8 and struct.unpack_from("<II", program) == (MACH_O, MACH_O_ARM64)
    return machine(program) == MACHINES[{"Linux-aarch64": "arm64", "Linux-x86_64": "x86_64"}[platform]]


def check_agent(content: bytes) -> None:
    """AgentCore starts main.py at the root of the zip, on arm64, and takes no more than so much."""
    if too_large := agent_size.problems(agent_size.sizes(content)):
        raise Wrong("; ".join(too_large))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = set(archive.namelist())
        for name in ("main.py", "slack_agent/__init__.py", "bedrock_agentcore/__init__.py", "strands/__init__.py"):
            if name not in names:
                raise Wrong(f"it has no {name}")
        libraries = [name for name in names if re.search(r"\.so(\.|$)", name)]
        others = [name for name in libraries if machine(archive.read(name)) != MACHINES["arm64"]]
    if not libraries or others:
        raise Wrong(f"its libraries are not all for arm64: {others or 'it has none'}")


def check_schema(content: bytes) -> None:
    if content != (ROOT / "docs" / SCHEMA).read_bytes():
        raise Wrong("it is not the schema of this commit")


def sam_check(architecture: str, version: str) -> Callable[[bytes], None]:
    def look(content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            template = archive.read("template.yaml").decode()
            for name in SENDERS:
                zipped = function_zip(name, architecture)
                if f"CodeUri: {zipped}\n" not in template:
                    raise Wrong(f"no function of its template has the code {zipped}")
                function_check(architecture, ())(archive.read(zipped))
            for name in ("LICENSE-APACHE", "LICENSE-MIT", "README.md", "samconfig.toml"):
                archive.getinfo(name)
        if "AWS::ServerlessRepo::Application:" not in template or f"SemanticVersion: {version}\n" not in template:
            raise Wrong("its template has no metadata of the Serverless Application Repository for this version")
    return look


def npm_check(name: str, version: str, files: list[str]) -> Callable[[bytes], None]:
    def look(content: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            names = set(archive.getnames())
            package = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
        if (package["name"], package["version"]) != (name, version):
            raise Wrong(f"it is {package['name']} {package['version']}")
        missing = [it for it in files if f"package/{it}" not in names]
        if missing:
            raise Wrong(f"it lacks {missing}")
    return look


def wheel_check(name: str, version: str) -> Callable[[bytes], None]:
    def look(content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            metadata = archive.read(f"{name}-{version}.dist-info/METADATA").decode()
            archive.getinfo(f"{name}/__init__.py")
        if f"\nVersion: {version}\n" not in metadata:
            raise Wrong(f"its metadata are not of version {version}")
    return look


def sdist_check(name: str, version: str) -> Callable[[bytes], None]:
    def look(content: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            metadata = [it for it in archive.getnames() if it.count("/") == 1 and it.endswith("/PKG-INFO")]
            text = archive.extractfile(metadata[0]).read().decode() if metadata else ""  # type: ignore[union-attr]
        if f"\nName: {name}\n" not in text or f"\nVersion: {version}\n" not in text:
            raise Wrong(f"it is no source distribution of {name} {version}")
    return look


def sbom_check(version: str | None) -> Callable[[bytes], None]:
    """That it is a bill of CycloneDX which names something. Its schema is looked at when it is made (sbom.py)."""
    def look(content: bytes) -> None:
        bill = json.loads(content)
        if bill.get("bomFormat") != "CycloneDX" or not bill.get("components"):
            raise Wrong("it is no bill of materials of CycloneDX, or an empty one")
        if version and bill["metadata"]["component"]["version"] != version:
            raise Wrong(f"it is of version {bill['metadata']['component']['version']}")
    return look


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--version", required=True)
    # Fewer than all: a dry run has the functions and the tool of one machine.
    arguments.add_argument("--architectures", default=",".join(ARCHITECTURES))
    arguments.add_argument("--features", default=",".join(FEATURES))
    arguments.add_argument("--platforms", default=",".join(PLATFORMS))
    arguments.add_argument("directory", type=pathlib.Path)
    given = arguments.parse_args()
    features = [it for it in given.features.split(",") if it]
    assets = expected(given.version.removeprefix("v"), given.architectures.split(","), features, given.platforms.split(","))
    problems = check(given.directory, assets)
    print(*problems, sep="\n", file=sys.stderr)
    if not problems:
        print(f"{len(assets) + 1} assets, each of its kind")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
