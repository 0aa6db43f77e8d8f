#!/usr/bin/env python3
"""The SAM template with the functions that it deploys, in a zip for each architecture that has its functions there.

    release/sam.py --version 0.1.0 ASSETS

The template is template.yaml, but for three things: its code is the zips beside it in place of what `sam build` would build,
its architecture is theirs, and it says what the Serverless Application Repository wants to know.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import zipfile

from archive import add
from assets import ARCHITECTURES, SENDERS, function_zip, sam_zip

ROOT = pathlib.Path(__file__).resolve().parents[1]

# LicenseUrl and ReadmeUrl are files beside the template; `sam package` puts them into S3, from where `sam publish` wants them.
# The repository knows one licence only. Whoever takes the functions from here may choose, as everywhere in this project.
METADATA = """
Metadata:
  AWS::ServerlessRepo::Application:
    Name: slack-ingress
    Description: The front door for a Slack app that does slow work. It verifies, de-duplicates, enqueues, and answers in milliseconds.
    Author: slack-ingress
    SpdxLicenseId: Apache-2.0
    LicenseUrl: LICENSE-APACHE
    ReadmeUrl: README.md
    Labels: [slack, sqs, lambda, dynamodb, idempotency]
    SemanticVersion: {version}
"""

README = """# slack-ingress {version} for SAM, {architecture}

The front door for a Slack app that does slow work: it verifies what Slack sends, puts each event on an SQS queue once, and
answers in milliseconds. What your app does with the events is behind the queue.

In this directory are the template and the two functions that it deploys, built for {architecture}. With the SAM CLI and
credentials for your account:

    sam deploy

CloudFormation takes code only from S3. `sam deploy` puts the two zips there first, into a bucket that it makes for itself; with
`--s3-bucket NAME` into one of yours. `sam package --s3-bucket NAME --output-template-file packaged.yaml` does that alone, for
those who deploy in another way or publish to the Serverless Application Repository (`sam publish --template packaged.yaml`).

The parameters are at the top of template.yaml. The stack's outputs have the URL for the Slack app (`RequestUrl`), the queue
(`QueueUrl`), and the secret that wants the app's signing secret (`SigningSecretArn`).
"""


def template(architecture: str, version: str, text: str) -> str:
    """template.yaml with the zips of an architecture as its code."""
    text = replace_once(text, r"\nParameters:\n", METADATA.format(version=version) + "\nParameters:\n")
    text = replace_once(text, r"AllowedValues: \[arm64, x86_64\]\n    Default: arm64\n",
                        f"AllowedValues: [{architecture}]\n    Default: {architecture}\n")
    for binary in SENDERS:
        text = replace_once(
            text,
            rf"    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties:\n        Binary: {binary}\n"
            r"    Properties:\n      (Description: .*)\n      CodeUri: \.\n",
            rf"    Properties:\n      \1\n      CodeUri: {function_zip(binary, architecture)}\n")
    return text


def replace_once(text: str, pattern: str, by: str) -> str:
    text, count = re.subn(pattern, by, text)
    if count != 1:
        raise SystemExit(f"template.yaml has {count} times what sam.py replaces once: {pattern}")
    return text


def pack(assets: pathlib.Path, architecture: str, version: str) -> None:
    with zipfile.ZipFile(assets / sam_zip(architecture), "w") as archive:
        add(archive, "template.yaml", template(architecture, version, (ROOT / "template.yaml").read_text()).encode())
        add(archive, "README.md", README.format(version=version, architecture=architecture).encode())
        for name in ("LICENSE-APACHE", "LICENSE-MIT", "samconfig.toml"):
            add(archive, name, (ROOT / name).read_bytes())
        for name in SENDERS:
            zipped = function_zip(name, architecture)
            add(archive, zipped, (assets / zipped).read_bytes())


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--version", required=True)
    arguments.add_argument("assets", type=pathlib.Path)
    given = arguments.parse_args()
    for architecture in ARCHITECTURES:
        if (given.assets / function_zip("slack-ingress", architecture)).exists():
            pack(given.assets, architecture, given.version.removeprefix("v"))


if __name__ == "__main__":
    main()
