"""Fails if a function is larger than its bounds: `size.py FILE…`, where each file is the program or its zip.

At a cold start, Lambda fetches the zip and reads the program. A function usually grows because of a dependency or a
cargo feature that nobody meant to link; `cargo tree -e features` and `cargo bloat` show which. If you raise a bound,
write the reason beside it.
"""

import pathlib
import sys
import zipfile
import zlib

# Megabytes of a million bytes. Measured: 5.6 and 2.5 on x86-64, less on arm64. The goal was 8 and 3.5.
BOUNDS = {"program": 6.0, "zip": 2.7}


def sizes(path):
    """The sizes in bytes of the program, which is stripped already, and of its zip."""
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
