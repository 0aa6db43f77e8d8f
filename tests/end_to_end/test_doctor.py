"""`slack-dev doctor` on the whole way: the agent's side of it, and a question that it has answered."""

from __future__ import annotations

from expect import QUICKLY, doctor
from stand_ins.events import new_channel
from stand_ins.world import World


def test_the_doctor_finds_nothing_wrong_on_the_way_to_the_answer_and_its_question_is_answered(world: World) -> None:
    channel = new_channel()
    checks = doctor(world, channel, QUICKLY)
    # The table of this world has no TTL, and the doctor sees that.
    wrong = {name: it for name, it in checks.items() if it.status == "fail" and name != "table, TTL"}
    assert not wrong
    for name in ("secret", "signature, right", "bot token", "bot token, Slack", "bot token, scopes", "tools", "tools, token",
                 "table", "question"):
        assert checks[name].status == "ok", (name, checks[name])
    assert "the bot standin (U0STANDIN) in example (T02QX7L8E)" in checks["bot token, Slack"].found
    assert "slack (2)" in checks["tools"].found and "canvases (3)" in checks["tools"].found
    assert checks["question"].found.startswith("answered in its thread after ")
    assert "You said: This is a test of the connection" in checks["question"].found

    # Everybody in the channel can see that it was a test, and the answer stands below that.
    message, answer = [post for post in world.slack_api.posts if post.channel == channel]
    assert message.thread_ts is None and "*This is a test.*" in message.text
    assert answer.thread_ts == message.ts and answer.metadata
