"""What Slack documents of the blocks of a message: their number and ids, and the fields of sections, of feedback buttons, of actions with
buttons, of contexts and of rich text. Of other kinds, and of the elements of actions that are no buttons, only the name is looked at.
Which error Slack returns for which mistake is not documented: here it is invalid_blocks for all.

How long all blocks together may be is not documented either. Slack refuses them with msg_blocks_too_long; people have measured 13,200
characters, and in one case less than 11,341 of text alone (slackapi/bolt-js #2509 and #2867). Here it is 11,000 of text."""

from __future__ import annotations

from typing import Any

BLOCKS_LIMIT, ELEMENTS_LIMIT, ACTIONS_LIMIT, CONTEXT_LIMIT = 50, 5, 25, 10
SECTION_LIMIT, LABEL_LIMIT, VALUE_LIMIT, ID_LIMIT, URL_LIMIT = 3000, 75, 2000, 255, 3000
TEXTS_LIMIT = 11_000
OTHER_KINDS = {"header", "divider", "image", "markdown", "table", "video", "file"}
OTHER_ACTIONS = {"static_select", "external_select", "users_select", "conversations_select", "channels_select", "multi_static_select",
                 "multi_external_select", "multi_users_select", "multi_conversations_select", "multi_channels_select", "overflow",
                 "datepicker", "timepicker", "datetimepicker", "checkboxes", "radio_buttons", "workflow_button"}
# What stands in a rich text, by what it stands in.
RICH_KINDS = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
RICH_ELEMENTS = {"text", "link", "user", "usergroup", "channel", "emoji", "broadcast", "date", "color", "team"}
PREFORMATTED_ELEMENTS = {"text", "link"}


def are_blocks(blocks: Any) -> bool:
    if not (isinstance(blocks, list) and 0 < len(blocks) <= BLOCKS_LIMIT and all(map(is_block, blocks))):
        return False
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    return len(ids) == len(set(ids))


def are_too_long(blocks: Any) -> bool:
    return length(blocks) > TEXTS_LIMIT


def length(value: Any) -> int:
    """The number of characters of all texts that are shown."""
    if isinstance(value, list):
        return sum(map(length, value))
    if not isinstance(value, dict):
        return 0
    return sum(len(it) if name == "text" and isinstance(it, str) else length(it) for name, it in value.items())


def is_block(block: Any) -> bool:
    if not isinstance(block, dict) or not is_string(block.get("block_id", "x"), ID_LIMIT):
        return False
    if block.get("type") == "section":
        return is_section(block)
    if block.get("type") == "actions":
        return are_actions(block.get("elements"))
    if block.get("type") == "context":
        elements = block.get("elements")
        return isinstance(elements, list) and 0 < len(elements) <= CONTEXT_LIMIT and all(map(is_of_context, elements))
    if block.get("type") == "rich_text":
        elements = block.get("elements")
        return isinstance(elements, list) and len(elements) > 0 and all(map(is_rich, elements))
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


def are_actions(elements: Any) -> bool:
    if not (isinstance(elements, list) and 0 < len(elements) <= ACTIONS_LIMIT and all(map(is_action, elements))):
        return False
    ids = [element["action_id"] for element in elements if "action_id" in element]
    return len(ids) == len(set(ids))


def is_action(element: Any) -> bool:
    if not isinstance(element, dict) or not is_string(element.get("action_id", "x"), ID_LIMIT):
        return False
    if element.get("type") in OTHER_ACTIONS:
        return True
    return (element.get("type") == "button" and is_text(element.get("text"), ("plain_text",), LABEL_LIMIT)
            and is_string(element.get("value", "x"), VALUE_LIMIT) and is_string(element.get("url", "x"), URL_LIMIT)
            and element.get("style", "primary") in ("primary", "danger")
            and is_string(element.get("accessibility_label", "x"), LABEL_LIMIT))


def is_of_context(element: Any) -> bool:
    return is_text(element, ("mrkdwn", "plain_text"), SECTION_LIMIT) or (
        isinstance(element, dict) and element.get("type") == "image" and is_string(element.get("alt_text"), VALUE_LIMIT)
        and ("image_url" in element or "slack_file" in element))


def is_rich(part: Any) -> bool:
    """Whether it is a part of a rich text, with what may stand in it."""
    if not isinstance(part, dict) or part.get("type") not in RICH_KINDS:
        return False
    elements = part.get("elements")
    if not isinstance(elements, list) or not elements:
        return False
    if part["type"] == "rich_text_list":
        return part.get("style") in ("bullet", "ordered") and all(
            is_rich(it) and it["type"] == "rich_text_section" for it in elements)
    kinds = PREFORMATTED_ELEMENTS if part["type"] == "rich_text_preformatted" else RICH_ELEMENTS
    return part.get("border", 0) in (0, 1) and all(
        isinstance(it, dict) and it.get("type") in kinds and (it["type"] != "text" or bool(it.get("text")) and isinstance(it["text"], str))
        for it in elements)


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
