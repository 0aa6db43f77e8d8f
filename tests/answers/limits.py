"""What may be used in a day in one of these worlds, and whether more was used: questions and calls of tools of a channel, and tokens of the
workspace. A channel's places are taken by several people at once; the tokens are spent so that they are used up shortly before the end."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import effects
from stand_ins.events import Event
from stand_ins.slack_api import Post
from stand_ins.world import World

QUESTIONS_A_DAY, TOOL_CALLS_A_DAY = 5, 6
# What an attempt takes, and what it reports at most.
TOKENS_A_QUESTION, MOST_TOKENS = 1000, 900
# How many tokens a world has for each kill and pause that it is to meet, and for which part of these they are to last.
TOKENS_A_KILL, LASTING = 1050, 0.9

OF_QUESTIONS = "Sorry, I have answered as much in this channel today as I may. Please ask me again tomorrow: the day ends at midnight UTC."
OF_TOKENS = ("Sorry, too little is left of what may be used in this workspace today. Please ask me again later: what is being thought about "
             "may give something back, and the day ends at midnight UTC.")
NOT_DONE = " What was approved here was not done."


def settings(kills: int) -> dict[str, str]:
    """What agent-settle is told in a world that meets so many kills and pauses."""
    return {"QUESTIONS_A_DAY": f"channel:{QUESTIONS_A_DAY}", "TOOL_CALLS_A_DAY": f"channel:{TOOL_CALLS_A_DAY}",
            "TOKENS_A_DAY": f"workspace:{tokens_a_day(kills)}", "TOKENS_A_QUESTION": str(TOKENS_A_QUESTION)}


def tokens_a_day(kills: int) -> int:
    return max(10 * TOKENS_A_QUESTION, TOKENS_A_KILL * kills)


def is_declined(record: Mapping[str, Any]) -> bool:
    return record.get("declined", {}).get("S") == "over_limit"


def is_refusal(text: str) -> bool:
    """Whether it is what somebody is told whose question is beyond a limit."""
    return text.removesuffix(NOT_DONE) in (OF_QUESTIONS, OF_TOKENS)


@dataclass
class Limits:
    world: World
    kills: int
    # The most tokens that were counted at any moment at which somebody has looked.
    most_counted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    # The questions whose claims were let go at the same moment, in each channel in which that was so.
    at_once: list[list[Event]] = field(default_factory=list)
    places_contested: int = 0
    used: int = 0
    counted: int = 0

    def tokens_for_a_question(self, share: float, chance: random.Random) -> int:
        """How many tokens the next question is to use, when this share of the kills is over: many if fewer were used than should be by
        now."""
        counted = self._counted(self.world.records(), "workspace", "tokens")
        self.most_counted = max([self.most_counted, *counted.values()])
        is_behind = sum(counted.values()) < share / LASTING * tokens_a_day(self.kills)
        return chance.randint(MOST_TOKENS // 2, MOST_TOKENS) if is_behind else chance.randint(1, 100)

    def _counted(self, records: Mapping[str, Any], scope: str, unit: str) -> dict[str, int]:
        """What each counter of a scope says. There is one for each day."""
        return {key: int(item[unit]["N"]) for key, item in records.items() if key.startswith(f"dispatch#used:{scope}:")}

    def wrong(self, events: Iterable[Event]) -> list[str]:
        """A line about each use beyond a limit, each use that is not counted, and each refusal that nobody was told, or twice."""
        events, records = list(events), self.world.records()
        return [*self._beyond(records), *self._questions_not_counted(events, records), *self._tokens_not_counted(events, records),
                *self._tool_calls(events, records), *self._told(events, records)]

    def _beyond(self, records: Mapping[str, Any]) -> list[str]:
        allowed = [("channel", "questions", QUESTIONS_A_DAY), ("channel", "tool_calls", TOOL_CALLS_A_DAY),
                   ("workspace", "tokens", tokens_a_day(self.kills))]
        lines = [f"{key}: {used} {unit}" for scope, unit, limit in allowed
                 for key, used in self._counted(records, scope, unit).items() if used > limit]
        if self.most_counted > tokens_a_day(self.kills):
            lines.append(f"{self.most_counted} tokens were counted at once")
        return lines

    def _of_channel(self, counted: Mapping[str, int], channel: str) -> int:
        return sum(used for key, used in counted.items() if f":{channel}:" in key)

    def _days(self, records: Mapping[str, Any]) -> int:
        return len({key.rsplit(":", 1)[1] for key in self._counted(records, "workspace", "tokens")})

    def _questions_not_counted(self, events: list[Event], records: Mapping[str, Any]) -> list[str]:
        begun, counted = Counter[str](), self._counted(records, "channel", "questions")
        for event in events:
            record = records.get(event.record, {})
            begun[event.channel] += "attempts" in record and int(record["attempts"]["N"]) > 0 and not is_declined(record)
        return [f"{channel}: {questions} questions, and {self._of_channel(counted, channel)} are counted"
                for channel, questions in begun.items() if questions > self._of_channel(counted, channel)]

    def _tokens_not_counted(self, events: list[Event], records: Mapping[str, Any]) -> list[str]:
        """Against what the answers were told to use, and against what agents have reported, whatever became of the report."""
        in_answers = sum(int(re.search(r"\[tokens (\d+)\]", event.text)[1]) for event in events
                         if (record := records.get(event.record, {})).get("state", {}).get("S") == "answered" and not is_declined(record))
        reported = dict[tuple[str, str], int]()
        for it in list(self.world.lambda_api.invoked):
            if usage := it.event.get("usage"):
                reported[it.event["record"], it.event["token"]] = usage["input_tokens"] + usage["output_tokens"]
        self.used = max(in_answers, sum(reported.values()))
        self.counted = sum(self._counted(records, "workspace", "tokens").values())
        return [f"{self.used} tokens, and {self.counted} are counted"] if self.used > self.counted else []

    def _tool_calls(self, events: list[Event], records: Mapping[str, Any]) -> list[str]:
        lines, counted = [], self._counted(records, "channel", "tool_calls")
        done, asked = effects.made(self.world), effects.answered(self.world)
        for channel in {event.channel for event in events}:
            there = sum(times for name, times in done.items() if f":{channel}:" in name)
            if there > self._of_channel(counted, channel) or there > TOOL_CALLS_A_DAY * self._days(records):
                lines.append(f"{channel}: {there} things were made, and {self._of_channel(counted, channel)} are counted")
        refused = {name: it.event["record"] for answer, it, name in asked if (answer.get("why") or "").startswith("over_limit")}
        self.refused["calls of tools"] = len(refused)
        # A question that goes on after midnight may do then what it might not before.
        for event in events if self._days(records) == 1 else []:
            names = [name for name, record in refused.items() if record == event.record]
            lines += [f"{name!r}: made beyond the limit" for name in names if done[name]]
            posts = [post.text for post in self.world.posts(event)]
            said = effects.told(posts, event.question_id)
            if any(event.text in text for text in posts):
                lines += [f"{name!r}: refused, and the answer says so {said.count((name, 'over the limit'))} times"
                          for name in names if said.count((name, "over the limit")) != 1]
                lines += [f"{name!r}: the answer says that it was refused, and it was not"
                          for name, outcome in said if outcome == "over the limit" and name not in names]
        return lines

    def _told(self, events: list[Event], records: Mapping[str, Any]) -> list[str]:
        lines, declined = [], Counter((event.channel, event.thread) for event in events if is_declined(records.get(event.record, {})))
        told = [post for post in self.world.slack_api.posts if is_refusal(post.text)]
        for place in {(event.channel, event.thread) for event in events} | {(it.channel, it.thread_ts) for it in told}:
            said = sum((it.channel, it.thread_ts) == place for it in told)
            if said != declined[place]:
                lines.append(f"{place}: {declined[place]} questions over a limit, and {said} were told")
        self.refused["questions for the channel's limit"] = sum(it.text.startswith(OF_QUESTIONS) for it in told)
        self.refused["questions for the workspace's tokens"] = sum(it.text.startswith(OF_TOKENS) for it in told)
        self.places_contested = sum(self._is_contested(events, told) for events in self.at_once)
        return lines

    def _is_contested(self, events: list[Event], told: list[Post]) -> bool:
        """Whether some of those whose claims came at once got a place, and others were too late for one."""
        threads = {(it.channel, it.thread_ts) for it in told if it.text == OF_QUESTIONS}
        return len({(event.channel, event.thread) in threads for event in events}) == 2

    def say(self) -> str:
        refused = ", ".join(f"{times} {what}" for what, times in sorted(self.refused.items()))
        return (f"{self.used} tokens used, {self.counted} counted of {tokens_a_day(self.kills)}; refused: {refused}; "
                f"the last places of {self.places_contested} channels claimed at once")
