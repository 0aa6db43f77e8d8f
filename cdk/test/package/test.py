#!/usr/bin/env python3
"""Makes the packages of the constructs, and deploys with them as somebody would who has nothing else of this repository.

    BOOTSTRAP_DIR=DIRECTORY PYTHON_WITH_CDK=PROGRAM cdk/test/package/test.py [--update]

1. `bin/package.ts` makes the npm package and the wheel, with the functions in BOOTSTRAP_DIR, which are built for this machine.
   For the other architecture each function is a stand-in, the header of a program that no test runs.
2. The programs in cdk/README.md and in docs/deploy.md ("In your own CDK app") are taken from the pages as they stand there,
   into clean directories: TypeScript as a CommonJS and as an ES module, JavaScript, Python. Each is compiled, if it is
   TypeScript, and synthesizes its stacks.
3. What comes out must be the same in every language, and as in `templates/`. With --update it is written there.
4. The page's app for this machine's architecture is deployed to MiniStack, and posted to as Slack does.

PYTHON_WITH_CDK is a Python of an environment that has requirements.txt. Node.js gets what is in package.json from npm, or from
npm's cache. Run this with the Python of an environment that has cdk/requirements.txt.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CDK = ROOT / "cdk"
sys.dont_write_bytecode = True
sys.path[:0] = [str(CDK / "test/deploy"), *(str(ROOT / directory) for directory in ("tests", "examples", "demo"))]

from emulator import ministack  # noqa: E402
from ingress import Deployed  # noqa: E402
from report import Failed, check, step  # noqa: E402
from stack import Account, remove_metric_math  # noqa: E402
from tools import ARCHITECTURE, cdk_cli, function_dir, node, run  # noqa: E402

FUNCTIONS = ("slack-ingress", "redrive", "agent-dispatch", "agent-settle", "token-rotation")
# e_machine of an ELF header.
MACHINES = {"arm64": 183, "x86_64": 62}
SECTIONS = {
    # The heading above the programs of a page, and the one below them.
    "README": (CDK / "README.md", "# slack-ingress-cdk", "## In the repository"),
    "deploy": (ROOT / "docs/deploy.md", "### In your own CDK app", "## With SAM"),
}
# What each program makes, by its page, its language and its number there. Those that make the same must synthesize the same.
PROGRAMS = {
    "README-ts-1": "ingress", "README-js-1": "ingress", "README-python-1": "ingress",
    "deploy-ts-1": "consumer", "deploy-ts-2": "agent", "deploy-ts-3": "pages", "deploy-python-1": "agent",
}


def main(update: bool) -> int:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="slack-ingress-package-") as directory:
        work = pathlib.Path(directory)
        try:
            step("the packages")
            packages = make_packages(work)
            step("apps that install them, from the pages")
            templates = synthesized(work, packages)
            step("the same in every language, and as it was")
            check_templates(templates, update)
            step("deployed to the emulator")
            deploy(work)
        except Failed as failure:
            print(f"\nFAILED: {failure}", file=sys.stderr)
            return 1
    print(f"\nAll checks passed ({time.monotonic() - start:.0f} s).")
    return 0


def make_packages(work: pathlib.Path) -> dict[str, pathlib.Path]:
    """Makes the npm package and the wheel."""
    for architecture in MACHINES:
        (work / "functions" / architecture).mkdir(parents=True)
        for name in FUNCTIONS:
            program = stand_in(architecture)
            if architecture == ARCHITECTURE:
                program = (pathlib.Path(function_dir(name)) / "bootstrap").read_bytes()
            with zipfile.ZipFile(work / "functions" / architecture / f"{name}.zip", "w") as archive:
                entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
                entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
                archive.writestr(entry, program)
    run([node(), "--import", "tsx", "bin/package.ts", "--functions", str(work / "functions"), "--out", str(work / "out")],
        dict(os.environ))
    [npm], [wheel] = (work / "out/js").glob("*.tgz"), (work / "out/python").glob("*.whl")
    return {"npm": npm, "wheel": wheel}


def stand_in(architecture: str) -> bytes:
    """The header of a program for a machine."""
    fields = struct.pack("<HHIQQQIHHHHHH", 3, MACHINES[architecture], 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0)
    return b"\x7fELF\x02\x01\x01" + bytes(9) + fields


def programs() -> dict[str, str]:
    """The programs on the pages, by page, language and number."""
    found = {}
    for page, (path, begin, end) in SECTIONS.items():
        text = path.read_text()
        section = text[text.index(begin):text.index(end)]
        for language in ("ts", "js", "python"):
            for number, program in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL), 1):
                found[f"{page}-{language}-{number}"] = program
    check("the pages have these programs", sorted(found), sorted(PROGRAMS))
    return found


def synthesized(work: pathlib.Path, packages: dict[str, pathlib.Path]) -> dict[str, dict[str, dict]]:
    """The templates of each app, by the app's name and the stack's."""
    apps = programs()
    installed = work / "installed"
    installed.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, installed)
    npm = [shutil.which("npm"), "--no-audit", "--no-fund", "--prefer-offline", "--silent"]
    run([*npm, "ci"], dict(os.environ), installed)
    run([*npm, "install", "--no-save", str(packages["npm"])], dict(os.environ), installed)
    check("one copy of aws-cdk-lib is installed, and nothing of the package's development",
          sorted(it.name for it in (installed / "node_modules").iterdir() if re.search("cdk|jsii|constructs", it.name)),
          ["@aws-cdk", "aws-cdk-lib", "constructs", "slack-ingress-cdk"])
    wheel = work / "wheel"
    python = os.environ.get("PYTHON_WITH_CDK") or sys.exit("PYTHON_WITH_CDK must name a Python that has aws-cdk-lib")
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--target",
         str(wheel), str(packages["wheel"])], dict(os.environ), work)

    # Two at a time, as there are cores.
    compilations, runs = [], {}
    for kind, module in (("commonjs", "commonjs"), ("esm", "module"), ("javascript", "commonjs")):
        directory = app_directory(work, kind)
        # Node.js looks for a package in the directories above too, but here it must find none by chance.
        (directory / "node_modules").symlink_to(installed / "node_modules")
        (directory / "package.json").write_text(json.dumps({"name": kind, "private": True, "type": module}))
        language = "js" if kind == "javascript" else "ts"
        own = {name: program for name, program in apps.items() if f"-{language}-" in name}
        for name, program in own.items():
            (directory / f"{name}.{language}").write_text(program)
        if language == "ts":
            # Once is enough for the declarations: it takes as long as all the rest of the compilation.
            compilations.append((directory, kind == "commonjs"))
        for name in own:
            runs[f"{name} ({kind})"] = ([node(), f"{name}.js"], directory, name)
    directory = app_directory(work, "python")
    for name, program in apps.items():
        if "-python-" in name:
            (directory / f"{name}.py").write_text(program)
            runs[name] = ([python, f"{name}.py"], directory, name, {"PYTHONPATH": str(wheel)})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda it: compile_strictly(*it), compilations))
        return dict(zip(runs, pool.map(lambda it: templates_of(*it), runs.values())))


def app_directory(work: pathlib.Path, kind: str) -> pathlib.Path:
    """A clean directory for an app, with the agent that the pages name."""
    directory = work / kind
    (directory / "agent").mkdir(parents=True)
    (directory / "agent/main.py").write_text("")
    return directory


def compile_strictly(directory: pathlib.Path, with_declarations: bool) -> None:
    """Compiles the app, with everything strict, and if asked the declarations of all that it has installed."""
    options = {"strict": True, "noUncheckedIndexedAccess": True, "module": "nodenext", "target": "es2022", "types": ["node"],
               "skipLibCheck": not with_declarations}
    (directory / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.ts"]}))
    run([node(), "node_modules/typescript/bin/tsc"], dict(os.environ), directory)


def templates_of(command: list[str], directory: pathlib.Path, name: str, more: dict[str, str] | None = None) -> dict[str, dict]:
    """Runs an app as the CDK's command line does, and returns the templates of its stacks."""
    out = directory / f"{name}.out"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    run(command, environment | {"CDK_OUTDIR": str(out)} | (more or {}), directory)
    return {path.name.removesuffix(".template.json"): json.loads(path.read_text()) for path in out.glob("*.template.json")}


