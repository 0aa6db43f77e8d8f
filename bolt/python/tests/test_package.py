"""What is published: a wheel that works, with its types, README and licences, and what it needs."""

from __future__ import annotations

import ast
import email
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile
from typing import Any

import pytest
from messages import event, record, sample
from packaging.requirements import Requirement

import slack_ingress_bolt

PACKAGE = pathlib.Path(__file__).resolve().parent.parent
PROJECT = PACKAGE.parents[1]
# All of them in one process, where the wheel is built once.
pytestmark = pytest.mark.xdist_group("package")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the source archive, and with the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PACKAGE], check=True,
                   capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def installed(built: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel, unpacked by pip into a folder of its own."""
    [wheel], folder = built.glob("*.whl"), tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile",
                    "--disable-pip-version-check", "--target", folder, wheel], check=True, timeout=120)
    return folder


def run(*arguments: Any, path: pathlib.Path, cwd: pathlib.Path, **environment: str) -> str:
    """What Python says, in a folder where the package's source is not."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, timeout=120,
                          env=kept | {"PYTHONPATH": str(path)} | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_all_modules_types_and_licences_and_says_what_it_needs(built: pathlib.Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        modules = {it.name for it in (PACKAGE / "slack_ingress_bolt").glob("*.py")}
        assert {f"slack_ingress_bolt/{it}" for it in modules | {"py.typed"}} == {
            it for it in names if it.startswith("slack_ingress_bolt/")}
        [metadata] = [it for it in names if it.endswith("/METADATA")]
        about = email.message_from_bytes(archive.read(metadata))
    assert about["Name"] == "slack-ingress-bolt"
    assert about["Version"] == slack_ingress_bolt.__version__
    assert about["Requires-Python"] == ">=3.10"
    assert about["License-Expression"] == "MIT OR Apache-2.0"
    assert about.get_all("License-File") == ["LICENSE-APACHE", "LICENSE-MIT"]
    needed = [it for it in about.get_all("Requires-Dist") if "extra ==" not in it]
    assert len(needed) == 1
    assert needed[0].startswith("slack-bolt")
    assert set(about.get_all("Provides-Extra")) == {"aws", "async"}
    assert about["Description-Content-Type"] == "text/markdown"
    assert "# slack-ingress-bolt" in about.get_payload()


def test_the_source_archive_has_the_package_and_nothing_of_the_project(built: pathlib.Path) -> None:
    [archive] = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {pathlib.PurePath(it).parts[1] for it in opened.getnames()}
    # The last three are put there by hatchling.
    assert names <= {
        "slack_ingress_bolt", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "pyproject.toml", "PKG-INFO", ".gitignore"}


def test_the_wheel_runs_a_listener(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    code = """if True:
        import json, pathlib, slack_bolt, slack_ingress_bolt
        from slack_bolt.authorization import AuthorizeResult
        found = AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-a", bot_id="B1", bot_user_id="U1")
        app = slack_bolt.App(authorize=lambda enterprise_id, team_id: found)
        app.event("app_mention")(lambda event: print("heard", event["text"]))
        print(slack_ingress_bolt.SqsHandler(app)(json.loads(pathlib.Path("event.json").read_text())))
        print(slack_ingress_bolt.__file__)
        """
    (tmp_path / "event.json").write_text(json.dumps(event(record(sample("app_mention")))))
    heard, line, answer, file = run("-c", code, path=installed, cwd=tmp_path).splitlines()
    assert heard.startswith("heard <@")
    assert json.loads(line)["outcome"] == "done"
    assert answer == "{'batchItemFailures': []}"
    assert pathlib.Path(file).is_relative_to(installed)


def test_the_wheels_worker_starts(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert "--queue-url" in run("-m", "slack_ingress_bolt", "--help", path=installed, cwd=tmp_path)


CONSUMER = """
from slack_bolt import App
from slack_bolt.async_app import AsyncApp

from slack_ingress_bolt import FastPathWarning, SqsHandler

handler = SqsHandler(App(), table="events", metrics=False, response_origins=["http://127.0.0.1"])
answer: dict[str, object] = handler({"Records": []}, None)
same: SqsHandler = SqsHandler(AsyncApp())
warning: type[Warning] = FastPathWarning
# Each of these is an error: mypy would say that the comment is not needed.
SqsHandler(App(), tabel="events")  # type: ignore[call-arg]
SqsHandler("app:app")  # type: ignore[arg-type]
handler([])  # type: ignore[arg-type]
"""


def test_the_wheels_types_are_those_of_a_strict_consumer(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    out = run("-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "consumer.py", path=installed, cwd=tmp_path,
              MYPYPATH=str(installed))
    assert out.startswith("Success")


def test_all_that_it_imports_comes_with_what_it_needs() -> None:
    """boto3 and botocore are the extra `aws`, slack_sdk comes with slack_bolt, and types are for the checks alone."""
    imported = set()
    for file in (PACKAGE / "slack_ingress_bolt").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {it.name.partition(".")[0] for it in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.partition(".")[0])
    foreign = {it for it in imported - sys.stdlib_module_names if not it.startswith("mypy_boto3")}
    assert foreign == {"slack_bolt", "slack_sdk", "boto3", "botocore"}


def test_both_packages_have_the_projects_version() -> None:
    """A release is one tag, by whose version its files are named."""
    [version] = re.findall('^version = "(.+)"', (PROJECT / "Cargo.toml").read_text(), re.MULTILINE)
    javascript = json.loads((PROJECT / "bolt/javascript/package.json").read_text())["version"]
    assert (slack_ingress_bolt.__version__, javascript) == (version, version)


def test_an_app_needs_neither_boto3_nor_aiohttp_to_be_imported(tmp_path) -> None:
    """A function of Lambda's has boto3 when there is a table; an App has no aiohttp."""
    for name in ("boto3", "botocore", "aiohttp"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')\n")
    code = """if True:
        import os, slack_bolt, slack_ingress_bolt
        app = slack_bolt.App(token="xoxb-a", signing_secret="a", token_verification_enabled=False)
        slack_ingress_bolt.SqsHandler(app)
        try:
            slack_ingress_bolt.SqsHandler(app, table="a-table")
        except RuntimeError as error:
            print(error)
        """
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60,
                         env={"PYTHONPATH": f"{tmp_path}:{PACKAGE}"}).stdout
    assert "pip install 'slack-ingress-bolt[aws]'" in out


def test_the_licences_are_those_of_the_project() -> None:
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        assert (PACKAGE / name).read_text() == (PROJECT / name).read_text()


def test_the_bolt_that_is_tested_is_in_the_range_and_the_readme_names_both() -> None:
    [text] = re.findall(r'^dependencies = \["(slack_bolt.+)"\]$', (PACKAGE / "pyproject.toml").read_text(), re.MULTILINE)
    needed, tested = Requirement(text), importlib.metadata.version("slack_bolt")
    assert needed.specifier.contains(tested)
    [least] = [it.version for it in needed.specifier if it.operator == ">="]
    readme = (PACKAGE / "README.md").read_text()
    assert f"slack_bolt {least} or later" in readme
    assert f"The tests run with {tested}, and have run once with {least}." in readme
