"""The people who are asked whether the agent may make a card or a canvas. They approve or refuse, two of them at once in different ways, or nobody
does until the time is over, or only then; and somebody clicks who may not decide. Slack does not send a click again, so whose click
fails clicks once more. What was decided is read in the message: it says what counted."""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import effects
from dev import Failure
from slack import NoAnswer
from stand_ins.events import PERSON
from stand_ins.slack_api import Post
from stand_ins.world import World

APPROVE, REFUSE = "slack_ingress_approve", "slack_ingress_refuse"
# Who may decide besides the one who asks, and who may not.
COLLEAGUE, STRANGER = "U0COLLEAGUE", "U0STRANGER"
LAPSED = ("Nobody has decided in time whether I may do what I had asked about, so I have not done it. Please ask me again "
          "if it is still wanted.")
PLANS = {"approve": 50, "refuse": 12, "both": 14, "stranger": 8, "lapse": 8, "late": 8}
# How long they think about it.
DECIDE_SECONDS = (0.2, 6)
# After so long without effect somebody clicks once more.
AGAIN_SECONDS = 20
LIMIT_SECONDS = 300


@dataclass
class Asked:
    """A message that asks somebody."""

    post: Post
    approval: str
    question_id: str
    # What would be done, by its name.
    thing: str
    plan: str
    due: float


@dataclass
class Deciders:
    world: World
    chance: random.Random
    asked: dict[str, Asked] = field(default_factory=dict)
    # What somebody has approved who may, and the questions about which nobody has clicked until the time was over.
    approved: set[str] = field(default_factory=set)
    lapsed: set[str] = field(default_factory=set)
    plans: Counter[str] = field(default_factory=Counter)

    def run(self, over: threading.Event) -> None:
        """Decides until it is over, and then about what is left."""
        while not over.wait(0.3):
            self._decide()
        until = time.monotonic() + LIMIT_SECONDS
        while (waiting := self._waiting()) or self.world.depth():
            if time.monotonic() > until:
                raise Failure(f"after {LIMIT_SECONDS} seconds without faults people still wait: {sorted(waiting)}")
            self._decide()
            for asked in list(self.asked.values()):
                if asked.plan == "done" and asked.question_id in waiting and time.monotonic() - asked.due > AGAIN_SECONDS:
                    asked.plan, asked.due = "lapse" if asked.question_id in self.lapsed else "approve", time.monotonic()
            time.sleep(0.5)

    def _waiting(self) -> set[str]:
        """The questions that wait for somebody."""
        return {key.removeprefix("dispatch#") for key, record in self.world.records().items()
                if record.get("state", {}).get("S") == "suspended"}

    def _decide(self) -> None:
        for post in list(self.world.slack_api.posts):
            if (found := asks(post, self.world)) and found[0] not in self.asked:
                plan = self.chance.choices(list(PLANS), list(PLANS.values()))[0]
                self.plans[plan] += 1
                due = time.monotonic() + self.chance.uniform(*DECIDE_SECONDS)
                self.asked[found[0]] = Asked(post, *found, plan, due)
        for asked in list(self.asked.values()):
            if asked.plan != "done" and time.monotonic() >= asked.due:
                self._act(asked)

    def _act(self, asked: Asked) -> None:
        match asked.plan:
            case "lapse":
                self.lapsed.add(asked.question_id)
                try:
                    self.world.scheduler.due_now(asked.approval)
                except KeyError:
                    pass  # It was due before, and its message is on the way.
            case "late":
                # The time is over, and then somebody clicks on what still shows them buttons.
                self.lapsed.add(asked.question_id)
                with contextlib.suppress(KeyError):
                    self.world.scheduler.due_now(asked.approval)
                time.sleep(self.chance.uniform(0, 2))
                self._click(asked, APPROVE)
            case "both":
                whose = self.chance.sample([PERSON, COLLEAGUE], 2)
                clicks = [threading.Thread(target=self._click, args=(asked, action, user))
                          for action, user in zip((APPROVE, REFUSE), whose, strict=True)]
                for click in clicks:
                    click.start()
                for click in clicks:
                    click.join()
            case "stranger":
                self._click(asked, APPROVE, STRANGER)
                self._click(asked, APPROVE)
            case plan:
                self._click(asked, APPROVE if plan == "approve" else REFUSE)
        asked.plan, asked.due = "done", time.monotonic()

    def _click(self, asked: Asked, action: str, user: str = PERSON) -> None:
        for _ in range(5):
            if user != STRANGER and action == APPROVE:
                self.approved.add(asked.thing)
            try:
                self.world.press(asked.post, action, user)
                return
            except ValueError:
                return  # The message has no buttons any more.
            except (Failure, NoAnswer):
                time.sleep(0.5)

    def wrong(self, done: Counter[str]) -> list[str]:
        """What was done that nobody has approved, or whose approval did not count."""
        needed = [name for name in done if not effects.is_note(name)]
        wrong = [f"{name!r}: nobody has approved it" for name in needed if name not in self.approved]
        posts = {it.ts: it for it in self.world.slack_api.posts}
        shown = {asked.thing: posts[asked.post.ts].text for asked in self.asked.values() if asked.post.ts in posts}
        declined = [name for name in needed if any(it in shown.get(name, "") for it in ("Refused by", "Nobody decided"))]
        return wrong + [f"{name!r}: made, although its message says {shown[name]!r}" for name in declined]

    def told(self) -> str:
        return f"{len(self.asked)} approvals ({', '.join(f'{times} {plan}' for plan, times in sorted(self.plans.items()))})"


def asks(post: Post, world: World) -> tuple[str, str, str] | None:
    """The approval, the question and what a message asks about, by its name; None if it asks nobody, or does not any more."""
    blocks: list[Any] = post.blocks or []
    values = [it["value"] for block in blocks if block["type"] == "actions" for it in block["elements"]
              if it.get("action_id") == APPROVE]
    if not values:
        return None
    [text] = [it["text"] for block in blocks if block["type"] == "rich_text" for part in block["elements"] for it in part["elements"]]
    _, approval, question_id = values[0].split(" ", 2)
    return approval, question_id, effects.name_of(tools_in(post.text)[0], json.loads(text), world)


def tools_in(text: str) -> list[str]:
    return re.findall(rf"`(\w+___(?:{'|'.join(effects.NEEDS_APPROVAL)}))`", text)


def is_about_approval(text: str) -> bool:
    """Whether it is a message that asks somebody, before or after they have decided; or says that nobody has."""
    return bool(tools_in(text)) or text == LAPSED
