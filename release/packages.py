#!/usr/bin/env python3
"""The packages for npm and PyPI among the assets, under names that GitHub keeps.

    release/packages.py target/packages target/package ASSETS

jsii calls the npm package of the constructs `slack-ingress-cdk@0.1.0.jsii.tgz`, and GitHub would replace the `@`.
"""

from __future__ import annotations

import pathlib
import shutil
import sys


def collect(bolt: pathlib.Path, construct: pathlib.Path, assets: pathlib.Path) -> None:
    for file in bolt.iterdir():
        shutil.copyfile(file, assets / file.name)
    for file in (construct / "python").iterdir():
        shutil.copyfile(file, assets / file.name)
    for file in (construct / "js").iterdir():
        shutil.copyfile(file, assets / file.name.replace("@", "-").replace(".jsii.tgz", ".tgz"))


if __name__ == "__main__":
    collect(*(pathlib.Path(it) for it in sys.argv[1:4]))