def check_templates(templates: dict[str, dict[str, dict]], update: bool) -> None:
    first: dict[str, tuple[str, str]] = {}
    for name, stacks in sorted(templates.items()):
        kind = PROGRAMS[name.split(" ")[0]]
        text = canonical(stacks)
        if kind in first:
            check(f"{name} is as {first[kind][0]}", text == first[kind][1], True)
        first.setdefault(kind, (name, text))
    for kind, (name, text) in first.items():
        if kind in ("consumer", "pages"):
            continue  # what is ours in it is in the ingress's
        path = HERE / "templates" / f"{kind}.json"
        if update:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        check(f"{name} is as templates/{path.name} (if it should not be: --update)", path.exists() and path.read_text() == text, True)


def canonical(stacks: dict[str, dict]) -> str:
    """The templates as text, without what depends on the bytes of the functions, the agent and the OpenAPI documents, and
    without the architecture, which is another one in one of the programs."""
    text = json.dumps(stacks, indent=1, sort_keys=True, ensure_ascii=False)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<asset>", text)
    text = re.sub(r'"InlinePayload": ".*"', '"InlinePayload": "<an OpenAPI document>"', text)
    text = re.sub(r'"(arm64|x86_64)"', '"<architecture>"', text)
    return text + "\n"


def deploy(work: pathlib.Path) -> None:
    """Deploys the app that is for this machine, and has an event come through it."""
    out = work / {"x86_64": "javascript/README-js-1.out", "arm64": "commonjs/README-ts-1.out"}[ARCHITECTURE]
    template = json.loads((out / "Slack.template.json").read_text())
    functions = [it["Properties"] for it in template["Resources"].values() if it["Type"] == "AWS::Lambda::Function"]
    check("the functions of this app are for this machine", [it["Architectures"] for it in functions], [[ARCHITECTURE]] * 2)
    remove_metric_math(template)
    (out / "Slack.template.json").write_text(json.dumps(template))
    with ministack({}) as emulator:
        account = Account(emulator, work)
        account.cdk_bootstrap()
        run([cdk_cli(), "deploy", "--app", str(out), "--require-approval", "never", "--progress", "events"], account.env, work)
        resources = account.client("cloudformation").describe_stack_resources(StackName="Slack")["StackResources"]
        ids = {(it["ResourceType"], it["LogicalResourceId"]): it["PhysicalResourceId"] for it in resources}
        physical = lambda kind, name: next(it for (type, id), it in ids.items() if type == kind and name in id)  # noqa: E731
        # The page's app has three outputs. What else is looked at has no output there.
        unseen = {"TableName": physical("AWS::DynamoDB::Table", ""),
                  "FunctionName": physical("AWS::Lambda::Function", "IngressFunction"),
                  "DeadLetterQueueUrl": physical("AWS::SQS::Queue", "DeadLetter")}
        deployed = Deployed(account, unseen | account.outputs_of("Slack"))
        deployed.check_signatures()
        deployed.check_an_event()


if __name__ == "__main__":
    sys.exit(main("--update" in sys.argv[1:]))
