"""The steps of release.yml, run on this machine, and what they make.

The functions are those in BOOTSTRAP_DIR, which are built for this machine: so there are those of one architecture, without SNS and
Redis. slack-dev is the file SLACK_DEV, a build for development, so that nothing is compiled for this alone. `gh` publishes nothing here, nobody signs, and the changelog is a copy that has a section of the version. Everything else is
made by the very commands of the workflow, in its order.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import unittest
import unittest.mock
import zipfile

from support import ROOT, environment, make, put_gh, runs, workflow, would_run

import agent_size
import archive
import assets
import sam
import tool
import version

sys.path[:0] = [str(ROOT / "cdk/test/deploy"), str(ROOT / "tests")]
from emulator import ministack  # noqa: E402
from samcli.yamlhelper import yaml_parse  # noqa: E402
from stack import Account  # noqa: E402

MACHINE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
PLATFORM = f"Linux-{platform.machine()}"
# Below target, because the paths that make hands to the CDK are relative to the repository.
WORK = ROOT / "target/release-dry-run"
ASSETS, NOTES, CHANGELOG, GH_LOG = (WORK / it for it in ("assets", "notes.md", "CHANGELOG.md", "gh.log"))
TAG = f"v{version.versions()['Cargo.toml']}"
VERSION = TAG.removeprefix("v")
NOTE = "### Changes\n- This is what users are told."
VARIABLES = {"TAG": TAG, "NOTES": str(NOTES), "CHANGELOG": str(CHANGELOG), "ASSETS": str(ASSETS.relative_to(ROOT)),
             "RELEASED": f"--architectures {MACHINE} --features '' --platforms {PLATFORM}", "GITHUB_REPOSITORY": "owner/repository"}


def setUpModule() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    CHANGELOG.write_text(f"# Changes\n\n## Unreleased\n\n## {VERSION}\n{NOTE}\n")
    VARIABLES["PATH"] = put_gh(WORK / "bin", GH_LOG, ASSETS)
    for step in steps_in_order(workflow("release.yml")["jobs"]):
        if step == "make release-functions":
            functions_of_this_machine()
        elif step == "make release-tool":
            tool_of_this_machine()
        else:
            make(step.removeprefix("make "), **VARIABLES)


def steps_in_order(jobs: dict) -> list[str]:
    """The commands of the jobs, each job after those that it needs."""
    done: list[str] = []
    while left := [name for name in jobs if name not in done]:
        needs = {name: jobs[name].get("needs", []) for name in left}
        done += [name for name in left if set([needs[name]] if isinstance(needs[name], str) else needs[name]) <= {*done}][:1]
    return [run for name in done for run in runs(jobs[name])]


def functions_of_this_machine() -> None:
    """In place of `make release-functions`: its last command, with functions that are built already."""
    built = pathlib.Path(os.environ["BOOTSTRAP_DIR"])
    for name in assets.FUNCTIONS:
        (WORK / "lambda" / name).mkdir(parents=True)
        with zipfile.ZipFile(WORK / "lambda" / name / "bootstrap.zip", "w") as it:
            archive.add(it, "bootstrap", (built / name / "bootstrap").read_bytes(), executable=True)
    *_, command = would_run("release-functions", **VARIABLES, ARCHITECTURE=MACHINE)
    command[command.index("target/lambda")] = str(WORK / "lambda")
    subprocess.run(command, cwd=ROOT, check=True)


def tool_of_this_machine() -> None:
    """In place of `make release-tool`: its last command, with a program that is built already, here and for here: so it may need the
    C library of this machine."""
    *_, command = would_run("release-tool", **VARIABLES, TOOL_PLATFORM=PLATFORM)
    option = command.index("--glibc")
    del command[option:option + 2]
    command[-2] = os.environ["SLACK_DEV"]
    subprocess.run(command, cwd=ROOT, check=True)


def expected() -> dict:
    return assets.expected(VERSION, [MACHINE], [], [PLATFORM])


class Assets(unittest.TestCase):
    def test_the_release_has_each_asset_of_the_list_and_no_other(self):
        self.assertEqual({it.name for it in ASSETS.iterdir()}, {*expected(), "SHA256SUMS"})
        self.assertEqual(assets.check(ASSETS, expected()), [])

    def test_of_both_architectures_and_all_features_it_would_have_these(self):
        names = {*assets.expected("1.2.3")}
        functions = {it for it in names if re.search(r"-(arm64|x86_64)\.zip$", it) and "-sam-" not in it}
        self.assertEqual(len(functions), 2 * (5 + 2 * 2))
        for it in ("slack-ingress-redrive-sns-arm64.zip", "slack-ingress-redis-x86_64.zip", "slack-ingress-agent.zip",
                   "slack-ingress-agent-settle-arm64.zip", "slack-ingress-token-rotation-x86_64.zip", "slack-ingress-sam-arm64.zip",
                   "slack-ingress-cdk-1.2.3.tgz", "slack_ingress_cdk-1.2.3-py3-none-any.whl", "slack_ingress_bolt-1.2.3.tar.gz",
                   "slack-ingress-bolt-1.2.3.tgz", "slack-ingress-functions.cdx.json", "fast-path.schema.json",
                   "slack-dev-Linux-aarch64.tar.gz", "slack-dev-Linux-x86_64.tar.gz", "slack-dev-Darwin-arm64.tar.gz"):
            self.assertIn(it, names)

    def test_one_that_is_missing_one_that_is_too_many_and_one_that_was_changed_are_named(self):
        with changed() as directory:
            (directory / assets.AGENT).unlink()
            self.assertEqual(assets.check(directory, expected()),
                             [f"{assets.AGENT}: is missing", f"{assets.AGENT}: SHA256SUMS does not have its checksum"])
        with changed() as directory:
            (directory / "notes.txt").write_text("")
            with (directory / assets.SBOMS[0]).open("a") as file:
                file.write("\n")
            self.assertEqual(assets.check(directory, expected()),
                             ["notes.txt: does not belong to a release", "notes.txt: SHA256SUMS does not have its checksum",
                              f"{assets.SBOMS[0]}: SHA256SUMS does not have its checksum"])

    def test_what_is_something_else_under_the_right_name_is_named(self):
        plain, other = assets.function_zip("redrive", MACHINE), next(it for it in assets.ARCHITECTURES if it != MACHINE)
        with zipfile.ZipFile(ASSETS / plain) as it:
            program = it.read("bootstrap")
        with_sns = program + b"slack-ingress feature sns;"
        changed_header = bytearray(program)
        struct.pack_into("<H", changed_header, 18, assets.MACHINES[other])
        for_the_other = bytes(changed_header)
        for_x86_64 = program if MACHINE == "x86_64" else for_the_other
        package, tool_archive = assets.construct_packages(VERSION), assets.tool_archive(PLATFORM)
        for name, content, problem in [
            (plain, zipped(bootstrap=with_sns), r"built with the cargo features \['sns'\], and not with \[\]"),
            (plain, zipped(bootstrap=for_the_other), f"was not built for {MACHINE}"),
            (plain, zipped(bootstrap=program, executable=False), "may not be executed"),
            (plain, zipped(bootstrap=program.replace(b"slack-ingress build;", b"something  build;  ")), "none of our functions"),
            (plain, b"no zip", "not a zip file"),
            (assets.AGENT, zipped(bootstrap=program), "has no main.py"),
            (assets.AGENT, agent_with("libraries/for_another.so", for_x86_64), "for_another.so"),
            (assets.sam_zip(MACHINE), sam_without("SemanticVersion"), "no metadata of the Serverless Application Repository"),
            (assets.sam_zip(MACHINE), sam_without("CodeUri"), "has the code"),
            (tool_archive, tarred({"slack-dev": program}), "LICENSE-APACHE"),
            (tool_archive, tarred({"slack-dev": program}, licences=True), "it is not slack-dev"),
            (tool_archive, tarred({"slack-dev": program}, 0o644, licences=True), "may not be executed"),
            (tool_archive, tarred({"slack-dev": for_the_other}, licences=True), f"was not built for {PLATFORM}"),
            (tool_archive, tarred({"slack-dev-of-another": program}, licences=True), "'slack-dev' not found"),
            (tool_archive, b"no archive", "not a gzip file"),
            (package["npm"], (ASSETS / assets.bolt_packages(VERSION)["npm"]).read_bytes(), "it is slack-ingress-bolt"),
            (package["npm"], npm_without(f"functions/{MACHINE}/redrive.zip"), "redrive.zip"),
            (package["npm"], npm_without(".jsii"), "jsii"),
            (package["wheel"], zipped(bootstrap=program), "METADATA"),
            (package["sdist"], (ASSETS / assets.bolt_packages(VERSION)["sdist"]).read_bytes(), "no source distribution"),
            (assets.SBOMS[2], b"{}", "no bill of materials"),
            (assets.SCHEMA, b"{}", "not the schema of this commit"),
        ]:
            # Alone in a directory: all others are missing, which takes no time.
            with self.subTest(asset=name, problem=problem), tempfile.TemporaryDirectory() as directory:
                (pathlib.Path(directory) / name).write_bytes(content)
                problems = [it for it in assets.check(pathlib.Path(directory), expected()) if not it.endswith(": is missing")]
                self.assertEqual(len(problems), 1, problems)
                self.assertRegex(problems[0], problem)

    def test_an_agent_that_is_larger_than_agentcore_takes_is_refused(self):
        content = (ASSETS / assets.AGENT).read_bytes()
        found = agent_size.sizes(content)
        self.assertGreater(found["unpacked"], found["zipped"])
        self.assertAlmostEqual(found["zipped"], len(content) / 1e6)
        for what, size in found.items():
            with self.subTest(what), unittest.mock.patch.dict(agent_size.LIMITS, {what: size - 0.001}):
                with self.assertRaisesRegex(assets.Wrong, f"^{what} it has .* MB, and AgentCore takes"):
                    assets.check_agent(content)
            with self.subTest(what), unittest.mock.patch.dict(agent_size.LIMITS, {what: size}):
                assets.check_agent(content)

    def test_functions_with_a_feature_must_have_it(self):
        with zipfile.ZipFile(ASSETS / assets.function_zip("redrive", MACHINE)) as it:
            program = it.read("bootstrap")
        look = assets.function_check(MACHINE, ("sns",))
        look(zipped(bootstrap=program + b"slack-ingress feature sns;"))
        with self.assertRaisesRegex(assets.Wrong, r"features \[\], and not with \['sns'\]"):
            look(zipped(bootstrap=program))

    def test_the_tool_runs_as_it_is_unpacked(self):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["tar", "-xzf", ASSETS / assets.tool_archive(PLATFORM)], cwd=directory, check=True)
            done = subprocess.run([f"{directory}/slack-dev", "help"], stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn("doctor", done.stdout)

    def test_the_tool_for_a_mac_is_told_from_others(self):
        look, text = assets.tool_check("Darwin-arm64"), b"A Slack to run on your own machine"
        for_a_mac = struct.pack("<II", 0xFEEDFACF, 0x0100000C) + text
        look(tarred({"slack-dev": for_a_mac}, licences=True))
        for content in (struct.pack("<II", 0xFEEDFACF, 0x01000007) + text, text, b"", pathlib.Path("/bin/sh").read_bytes()):
            with self.assertRaisesRegex(assets.Wrong, "was not built for Darwin-arm64"):
                look(tarred({"slack-dev": content}, licences=True))

    def test_a_tool_that_needs_a_newer_c_library_is_not_packed(self):
        with tempfile.TemporaryDirectory() as directory:
            program = pathlib.Path(directory) / "program"
            program.write_bytes(b"\x7fELF\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0")
            self.assertEqual(tool.glibc(program.read_bytes()), (2, 34))
            for most, expected_status in (("2.34", 0), ("2.33", 1)):
                command = [sys.executable, "release/tool.py", "--platform", PLATFORM, "--glibc", most, program, directory]
                done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
                self.assertEqual((done.returncode, "needs glibc 2.34" in done.stderr), (expected_status, bool(expected_status)))

    def test_the_same_tool_is_the_same_archive(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("one", "two"):
                tool.pack(b"a program", pathlib.Path(directory) / name / "archive")
            one, two = ((pathlib.Path(directory) / it / "archive").read_bytes() for it in ("one", "two"))
        self.assertEqual(one, two)

    def test_the_checksums_are_those_that_sha256sum_checks(self):
        command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
        done = subprocess.run(command, cwd=ASSETS, text=True, stdout=subprocess.PIPE, check=True)
        self.assertEqual({it.removesuffix(": OK") for it in done.stdout.splitlines()}, {*expected()})

    def test_no_asset_is_released_with_a_name_that_github_changes(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertIn("a@b.tgz: GitHub would give it another name",
                          assets.check(pathlib.Path(directory), {"a@b.tgz": lambda _: None}))


class Publishing(unittest.TestCase):
    def test_the_release_is_of_the_tag_with_its_notes_and_all_assets(self):
        self.assertEqual(NOTES.read_text(), NOTE + "\n")
        self.assertEqual(gh("release", "create"), [
            ["release", "create", TAG, "--verify-tag", "--title", TAG, "--notes-file", str(NOTES),
             *sorted((f"{VARIABLES['ASSETS']}/{it.name}" for it in ASSETS.iterdir()), key=os.fsencode)]])

    def test_a_tag_that_does_not_fit_is_refused_before_anything_else(self):
        written = make("release-check", check=False, **VARIABLES | {"TAG": "v9.9.9"})
        self.assertIn(f"Cargo.toml has the version {VERSION}, and the tag is v9.9.9", written)
        written = make("release-check", check=False, **VARIABLES | {"CHANGELOG": os.devnull})
        self.assertIn("the changelog has no section", written)

    def test_an_asset_that_is_not_right_is_not_sealed(self):
        with changed() as directory:
            (directory / assets.AGENT).write_bytes(b"")
            written = make("release-seal", check=False, **VARIABLES | {"ASSETS": str(directory)})
            self.assertIn(f"{assets.AGENT}: File is not a zip file", written)


class Construct(unittest.TestCase):
    def test_the_functions_in_the_package_are_those_of_the_release(self):
        package = assets.construct_packages(VERSION)["npm"]
        with tempfile.TemporaryDirectory() as directory:
            shutil.unpack_archive(ASSETS / package, directory, "gztar")
            inside = {it.name: it.read_bytes() for it in (pathlib.Path(directory) / "package/functions" / MACHINE).iterdir()}
        self.assertEqual(inside, {f"{it}.zip": (ASSETS / assets.function_zip(it, MACHINE)).read_bytes() for it in assets.FUNCTIONS})


class Sam(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        with zipfile.ZipFile(ASSETS / assets.sam_zip(MACHINE)) as it:
            it.extractall(cls.directory)
        cls.template = yaml_parse((cls.directory / "template.yaml").read_text())

    def test_but_for_code_architecture_and_metadata_it_is_the_template(self):
        packed, ours = self.template, yaml_parse((ROOT / "template.yaml").read_text())
        self.assertIn("Metadata", packed)
        for name in ("Function", "Redrive"):
            self.assertNotIn("Metadata", packed["Resources"][name])
            ours["Resources"][name].pop("Metadata")
            self.assertEqual(ours["Resources"][name]["Properties"].pop("CodeUri"), ".")
            packed["Resources"][name]["Properties"].pop("CodeUri")
        self.assertEqual(packed["Parameters"].pop("Architecture"), ours["Parameters"].pop("Architecture") |
                         {"AllowedValues": [MACHINE], "Default": MACHINE})
        self.assertEqual({name: it for name, it in packed.items() if name != "Metadata"}, dict(ours))
        type(self).setUpClass()

    def test_it_has_each_of_the_other_architecture_too(self):
        for architecture in assets.ARCHITECTURES:
            template = yaml_parse(sam.template(architecture, VERSION, (ROOT / "template.yaml").read_text()))
            code = {template["Resources"][it]["Properties"]["CodeUri"] for it in ("Function", "Redrive")}
            self.assertEqual(code, {f"slack-ingress-{architecture}.zip", f"slack-ingress-redrive-{architecture}.zip"})

    def test_the_metadata_are_as_the_serverless_application_repository_wants_them(self):
        # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/
        # serverless-sam-template-publishing-applications-metadata-properties.html
        metadata = self.template["Metadata"]["AWS::ServerlessRepo::Application"]
        self.assertRegex(metadata["Name"], r"^[a-zA-Z0-9\-]{1,140}$")
        self.assertRegex(metadata["Author"], r"^[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?$")
        self.assertTrue(1 <= len(metadata["Description"]) <= 256)
        self.assertEqual(metadata["SemanticVersion"], VERSION)
        self.assertEqual(metadata["SpdxLicenseId"], "Apache-2.0")
        self.assertTrue(len(metadata["Labels"]) <= 10)
        for it in metadata["Labels"]:
            self.assertRegex(it, r"^[a-zA-Z0-9+\-_:\/@]{1,127}$")

    def test_it_is_valid_and_sam_puts_the_functions_and_the_metadatas_files_into_s3(self):
        with ministack({}) as emulator:
            account = Account(emulator, self.directory)
            self.run_tool(account, "cfn-lint", "template.yaml")
            self.run_tool(account, "sam", "validate", "--lint", "--template", "template.yaml")
            s3 = account.client("s3")
            s3.create_bucket(Bucket="packed")
            self.run_tool(account, "sam", "package", "--template-file", "template.yaml", "--s3-bucket", "packed",
                          "--output-template-file", "packaged.yaml")
            packaged = yaml_parse((self.directory / "packaged.yaml").read_text())
            metadata = packaged["Metadata"]["AWS::ServerlessRepo::Application"]
            for url, file in [
                (packaged["Resources"]["Function"]["Properties"]["CodeUri"], f"slack-ingress-{MACHINE}.zip"),
                (packaged["Resources"]["Redrive"]["Properties"]["CodeUri"], f"slack-ingress-redrive-{MACHINE}.zip"),
                (metadata["LicenseUrl"], "LICENSE-APACHE"), (metadata["ReadmeUrl"], "README.md"),
            ]:
                self.assertTrue(url.startswith("s3://packed/"), url)
                body = s3.get_object(Bucket="packed", Key=url.removeprefix("s3://packed/"))["Body"].read()
                self.assertEqual(body, (self.directory / file).read_bytes(), file)

    def run_tool(self, account: Account, name: str, *arguments: str) -> None:
        program = pathlib.Path(sys.executable).with_name(name)
        done = subprocess.run([program, *arguments], cwd=self.directory, env=account.env, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)


class BillsOfMaterials(unittest.TestCase):
    def bill(self, name: str) -> dict:
        return json.loads((ASSETS / f"slack-ingress-{name}.cdx.json").read_text())

    def needed_directly(self, bill: dict) -> set[str]:
        names = {it["bom-ref"]: it["name"] for it in bill["components"]}
        [root] = [it for it in bill["dependencies"] if it["ref"] == bill["metadata"]["component"]["bom-ref"]]
        return {names[it] for it in root["dependsOn"]}

    def test_that_of_the_functions_has_each_direct_dependency_with_its_checksum_and_no_tool_of_development(self):
        manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
        bill = self.bill("functions")
        self.assertEqual(self.needed_directly(bill), {*manifest["dependencies"]})
        names = {it["name"] for it in bill["components"]}
        self.assertEqual(names & {"divan", "proptest", "stateright", "test-support"}, set())
        self.assertGreater(len(names), 100)
        lock = {(it["name"], it["version"]): it.get("checksum") for it in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
        for it in bill["components"]:
            self.assertEqual([digest["content"] for digest in it["hashes"]], [lock[it["name"], it["version"]]])

    def test_that_of_the_tool_has_each_direct_dependency_and_what_the_functions_do_without(self):
        manifest = tomllib.loads((ROOT / "slack-dev/Cargo.toml").read_text())
        bill = self.bill("slack-dev")
        self.assertEqual(self.needed_directly(bill), {*manifest["dependencies"]})
        self.assertEqual((bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]), ("slack-dev", VERSION))
        names = {it["name"] for it in bill["components"]}
        # Of all three machines, and no tool of development.
        self.assertTrue({"slack-ingress", "linux-raw-sys", "security-framework"} <= names)
        self.assertEqual(names & {"divan", "proptest", "stateright", "test-support"}, set())

    def test_that_of_the_agent_is_its_list_of_packages(self):
        lines = (ROOT / "agent/requirements.txt").read_text().splitlines()
        pinned = {tuple(it.split("==")) for it in lines if not it.startswith("#")}
        bill = self.bill("agent")
        self.assertEqual({(it["name"], it["version"]) for it in bill["components"]}, pinned)
        self.assertTrue({"bedrock-agentcore", "strands-agents"} <= {name for name, _ in pinned})

    def test_that_of_the_construct_has_its_peers(self):
        peers = json.loads((ROOT / "cdk/package.json").read_text())["peerDependencies"]
        bill = self.bill("cdk")
        self.assertEqual(self.needed_directly(bill), {*peers})
        self.assertEqual(bill["metadata"]["component"]["name"], "slack-ingress-cdk")


class Deployment(unittest.TestCase):
    """deploy.yml, as far as it needs neither GitHub nor AWS."""

    directory = WORK / "deploy"

    def download(self, check: bool = True, **more: str) -> str:
        return make("deployables-of-release", f"DEPLOYABLES={self.directory.relative_to(ROOT)}", check=check,
                    **VARIABLES | {"ASSETS": str(WORK / "downloaded"), "ARCHITECTURE": MACHINE} | more)

    def test_what_a_release_has_is_verified_and_the_cdk_takes_it(self):
        self.download()
        verified = gh("attestation", "verify")
        self.assertEqual({pathlib.Path(it[2]).name for it in verified}, {*expected(), "SHA256SUMS"})
        for it in verified:
            self.assertEqual(it[3:], ["--repo", "owner/repository", "--signer-workflow",
                                      "owner/repository/.github/workflows/release.yml", "--source-ref", f"refs/tags/{TAG}"])
        self.assertEqual((self.directory / "redrive.zip").read_bytes(), (ASSETS / assets.function_zip("redrive", MACHINE)).read_bytes())
        self.synthesize()

    def synthesize(self) -> None:
        """What `make deploy-built` would run, but for the deployment itself."""
        given = "-c agent=true -c rotatingTokens=true"
        [command] = [it for it in would_run("deploy-built", f"DEPLOYABLES={self.directory.relative_to(ROOT)}", ARCHITECTURE=MACHINE,
                                            CONTEXT=given) if it[0] == "npm"]
        settings = command[command.index("-c"):]
        out = WORK / "cdk.out"
        subprocess.run([ROOT / "cdk/node_modules/.bin/cdk", "synth", "--quiet", "--output", str(out), *settings], cwd=ROOT / "cdk",
                       env=environment(CI="true"), check=True, capture_output=True)
        released = {assets.function_zip(it, MACHINE) for it in assets.FUNCTIONS} | {assets.AGENT}
        by_content = {(ASSETS / it).read_bytes(): it for it in released}
        deployed = set()
        for manifest in out.glob("*.assets.json"):
            sources = [it["source"] for it in json.loads(manifest.read_text())["files"].values()]
            deployed |= {by_content.get((out / it["path"]).read_bytes()) for it in sources if it["path"].endswith(".zip")}
        self.assertEqual(deployed, released)

    def test_with_a_file_that_its_checksum_does_not_fit_there_is_nothing_to_deploy(self):
        with changed() as directory:
            (directory / assets.AGENT).write_bytes(b"something else")
            path = put_gh(WORK / "bin-of-another", WORK / "another.log", directory)
            written = self.download(check=False, PATH=path)
            self.assertIn(f"{assets.AGENT}: FAILED", written)
            self.assertEqual([*self.directory.iterdir()], [])

    def test_the_summary_has_each_output_of_each_stack(self):
        with tempfile.TemporaryDirectory() as directory:
            outputs = pathlib.Path(directory) / "outputs.json"
            outputs.write_text(json.dumps({"SlackIngress": {"RequestUrl": "https://a.example/slack/events"}, "B": {"Put": "a |\nb"}}))
            command = [sys.executable, "release/summary.py", outputs]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        self.assertIn("### SlackIngress\n\n| output | value |\n|---|---|\n| RequestUrl | `https://a.example/slack/events` |\n", done.stdout)
        self.assertIn("| Put | `a \\| b` |\n", done.stdout)


def gh(*words: str) -> list[list[str]]:
    """What `gh` was told, of the commands that begin with these words."""
    said = [json.loads(line) for line in GH_LOG.read_text().splitlines()]
    return [it for it in said if it[:len(words)] == [*words]]


@contextlib.contextmanager
def changed():
    """A copy of the assets, to break one."""
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory) / "assets"
        shutil.copytree(ASSETS, copy)
        yield copy


def zipped(bootstrap: bytes, executable: bool = True) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as it:
        archive.add(it, "bootstrap", bootstrap, executable)
    return file.getvalue()


def tarred(files: dict[str, bytes], mode: int = 0o755, licences: bool = False) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as it:
        for name, content in (files | (dict.fromkeys(tool.WITH_IT, b"") if licences else {})).items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            it.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def agent_with(name: str, content: bytes) -> bytes:
    file = io.BytesIO((ASSETS / assets.AGENT).read_bytes())
    with zipfile.ZipFile(file, "a") as it:
        archive.add(it, name, content)
    return file.getvalue()


def sam_without(line: str) -> bytes:
    """The packed template without the lines that have this in them."""
    file = io.BytesIO()
    with zipfile.ZipFile(ASSETS / assets.sam_zip(MACHINE)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "template.yaml":
                content = re.sub(rf".*{line}.*\n".encode(), b"", content)
            new.writestr(entry, content)
    return file.getvalue()


def npm_without(name: str) -> bytes:
    """The package of the constructs without one of its files."""
    file = io.BytesIO()
    package = ASSETS / assets.construct_packages(VERSION)["npm"]
    with tarfile.open(package) as old, tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as new:
        for entry in old:
            if entry.name != f"package/{name}":
                new.addfile(entry, old.extractfile(entry))
    return file.getvalue()


if __name__ == "__main__":
    unittest.main()
