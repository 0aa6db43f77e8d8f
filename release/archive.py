#!/usr/bin/env python3
"""A directory as a zip in which nothing depends on the machine or the day: `archive.py DIRECTORY FILE`.

AgentCore takes the agent as such a zip. Every file is readable by everybody, because AgentCore's user is another one.
"""

from __future__ import annotations

import pathlib
import sys
import zipfile


def pack(directory: pathlib.Path, file: pathlib.Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(it for it in directory.rglob("*") if it.is_file()):
            add(archive, path.relative_to(directory).as_posix(), path.read_bytes(), bool(path.stat().st_mode & 0o100))


def add(archive: zipfile.ZipFile, name: str, content: bytes, executable: bool = False) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr, entry.compress_type = (0o100755 if executable else 0o100644) << 16, zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


if __name__ == "__main__":
    pack(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
