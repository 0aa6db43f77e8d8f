"""What people see in a workspace: messages, what only they see, modals, their home tab, and what Slack makes of an answer's body.

By this an app is compared with itself in another place: what people see has to be the same, whichever way it came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slack import Answer
from stand_ins.bolt_world import Place
from stand_ins.interactions import Request
from stand_ins.slack_views import View


@dataclass
class Eyes:
    """Looks at one workspace. `names` are those of channels, by their ids."""

    place: Place
    names: Mapping[str, str]
    _posts: int = 0
    _responses: int = 0
    _views: dict[str, float] = field(default_factory=dict)

    def look(self, request: Request | None = None, answer: Answer | None = None) -> list[str]:
        """What has appeared since the last look, in a fixed order; and what Slack shows of the answer to a request."""
        workspace = self.place.workspace
        posts, responses = workspace.api.posts[self._posts:], workspace.hooks.responses[self._responses:]
        self._posts, self._responses = self._posts + len(posts), self._responses + len(responses)
        seen = []
        for it in posts:
            where = self.names.get(it.channel, it.channel) + (", in the thread" if it.thread_ts else "")
            seen.append(f"{where}: {it.text}{buttons(it.blocks)}")
        seen += [shown_by_response(it.text, it.response_type) for it in responses]
        modals, homes = workspace.api.views.modals, workspace.api.views.homes.values()
        views = [("the modal shows" if it.id in self._views else "a modal opens", it) for it in modals]
        for what, view in [*views, *(("home", it) for it in homes)]:
            if self._views.get(view.id) != view.at:
                self._views[view.id] = view.at
                seen.append(f"{what}: {words_of(view)}")
        if request is not None and answer is not None:
            seen += self._shown_by_answer(request, answer)
        return sorted(seen)

    def _shown_by_answer(self, request: Request, answer: Answer) -> list[str]:
        """What Slack makes of the answer's body."""
        if answer.status != 200:
            return [f"an error of the app: status {answer.status}"]
        said = fields_of(answer.body)
        if request.kind == "block_suggestion":
            options = [it["text"]["text"] for it in said.get("options", [])]
            return [f"a menu: {', '.join(options)}" if options else "a menu without options"]
        if request.kind == "view_submission":
            views = self.place.workspace.api.views
            if said.get("response_action") == "errors":
                return [f"in the modal, at {block}: {text}" for block, text in said["errors"].items()]
            if said.get("response_action", "clear") != "clear":
                return [f"the modal shows {said['response_action']}"]
            views.close(self.place.workspace.modal())
            return ["the modal closes"]
        if request.kind == "command" and said.get("text"):
            return [shown_by_response(said["text"], said.get("response_type", "ephemeral"))]
        return []


def fields_of(body: bytes) -> dict[str, Any]:
    text = body.decode()
    try:
        said = json.loads(text)
    except ValueError:
        return {"text": text}
    return said if isinstance(said, dict) else {"text": text}


def shown_by_response(text: str, response_type: str) -> str:
    return f"#general: {text}" if response_type == "in_channel" else f"only for the asker: {text}"


def buttons(blocks: list[dict[str, Any]] | None) -> str:
    texts = [block["accessory"]["text"]["text"] for block in blocks or [] if "accessory" in block]
    return "".join(f" [{text}]" for text in texts)


def words_of(view: View) -> str:
    title = [view.content["title"]["text"]] if view.content["type"] == "modal" else []
    return ": ".join([*title, *(block["text"]["text"] for block in view.content["blocks"] if "text" in block)])
