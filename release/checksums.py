#!/usr/bin/env python3
"""The checksums of a release, as `sha256sum --check` reads them.

    release/checksums.py DIRECTORY      writes SHA256SUMS there, for all other files
"""

from __future__ import annotations

import hashlib
import pathlib
import sys

FILE = "SHA256SUMS"


def of(directory: pathlib.Path) -> dict[str, str]:
    """The SHA-256 of each file but SHA256SUMS, in hexadecimal digits, by its name."""
    return {it.name: hashlib.sha256(it.read_bytes()).hexdigest() for it in sorted(directory.iterdir()) if it.name != FILE}


def write(directory: pathlib.Path) -> None:
    (directory / FILE).write_text("".join(f"{digest}  {name}\n" for name, digest in of(directory).items()))


def problems(directory: pathlib.Path) -> list[str]:
    """Which files SHA256SUMS does not name, or names with another checksum, or which are not there."""
    lines = (directory / FILE).read_text().splitlines()
    named = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    actual = of(directory)
    return [f"{name}: {FILE} does not have its checksum" for name in sorted(named.keys() | actual.keys())
            if named.get(name) != actual.get(name)]


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
