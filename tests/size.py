"""Fails if a function is larger than its bounds: `size.py [--features sns,redis] FILE…`, where each file is the program or
its zip, and the features are those that the default build is without.

At a cold start, Lambda fetches the zip and reads the program. A function usually grows because of a dependency or a
cargo feature that nobody meant to link; `cargo tree -e features` and `cargo bloat` show which. If you raise a bound,
write the reason beside it.
"""

import argparse
import pathlib
import sys
import zipfile
import zlib

# Megabytes of a million bytes. The ingress is close under them on x86-64, and smaller on arm64; `make size` prints how large. It
# had 5.6 and 2.5 before lambda_http, which is 0.6 MB of the program, and unwinding, which is as much again (DESIGN.md, "Why is a
# panic a 500").
BOUNDS = {"program": 7.0, "zip": 3.3}

# What a feature adds. Measured on x86-64: SNS 0.17 and 0.05, Redis 0.59 and 0.28, both 0.81 and 0.36. With either of them the
# program is over the bound of the default build, so each is a build of its own (DESIGN.md, "Why are they cargo features").
FEATURES = {"sns": {"program": 0.2, "zip": 0.1}, "redis": {"program": 0.65, "zip": 0.3}}


def sizes(path):
    """The sizes in bytes of the program, which is stripped already, and of its zip."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {"program": archive.getinfo("bootstrap").file_size, "zip": path.stat().st_size}
    program = path.read_bytes()
    return {"program": len(program), "zip": len(zlib.compress(program, 9))}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--features", default="")
    arguments.add_argument("files", nargs="+", type=pathlib.Path)
    given = arguments.parse_args()
    features = [feature for feature in given.features.split(",") if feature]
    over = False
    for path in given.files:
        for what, size in sizes(path).items():
            bound = BOUNDS[what] + sum(FEATURES[feature][what] for feature in features)
            too_large = size / 1e6 > bound
            over |= too_large
            print(f"{path}: {what} {size / 1e6:.2f} MB of {bound:.2f}{': too large' if too_large else ''}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
