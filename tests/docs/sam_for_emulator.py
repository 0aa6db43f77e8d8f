"""`sam deploy` of a template as it lies there, but for what the emulator refuses: an alarm on an expression becomes one on its first
metric, as for the CDK. Run with the Python that the SAM CLI is installed for."""

from __future__ import annotations

import json
import os
import pathlib
import sys

from for_emulator import without_expressions
from samcli.yamlhelper import yaml_parse

CHANGED = pathlib.Path("template.for-emulator.json")  # beside the zips, which it names by their paths

template = yaml_parse(pathlib.Path("template.yaml").read_text())
for it in template["Resources"].values():
    without_expressions(it)
CHANGED.write_text(json.dumps(template))
sam = pathlib.Path(sys.executable).with_name("sam")
os.execv(sam, [str(sam), *sys.argv[1:], "--template-file", str(CHANGED)])
