#!/usr/bin/env python3
"""The outputs of the stacks as tables in Markdown: `summary.py cdk/outputs.json`."""

from __future__ import annotations

import json
import pathlib
import sys


def summary(outputs: dict[str, dict[str, str]]) -> str:
    lines = []
    for stack, its_outputs in sorted(outputs.items()):
        lines += [f"### {stack}", "", "| output | value |", "|---|---|"]
        # A bar would end the cell, and a newline the table.
        lines += [f"| {name} | `{' '.join(value.split()).replace('|', chr(92) + '|')}` |" for name, value in sorted(its_outputs.items())]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary(json.loads(pathlib.Path(sys.argv[1]).read_text())))
