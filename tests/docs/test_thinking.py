"""The model that the stack's agent asks if nothing is said: it is Strands' own default, and the pages name it."""

from __future__ import annotations

import re

import pytest
from blocks import DOCS, ROOT
from strands.models.bedrock import DEFAULT_BEDROCK_MODEL_ID

# The pages that say which model it is.
PAGES = ["agent.md", "deploy.md", "zero-to-slack.md", "../CHANGELOG.md"]


def test_it_is_the_default_of_the_pinned_strands() -> None:
    source = (ROOT / "cdk/lib/agent/thinking.ts").read_text()
    assert re.findall(r"DEFAULT_MODEL = '([^']+)'", source) == [DEFAULT_BEDROCK_MODEL_ID]
    props = (ROOT / "cdk/lib/agent/props.ts").read_text()
    assert f"@default 'strands:{DEFAULT_BEDROCK_MODEL_ID}'" in props


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_name_it(page: str) -> None:
    assert DEFAULT_BEDROCK_MODEL_ID in (DOCS / page).read_text()
