#!/usr/bin/env python3
"""slack-dev as an asset: the program in an archive that keeps its right to be executed, which no download does.

    release/tool.py --platform Linux-x86_64 [--glibc 2.34] target/lambda/slack-dev/bootstrap target/assets

With `--glibc` it fails if a newer C library is needed to run it. The archive is the same for the same program on every day.
"""

from __future__ import annotations

import argparse
import gzip
import io
import pathlib
import re
import sys
import tarfile

from assets import PLATFORMS, ROOT, TOOL, tool_archive

WITH_IT = ("LICENSE-APACHE", "LICENSE-MIT")


def pack(program: bytes, file: pathlib.Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.GzipFile(file, "wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content, mode in [(TOOL, program, 0o755), *((it, (ROOT / it).read_bytes(), 0o644) for it in WITH_IT)]:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))


def glibc(program: bytes) -> tuple[int, int]:
    """The newest version of the C library that the program names."""
    return max(((int(it[1]), int(it[2])) for it in re.finditer(rb"\0GLIBC_(\d+)\.(\d+)", program)), default=(0, 0))


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--platform", required=True, choices=PLATFORMS)
    arguments.add_argument("--glibc")
    arguments.add_argument("program", type=pathlib.Path)
    arguments.add_argument("out", type=pathlib.Path)
    given = arguments.parse_args()
    program = given.program.read_bytes()
    needed = glibc(program)
    if given.glibc and needed > tuple(map(int, given.glibc.split("."))):
        print(f"{given.program} needs glibc {needed[0]}.{needed[1]}, and may need {given.glibc}", file=sys.stderr)
        return 1
    pack(program, given.out / tool_archive(given.platform))
    return 0


if __name__ == "__main__":
    sys.exit(main())
