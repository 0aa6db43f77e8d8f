"""The rules of docs/migrate-bolt.md, and its listener for a modal that takes long: they are those of the packages' examples, which
`make demo-bolt` runs. Here a person closes such a modal before it is filled."""

from __future__ import annotations

import json
import pathlib
from collections import Counter

import pytest
from test_migrate_bolt import AT_ONCE, ROOT, SLOW_MODAL, Block, blocks  # first: it says where the others are
from stand_ins.aws import cleaned_up
from stand_ins.bolt_world import NODE_PACKAGE, PACKAGE, Program, Settings, World, wait_until_ready
from stand_ins.interactions import shortcut

EXAMPLES = {
    "Python": (PACKAGE / "examples/getting_started", "app.py", "behind_the_queue.handler", "in_front.handler"),
    "JavaScript": (NODE_PACKAGE / "examples/getting-started", "listeners.js", "behind-the-queue.handler", "in-front.handler"),
}
FENCES = {"Python": "python", "JavaScript": "js"}


def block(heading: str, language: str) -> Block:
    [it] = [it for it in blocks() if it.heading == heading and it.language == language]
    return it


def without_indentation(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def test_the_rules_are_those_of_the_examples() -> None:
    known = json.loads((ROOT / "bolt/fast-path.json").read_text())
    known.pop("$schema")
    assert json.loads(block(AT_ONCE, "json").text) == known


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_listeners_are_those_of_the_examples(language: str) -> None:
    folder, file, _, _ = EXAMPLES[language]
    app = without_indentation((folder / file).read_text())
    parts = block(SLOW_MODAL, FENCES[language]).text.split("\n\n")
    assert len(parts) >= 3
    for part in parts:
        assert without_indentation(part) in app


@pytest.mark.parametrize("language", EXAMPLES)
def test_a_modal_that_was_closed_before_it_is_filled_fails_nothing(language: str, tmp_path: pathlib.Path) -> None:
    folder, _, behind, in_front = EXAMPLES[language]
    settings = Settings(concurrency=1, fast_path=block(AT_ONCE, "json").text)
    with cleaned_up() as stack:
        place = World(stack, tmp_path).behind_the_queue(
            language, Program(language, folder, behind), settings, Program(language, folder, in_front))
        wait_until_ready([place])
        assert place.post(shortcut(place.workspace, "my_orders")).status == 200
        views = place.workspace.api.views
        views.close(place.workspace.modal())
        place.rest()
        assert views.modals == []
        assert [line["outcome"] for line in place.lines() if "outcome" in line] == ["done"]
        assert place.done_by_rules() == Counter({("my-orders", "opened"): 1})
