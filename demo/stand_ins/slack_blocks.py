"""What Slack documents of the blocks of a message: their number, and the fields of sections and of feedback buttons. Of other
kinds only the name is looked at. Which error Slack returns for which mistake is not documented: here it is invalid_blocks for
all."""

from __future__ import annotations

from typing import Any

BLOCKS_LIMIT, ELEMENTS_LIMIT = 50, 5
SECTION_LIMIT, LABEL_LIMIT, VALUE_LIMIT, ID_LIMIT = 3000, 75, 2000, 255
OTHER_KINDS = {"header", "divider", "context", "image", "actions", "rich_text", "markdown", "table", "video", "file"}


def are_blocks(blocks: Any) -> bool:
    return isinstance(blocks, list) and 0 < len(blocks) <= BLOCKS_LIMIT and all(map(is_block, blocks))


def is_block(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "section":
        return is_section(block)
    if block.get("type") == "context_actions":
        elements = block.get("elements")
        return isinstance(elements, list) and 0 < len(elements) <= ELEMENTS_LIMIT and all(map(is_element, elements))
    return block.get("type") in OTHER_KINDS


def is_section(block: dict[str, Any]) -> bool:
    if "text" not in block:
        return bool(block.get("fields"))
    return (is_text(block["text"], ("mrkdwn", "plain_text"), SECTION_LIMIT)
            and isinstance(block.get("expand", True), bool)
            and isinstance(block["text"].get("verbatim", True), bool))


def is_element(element: Any) -> bool:
    if not isinstance(element, dict):
        return False
    if element.get("type") == "icon_button":
        return True
    buttons = [element.get(name) for name in ("positive_button", "negative_button")]
    return (element.get("type") == "feedback_buttons" and all(map(is_button, buttons))
            and is_string(element.get("action_id", "x"), ID_LIMIT))


def is_button(button: Any) -> bool:
    return (isinstance(button, dict) and is_text(button.get("text"), ("plain_text",), LABEL_LIMIT)
            and is_string(button.get("value"), VALUE_LIMIT)
            and is_string(button.get("accessibility_label", "x"), LABEL_LIMIT))


def is_text(text: Any, kinds: tuple[str, ...], limit: int) -> bool:
    return isinstance(text, dict) and text.get("type") in kinds and is_string(text.get("text"), limit)


def is_string(value: Any, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit
