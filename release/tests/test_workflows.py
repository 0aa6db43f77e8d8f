"""What the workflows of releases and deployments must keep to, whatever else is changed in them."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from support import ROOT, environment, make, needed, runs, steps, workflow, would_run

import assets

RELEASE, DEPLOY = workflow("release.yml"), workflow("deploy.yml")
ATTEST = "actions/attest-build-provenance@"
CREDENTIALS = "aws-actions/configure-aws-credentials@"


def index(job: dict, what: str) -> int:
    """Where in a job a step is, by its command or action."""
    [found] = [number for number, step in enumerate(steps(job)) if step.get("run") == what or step.get("uses", "").startswith(what)]
    return found


class Thin(unittest.TestCase):
    def test_each_step_is_one_target_of_the_makefile(self):
        targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
        for name, content in (("release.yml", RELEASE), ("deploy.yml", DEPLOY)):
            for job in content["jobs"].values():
                for run in runs(job):
                    with self.subTest(workflow=name, run=run):
                        match = re.fullmatch(r"make ([a-z-]+)", run)
                        self.assertIsNotNone(match, "it does something that no dry run would see")
                        self.assertIn(match[1], targets)

    def test_what_is_handed_on_between_jobs_is_where_the_targets_put_it(self):
        for content, directories in ((RELEASE, {"target/assets"}), (DEPLOY, {"target/deploy", "cdk/outputs.json"})):
            paths = {step["with"]["path"] for job in content["jobs"].values() for step in steps(job)
                     if re.match("actions/(up|down)load-artifact@", step.get("uses", ""))}
            self.assertEqual(paths, directories)

    def test_a_tag_is_a_word_of_the_shell_and_never_of_make(self):
        self.assertEqual(RELEASE["env"], {"TAG": "${{ github.ref_name }}"})
        strange = "v0.1.0$(shell touch target/a-tag-was-run);`false`"
        written = make("release-check", check=False, TAG=strange)
        self.assertIn(f"{strange!r} is no tag of a release", written)
        self.assertNotIn("$(TAG)", (ROOT / "Makefile").read_text())


class Concurrency(unittest.TestCase):
    def test_no_workflow_that_is_called_has_the_group_of_its_caller(self):
        callers = sorted(path.name for path in (ROOT / ".github/workflows").glob("*.yml"))
        called = [(name, it) for name in callers for it in calls(workflow(name))]
        self.assertIn(("release.yml", "ci.yml"), called)
        for caller, name in called:
            with self.subTest(caller=caller, called=name):
                # In both of them `github.workflow` is the name of the caller.
                groups = [group for it in (caller, name) for group in groups_of(workflow(it), workflow(caller)["name"])]
                self.assertEqual(len(groups), len(set(groups)), "GitHub cancels it: a deadlock for the concurrency group")


class Release(unittest.TestCase):
    jobs = RELEASE["jobs"]

    def publishing(self) -> str:
        [name] = [name for name, job in self.jobs.items() if "write" in job["permissions"].values()]
        return name

    def test_one_job_may_write_and_it_waits_for_all_others(self):
        name = self.publishing()
        self.assertEqual(needed(self.jobs, name), {*self.jobs} - {name})
        self.assertNotIn("if", self.jobs[name], "a condition could let it run although one has failed")

    def test_all_of_ci_has_passed_before_anything_is_signed(self):
        calling = [name for name, job in self.jobs.items() if job.get("uses") == "$/.github/workflows/ci.yml"]
        self.assertEqual(len(calling), 1)
        self.assertNotIn("if", self.jobs[calling[0]])
        self.assertIn(calling[0], needed(self.jobs, self.publishing()))
        self.assertIn("workflow_call", workflow("ci.yml")["on"])

    def test_versions_and_changelog_are_looked_at_before_anything_is_built_signed_or_published(self):
        first = [name for name, job in self.jobs.items() if not job.get("needs")]
        self.assertEqual([runs(self.jobs[name]) for name in first], [["make release-check"]])
        job = self.jobs[self.publishing()]
        order = [index(job, it) for it in ("make release-check", "make release-seal", ATTEST, "make release-publish")]
        self.assertEqual(order, sorted(order))

    def test_everything_that_is_published_is_attested_the_checksums_too(self):
        job = self.jobs[self.publishing()]
        self.assertEqual(steps(job)[index(job, ATTEST)]["with"], {"subject-path": "target/assets/*"})
        [command] = [it for it in would_run("release-publish", TAG="v0.1.0") if it[0] == "gh"]
        self.assertEqual(command[-1], "target/assets/*")

    def test_the_functions_are_signed_as_the_job_that_built_them_has_made_them(self):
        job = self.jobs[self.publishing()]
        downloads = [step["with"] for step in steps(job) if "download-artifact@" in step.get("uses", "")]
        # The later download replaces the files of the earlier one.
        self.assertEqual([it.get("name", it.get("pattern")) for it in downloads], ["assets", "functions-*", "tool-*"])
        self.assertEqual({it["path"] for it in downloads}, {"target/assets"})
        self.assertLess(max(n for n, step in enumerate(steps(job)) if step.get("with") in downloads), index(job, "make release-seal"))

    def test_the_job_that_may_write_installs_nothing(self):
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        # rustup's rustc installs a toolchain when it is asked for anything.
        (directory / "rustc").write_text(f"#!/bin/sh\ntouch {directory}/asked\n")
        (directory / "rustc").chmod(0o755)
        for run in runs(self.jobs[self.publishing()]):
            commands = would_run(run.removeprefix("make "), TAG="v0.1.0", PATH=f"{directory}{os.pathsep}{os.environ['PATH']}")
            self.assertTrue({it[0] for it in commands} <= {"python3", "gh"}, commands)
        self.assertFalse((directory / "asked").exists())

    def test_functions_are_built_for_each_architecture_with_each_feature_of_the_list(self):
        [job] = [job for job in self.jobs.values() if "make release-functions" in runs(job)]
        self.assertEqual(tuple(job["strategy"]["matrix"]["architecture"]), assets.ARCHITECTURES)
        self.assertEqual(steps(job)[index(job, "make release-functions")]["env"], {"ARCHITECTURE": "${{ matrix.architecture }}"})
        for architecture in assets.ARCHITECTURES:
            commands = would_run("release-functions", ARCHITECTURE=architecture)
            expected = []
            for feature in (*assets.FEATURES, ""):
                expected.append(["make", "build", f"FEATURES={feature}"])
                expected.append(["python3", "release/functions.py", "collect", "--architecture", architecture, "--feature", feature,
                                 "target/lambda", "target/assets"])
            self.assertEqual(commands, expected)
            [built] = [it for it in would_run("build", "FEATURES=sns", ARCHITECTURE=architecture) if it[:2] == ["cargo", "lambda"]]
            self.assertEqual(option(built, "--features"), "dispatch,sns")
            self.assertEqual(option(built, "--target"), {"arm64": "aarch64", "x86_64": "x86_64"}[architecture] + "-unknown-linux-gnu")

    def test_the_tool_is_built_for_each_platform_of_the_list_on_a_machine_that_can_build_it(self):
        [job] = [job for job in self.jobs.values() if "make release-tool" in runs(job)]
        runners = {it["platform"]: it["runner"] for it in job["strategy"]["matrix"]["include"]}
        self.assertEqual(tuple(runners), assets.PLATFORMS)
        self.assertEqual(steps(job)[index(job, "make release-tool")]["env"], {"TOOL_PLATFORM": "${{ matrix.platform }}"})
        for platform, runner in runners.items():
            *_, built, packed = would_run("release-tool", TOOL_PLATFORM=platform)
            self.assertEqual(option(packed, "--platform"), platform)
            self.assertEqual(built[built.index("--profile"):][:4], ["--profile", "tool", "-p", "slack-dev"])
            if platform == "Darwin-arm64":
                self.assertRegex(runner, "^macos-")
                self.assertEqual((built[:2], packed[-2:]), (["cargo", "build"], ["target/tool/slack-dev", "target/assets"]))
            else:
                # By cargo-lambda, with an older C library than the runner's.
                self.assertEqual((built[:3], option(built, "--target")),
                                 (["cargo", "lambda", "build"], platform.removeprefix("Linux-") + "-unknown-linux-gnu"))
                self.assertEqual((option(packed, "--glibc"), packed[-2:]),
                                 ("2.34", ["target/lambda/slack-dev/bootstrap", "target/assets"]))


class Deploy(unittest.TestCase):
    jobs = DEPLOY["jobs"]

    def test_a_setting_in_json_gets_through_the_shell_make_and_npm_as_the_guide_quotes_it(self):
        guide = (ROOT / "docs/deploy.md").read_text()
        [command] = re.findall(r'`(make deploy CONTEXT="-c \'approvals=[^`]*)`', guide)
        [context] = re.findall(r"`(-c 'approvals=[^`]*)`", guide)
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        # The real npm, with a script that shows its arguments in place of the deployment.
        (directory / "package.json").write_text(json.dumps({"scripts": {"deploy": "node show.js"}}))
        (directory / "show.js").write_text("console.log(JSON.stringify(process.argv.slice(2)))")
        (directory / "npm").write_text(f'#!/bin/sh\ncd {directory} && exec {shutil.which("npm")} "$@"\n')
        (directory / "npm").chmod(0o755)
        variables = environment(PATH=f"{directory}{os.pathsep}{os.environ['PATH']}")
        built = f"make --silent --no-print-directory --directory {ROOT} deploy-built"
        command = command.replace("make deploy", built)
        # Of a person's command, in both shells; and of the environment, as deploy.yml has it from the variable of GitHub's.
        strange = "-c 'approvals={\"create_card\": \"\\u0027 \\u0024(HOME)\"}'"
        ways = [(shell, command, {}, "asker") for shell in ("bash", "zsh") if shutil.which(shell)]
        ways += [("bash", built, {"CONTEXT": it}, who) for it, who in ((context, "asker"), (strange, "' $(HOME)"))]
        for shell, line, more, who in ways:
            with self.subTest(shell=shell, line=line, **more):
                done = subprocess.run([shell, "-c", line], env=variables | more, text=True, stdout=subprocess.PIPE, check=True)
                given = [it for it in json.loads(done.stdout) if it.startswith("approvals=")]
                self.assertEqual([json.loads(it.removeprefix("approvals=")) for it in given], [{"create_card": who}])

    def test_only_the_job_that_deploys_may_become_the_role(self):
        for name, job in self.jobs.items():
            with self.subTest(job=name):
                deploys = "make deploy-built" in runs(job)
                self.assertEqual(job["permissions"].get("id-token"), "write" if deploys else None)
                self.assertEqual("environment" in job, deploys)
                self.assertEqual("${{ vars." in str(job), deploys)
                self.assertEqual(any(step.get("uses", "").startswith(CREDENTIALS) for step in steps(job)), deploys)
                self.assertNotIn("secrets.", str(job))

    def test_the_job_that_deploys_builds_nothing_and_installs_before_it_has_credentials(self):
        [job] = [job for job in self.jobs.values() if "make deploy-built" in runs(job)]
        self.assertEqual(runs(job), ["make deploy-packages", "make deploy-built", "make deploy-summary"])
        order = [index(job, it) for it in ("make deploy-packages", CREDENTIALS, "make deploy-built")]
        self.assertEqual(order, sorted(order))
        [install] = [it for it in would_run("deploy-packages") if it[0] == "npm"]
        self.assertIn("--ignore-scripts", install)
        self.assertEqual([it[0] for it in would_run("deploy-built")], ["cd", "npm"])

    def test_it_deploys_what_the_other_jobs_make_for_the_architecture_that_was_chosen(self):
        for architecture in assets.ARCHITECTURES:
            [command] = [it for it in would_run("deploy-built", ARCHITECTURE=architecture) if it[0] == "npm"]
            settings = dict(it.split("=", 1) for it in command if "=" in it)
            self.assertEqual(settings.pop("architecture"), architecture)
            self.assertEqual({it.removeprefix("../target/deploy/") for it in settings.values()},
                             {f"{name}.zip" for name in (*assets.FUNCTIONS, "agent")})
        self.assertEqual(DEPLOY["env"], {"ARCHITECTURE": "${{ inputs.architecture }}"})


def calls(content: dict) -> set[str]:
    """The workflows of this repository that a workflow calls, those that they call in turn too."""
    its = {job["uses"].rpartition("/")[2] for job in content["jobs"].values() if "/.github/workflows/" in job.get("uses", "")}
    return its.union(*(calls(workflow(it)) for it in its))


def groups_of(content: dict, started: str) -> set[str]:
    """The concurrency groups of a workflow and of its jobs, in a run of the workflow with the name `started`."""
    its = [it["concurrency"] for it in (content, *content["jobs"].values()) if "concurrency" in it]
    return {re.sub(r"\$\{\{ *github\.workflow *\}\}", started, it if isinstance(it, str) else it["group"]) for it in its}


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


if __name__ == "__main__":
    unittest.main()
