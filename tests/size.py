"""Fails if a function is larger than its bounds: `size.py FILE…`, where each file is the program or its zip.

At a cold start, Lambda fetches the zip and reads the program. A function usually grows because of a dependency or a
cargo feature that nobody meant to link; `cargo tree -e features` and `cargo bloat` show which. If you raise a bound,
write the reason beside it.
"""

import pathlib
import sys
import zipfile
import zlib

# Megabytes of a million bytes. Measured: 6.8 and 3.1 on x86-64, less on arm64. They were 5.6 and 2.5 before lambda_http, which
# is 0.6 MB of the program, and unwinding, which is as much again (DESIGN.md, "Why is a panic a 500").
BOUNDS = {"program": 7.0, "zip": 3.3}


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
