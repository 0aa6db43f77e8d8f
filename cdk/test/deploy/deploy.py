#!/usr/bin/env python3
"""Deploys slack-ingress to an emulator of AWS, posts to it as Slack does, and deletes it again.

    BOOTSTRAP_DIR=DIRECTORY cdk/test/deploy/deploy.py [PART ...]

The parts, all of which run if none is named:
    lint   cfn-lint and sam validate on all templates, also on that of the agent's stack, which no emulator can deploy; and
           settings for which the functions in BOOTSTRAP_DIR were not built, which must be refused
    cdk    cdk bootstrap, deploy as `make deploy` does, update, an update that must be refused, destroy
    sam    sam deploy of template.yaml, update, delete
    iam    cdk deploy to an emulator that enforces the IAM roles of the functions

BOOTSTRAP_DIR contains the functions, built for this machine: `slack-ingress/bootstrap`, `redrive/bootstrap`,
`agent-dispatch/bootstrap`, `agent-settle/bootstrap`, `token-rotation/bootstrap`. MiniStack is started on a free port of the loopback interface and is always stopped in the
end. With DEPLOY_MINISTACK_URL, the parts `cdk` and `sam` use a MiniStack that runs already. Its AWS_ENDPOINT_URL must
be its own address, because its functions inherit that variable; the MiniStack that the Rust tests use does not have it.

Run this with the Python of an environment that has cdk/requirements.txt, after `npm ci` in cdk/. Nothing here can reach
AWS: every tool gets the emulator's address and made-up credentials.

The files, in reading order: parts.py and iam.py have the parts, ingress.py the checks of a deployed ingress, canary.py those of
its canary, stack.py
the deployment, slack_requests.py the signed requests, emulator.py MiniStack, tools.py the programs, report.py the
printing.
"""

from __future__ import annotations

import pathlib
import signal
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.dont_write_bytecode = True
# tests: servers.py, which starts and stops servers. examples: dedup_guard.py. demo: slack.py, which signs requests.
sys.path[:0] = [str(ROOT / directory) for directory in ("tests", "examples", "demo")]

try:
    from iam import part_iam
    from parts import part_cdk, part_lint, part_sam
    from report import Failed
    from tools import agent_dir, cdk_cli, function_dir, tool
except ModuleNotFoundError as missing:
    raise SystemExit(f"{missing.name} is not installed: {sys.executable} -m pip install -r cdk/requirements.txt")

PARTS = {"lint": part_lint, "cdk": part_cdk, "sam": part_sam, "iam": part_iam}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise SystemExit(__doc__)
    # Whatever is missing is reported before anything is started.
    for function in ("slack-ingress", "redrive", "agent-dispatch", "agent-settle"):
        function_dir(function)
    agent_dir(), cdk_cli(), tool("ministack"), tool("sam"), tool("cfn-lint")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    start = time.monotonic()
    for name in names or PARTS:
        with tempfile.TemporaryDirectory(prefix="slack-ingress-deploy-") as work:
            try:
                PARTS[name](pathlib.Path(work))
            except Failed as failure:
                print(f"\nFAILED in {name}: {failure}", file=sys.stderr)
                return 1
    print(f"\nAll checks passed ({time.monotonic() - start:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
