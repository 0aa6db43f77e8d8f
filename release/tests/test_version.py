"""Which commits can be released as which tag."""

from __future__ import annotations

import json
import pathlib
import shutil
import tempfile
import unittest

from support import ROOT

import version

CHANGELOG = """# Changes

## Unreleased
- A

## 1.2.3 (27 November 2026)
### Changes
- B

## 1.2.2

## 0.1.0
- D

## 0.1.0
- E
"""


class Notes(unittest.TestCase):
    def test_the_notes_are_the_section_of_the_version_without_its_heading(self):
        self.assertEqual(version.notes(CHANGELOG, "1.2.3"), "### Changes\n- B")

    def test_a_section_that_is_not_there_is_empty_or_is_there_twice_gives_none(self):
        for it in ("1.2", "1.2.2", "0.1.0", "9.9.9", "Unreleased)"):
            self.assertEqual(version.notes(CHANGELOG, it), "", it)


class Versions(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for path in version.versions():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, self.root / path)
        [self.version] = set(version.versions().values())
        self.changelog = f"## {self.version}\n- something\n"

    def problems(self, tag: str = "") -> list[str]:
        return version.problems(tag or f"v{self.version}", self.changelog, self.root)

    def test_this_commit_can_be_released_as_its_version_once_the_changelog_has_it(self):
        self.assertEqual(self.problems(), [])
        self.changelog = "## Unreleased\n- something\n"
        [problem] = self.problems()
        self.assertIn("no section", problem)

    def test_any_package_with_another_version_is_named(self):
        for path in version.versions():
            with self.subTest(path=path):
                file = self.root / path
                text = file.read_text()
                if path.endswith("package-lock.json"):
                    lock = json.loads(text)
                    lock["packages"][""]["version"] = "9.9.9"
                    file.write_text(json.dumps(lock))
                elif path.endswith(".lock"):
                    ours = 'name = "slack-ingress"\nversion = "{}"'
                    file.write_text(text.replace(ours.format(self.version), ours.format("9.9.9")))
                else:
                    file.write_text(text.replace(f'"{self.version}"', '"9.9.9"', 1))
                self.assertEqual(self.problems(), [f"{path} has the version 9.9.9, and the tag is v{self.version}"])
                file.write_text(text)

    def test_each_place_in_the_repository_where_a_package_has_this_version_is_looked_at(self):
        # Every manifest of a package that is given on.
        manifests = {"Cargo.toml", "slack-dev/Cargo.toml", "cdk/package.json", "bolt/javascript/package.json", "bolt/python/pyproject.toml"}
        self.assertTrue(manifests <= version.versions().keys())

    def test_what_is_no_version_of_three_numbers_is_no_tag(self):
        for tag in (self.version, "v1.2", "v1.2.3-rc.1", "v01.2.3", "v1.2.3\n", "", "v1.2.3 "):
            with self.subTest(tag=tag):
                [problem] = version.problems(tag, self.changelog, self.root)
                self.assertIn("is no tag of a release", problem)


if __name__ == "__main__":
    unittest.main()
