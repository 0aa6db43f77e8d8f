"""Who asked may change their mind: by the stop button, by deleting the question, by editing it."""

from __future__ import annotations

from expect import answered_once, answers_to, at_work, send, stays, thoughts
from stand_ins.events import deletion_of, edit_of, mention, stop_in
from stand_ins.world import World

# A beat comes every ten seconds, later on a busy machine; and a stop waits for 15 before it says how many questions it has
# ended.
STOP_LIMIT_SECONDS = 30
SAID_LIMIT_SECONDS = 120


def is_stopped(world: World, event) -> bool:
    record = world.record(event)
    return (record.get("state", {}).get("S"), record.get("why", {}).get("S")) == ("told", "stopped")


def said(world: World, event) -> list[str]:
    return [post.text for post in world.posts(event)]


def test_a_stop_ends_what_is_being_thought_about(world: World) -> None:
    event = send(world, mention("[sleep 19] far too long"))
    at_work(world, event)
    send(world, stop_in(event))
    world.eventually("it is stopped", lambda: is_stopped(world, event), STOP_LIMIT_SECONDS)
    world.eventually("that is said", lambda: said(world, event), SAID_LIMIT_SECONDS)
    stays(world, "something else is said", lambda: len(said(world, event)) == 1, 5)
    [text] = said(world, event)
    assert text == "Stopped: 1 question." and not answers_to(world, event)
    assert world.slack_api.statuses_of(event.channel, event.thread)[-1].status == "active"
    assert not world.dead_letters_of(event.event_id)


def test_a_stop_ends_what_waits_and_not_what_is_asked_later(world: World) -> None:
    first = send(world, mention("[sleep 19] at work"))
    at_work(world, first)
    waiting = send(world, mention("waits for its turn", first.channel, first.thread))
    send(world, stop_in(first))
    later = send(world, mention("asked afterwards", first.channel, first.thread))
    answered_once(world, later, SAID_LIMIT_SECONDS)
    assert is_stopped(world, first) and is_stopped(world, waiting)
    assert not world.agentcore.invocations(waiting.event_id)
    world.eventually("that is said", lambda: len(said(world, first)) == 2, SAID_LIMIT_SECONDS)
    [text] = [it for it in said(world, first) if not it.startswith("You said")]
    assert text == "Stopped: 2 questions."


def test_a_stop_in_one_thread_leaves_the_others_alone(world: World) -> None:
    stopped = send(world, mention("[sleep 19] here"))
    other = send(world, mention("[sleep 12] there", stopped.channel))
    at_work(world, other)
    send(world, stop_in(stopped))
    answered_once(world, other)
    world.eventually("the one is stopped", lambda: is_stopped(world, stopped), STOP_LIMIT_SECONDS)


def test_a_question_that_is_deleted_while_it_is_thought_about_gets_no_answer(world: World) -> None:
    event = send(world, mention("[sleep 19] never mind"))
    at_work(world, event)
    send(world, deletion_of(event))
    world.eventually("it is withdrawn", lambda: world.state(event) == "told")
    stays(world, "something is posted into a dead thread", lambda: not world.posts(event), 20)
    assert not world.dead_letters_of(event.event_id)


def test_a_question_that_is_deleted_while_it_waits_is_never_thought_about(world: World) -> None:
    first = send(world, mention("[sleep 8] in front"))
    waiting = send(world, mention("never mind this one", first.channel, first.thread))
    # On a FIFO queue the deletion comes after what it deletes, unless it is in another conversation.
    deletion = deletion_of(waiting)
    world.enqueue(deletion.body.decode(), deletion.event_id, f"{deletion.group}-other", deletion.event_id)
    answered_once(world, first)
    world.eventually("it is withdrawn", lambda: world.state(waiting) == "told")
    stays(world, "it is answered all the same", lambda: not answers_to(world, waiting), 3)
    assert not world.agentcore.invocations(waiting.event_id) and not world.dead_letters_of(waiting.event_id)


def test_an_edit_of_a_question_that_was_answered_is_not_answered_again(world: World) -> None:
    event = send(world, mention("wats up"))
    answered_once(world, event)
    edited = send(world, edit_of(event, "what is up"))
    stays(world, "the edit is answered", lambda: not answers_to(world, edited), 6)
    assert not world.agentcore.invocations(edited.event_id)


def test_a_mention_that_was_added_by_an_edit_is_answered(world: World) -> None:
    event = send(world, edit_of(mention("never sent"), "I forgot to mention you"))
    answered_once(world, event)
    assert thoughts(world, event) == 1
