#!/usr/bin/env python3
"""Fails if the agent's package is larger than AgentCore takes: `agent_size.py DIRECTORY`.

AgentCore refuses a deployment of code above these limits, and says so only when it is deployed. An agent usually grows because of a
package that brings many others; `pip install --dry-run` shows which.
"""

from __future__ import annotations

import io
import pathlib
import sys
import tempfile
import zipfile

import archive

# Megabytes. AgentCore's limits, of a million bytes here, which is the smaller reading.
LIMITS = {"zipped": 250, "unpacked": 750}


def sizes(content: bytes) -> dict[str, float]:
    """The megabytes of a zip, and of what is in it."""
    with zipfile.ZipFile(io.BytesIO(content)) as it:
        unpacked = sum(entry.file_size for entry in it.infolist())
    return {"zipped": len(content) / 1e6, "unpacked": unpacked / 1e6}


def problems(found: dict[str, float]) -> list[str]:
    return [f"{what} it has {size:.1f} MB, and AgentCore takes {LIMITS[what]}"
            for what, size in found.items() if size > LIMITS[what]]


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "agent.zip"
        archive.pack(pathlib.Path(sys.argv[1]), file)
        found = sizes(file.read_bytes())
    print(f"{sys.argv[1]}: " + ", ".join(f"{what} {size:.1f} MB of {LIMITS[what]}" for what, size in found.items()))
    for problem in problems(found):
        print(f"{sys.argv[1]}: {problem}", file=sys.stderr)
    return 1 if problems(found) else 0


if __name__ == "__main__":
    sys.exit(main())
