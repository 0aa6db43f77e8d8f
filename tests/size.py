"""Fails when a function has outgrown its bounds: `size.py FILE…`, each the program or its zip.

Lambda fetches the zip and reads the program before a cold start runs it. What grows is a dependency or a feature that
nobody meant to link; `cargo tree -e features` and `cargo bloat` tell which. Raise a bound only with the reason beside it.
"""

import pathlib
import sys
import zipfile
import zlib

# Megabytes of a million bytes. Measured: 5.6 and 2.5 on x86-64, less on arm64. The goal was 8 and 3.5.
BOUNDS = {"program": 6.0, "zip": 2.7}


def sizes(path):
    """Bytes of the program, stripped as it is, and of its zip."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {"program": archive.getinfo("bootstrap").file_size, "zip": path.stat().st_size}
    program = path.read_bytes()
    return {"program": len(program), "zip": len(zlib.compress(program, 9))}


def main():
    over = False
    for path in map(pathlib.Path, sys.argv[1:]):
        for what, size in sizes(path).items():
            too_large = size / 1e6 > BOUNDS[what]
            over |= too_large
            print(f"{path}: {what} {size / 1e6:.2f} MB of {BOUNDS[what]}{': too large' if too_large else ''}")
    return 1 if over or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
