"""What is published: a wheel that imports, with its types and licences, and what it needs."""

from __future__ import annotations

import email
import importlib.metadata
import pathlib
import subprocess
import sys
import zipfile

import slack_ingress_bolt

PACKAGE = pathlib.Path(__file__).resolve().parent.parent


def test_a_wheel_and_a_source_archive_build_and_the_wheel_imports(tmp_path) -> None:
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, PACKAGE], check=True,
                   capture_output=True, timeout=120)
    [wheel], [_] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
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
    assert "# slack-ingress-bolt" in about.get_payload()
    out = subprocess.run(
        [sys.executable, "-c", "import slack_ingress_bolt; print(slack_ingress_bolt.__file__)"], check=True,
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(wheel)}, timeout=60).stdout
    assert str(wheel) in out


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
        assert (PACKAGE / name).read_text() == (PACKAGE.parents[1] / name).read_text()


def test_the_bolt_that_is_tested_is_in_the_range() -> None:
    assert importlib.metadata.version("slack_bolt").startswith("1.")
