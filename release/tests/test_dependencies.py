"""Every list of packages in the repository gets updates, and is looked at for known holes."""

from __future__ import annotations

import pathlib
import re
import subprocess
import unittest

import yaml
from support import ROOT, workflow

TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def directories(pattern: str) -> set[str]:
    """The directories with a file of such a name, as Dependabot writes them."""
    found = {str(pathlib.PurePosixPath("/", it).parent) for it in TRACKED if re.fullmatch(pattern, it.rsplit("/", 1)[-1])}
    assert found, f"no file is called {pattern}"
    return found


# For each of Dependabot's ecosystems the files that it reads. The crates of a workspace share the lockfile at its root.
MANIFESTS = {"cargo": "Cargo\\.lock", "npm": "package\\.json", "pip": "requirements.*\\.txt|pyproject\\.toml"}


class Dependabot(unittest.TestCase):
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]

    def test_each_directory_with_a_manifest_gets_updates_and_no_other_is_named(self):
        for ecosystem, pattern in MANIFESTS.items():
            with self.subTest(ecosystem=ecosystem):
                [update] = [it for it in self.updates if it["package-ecosystem"] == ecosystem]
                self.assertEqual(set(update["directories"]), directories(pattern))

    def test_the_workflows_actions_get_updates(self):
        [update] = [it for it in self.updates if it["package-ecosystem"] == "github-actions"]
        self.assertEqual(update["directory"], "/")

    def test_nothing_is_taken_on_the_day_it_comes_out(self):
        for update in self.updates:
            self.assertGreaterEqual(update["cooldown"]["default-days"], 7)


class Audit(unittest.TestCase):
    jobs = workflow("deny.yml")["jobs"]

    def test_cargo_deny_looks_at_each_lockfile(self):
        matrix = self.jobs["deny"]["strategy"]["matrix"]["include"]
        manifests = {it["manifest"].replace("Cargo.toml", "Cargo.lock") for it in matrix}
        self.assertEqual(manifests, {it for it in TRACKED if it.endswith("Cargo.lock")})

    def test_each_package_of_npm_has_a_lockfile_and_each_list_of_pip_is_pinned(self):
        # `make audit` goes by the lockfiles and the lists that are in git.
        self.assertEqual(directories("package\\.json"), directories("package-lock\\.json"))
        for path in (it for it in TRACKED if re.search(r"requirements[^/]*\.txt$", it)):
            for line in (ROOT / path).read_text().splitlines():
                with self.subTest(file=path, line=line):
                    self.assertRegex(line, r"^(#.*|-r \S+\.txt|[A-Za-z0-9._\[\]-]+==\S+( *;.*| +#.*)?|)$")

    def test_all_of_it_is_looked_at_on_each_push_and_each_night(self):
        self.assertIn("make audit", [step.get("run") for job in self.jobs.values() for step in job["steps"]])
        for name in ("ci.yml", "nightly.yml"):
            called = [job.get("uses") for job in workflow(name)["jobs"].values()]
            self.assertIn("$/.github/workflows/deny.yml", called)


if __name__ == "__main__":
    unittest.main()
