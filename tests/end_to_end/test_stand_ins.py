"""The stand-ins refuse wrong requests, here made by AWS's own client. A stand-in that accepted everything would prove
nothing."""

from __future__ import annotations

import json
import pathlib
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from expect import signed_call
from stand_ins import lambda_api, scheduler_api
from stand_ins.agentcore import Fault, agent_error
from stand_ins.aws import Emulator, create_queues
from stand_ins.aws import client as aws_client
from stand_ins.events import APP, PERSON, TEAM, new_channel, new_ts, press
from stand_ins.functions import REGION, Function
from stand_ins.lambda_api import LambdaApi
from stand_ins.processes import eventually
from stand_ins.scheduler_api import GROUP, SCHEDULE_ROLE, TARGET, SchedulerApi
from stand_ins.sigv4 import Identity
from stand_ins.slack_api import BOT_USER, SlackApi
from stand_ins.slack_hooks import SlackHooks
from stand_ins.slack_views import TRIGGER_SECONDS
from stand_ins.world import RUNTIME_ARN, World

SESSION = "slack-" + "0" * 64


def invoke(world: World, payload: bytes = b"{}", secret_key: str | None = None, **parameters: str):
    [(access_key, correct_key)] = world.agentcore.keys.items()
    client = boto3.client(
        "bedrock-agentcore", region_name=REGION, endpoint_url=world.agentcore.url, aws_access_key_id=access_key,
        aws_secret_access_key=secret_key or correct_key,
        config=Config(retries={"max_attempts": 0}, parameter_validation=False))
    given = {"agentRuntimeArn": RUNTIME_ARN, "runtimeSessionId": SESSION, "payload": payload}
    return client.invoke_agent_runtime(**given | parameters)


def error_of(call) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def test_agentcore_passes_on_a_request_with_a_valid_signature(world: World) -> None:
    payload = {"version": 2, "event_id": "EvByHand", "attempt": 1, "attributes": {"event_id": "EvByHand"}, "body": {},
               "question": None, "work": None}
    answer = invoke(world, json.dumps(payload).encode(), qualifier="DEFAULT")
    assert (answer["statusCode"], answer["runtimeSessionId"]) == (200, SESSION)
    assert json.loads(answer["response"].read()) == {"status": "ignored"}


def test_agentcore_refuses_a_wrong_signature(world: World) -> None:
    assert error_of(lambda: invoke(world, secret_key="another"))[0] == 403


@pytest.mark.parametrize(("parameters", "error"), [
    ({"runtimeSessionId": "s" * 32}, (400, "ValidationException")),
    ({"runtimeSessionId": "s" * 257}, (400, "ValidationException")),
    ({"agentRuntimeArn": RUNTIME_ARN + "x"}, (404, "ResourceNotFoundException")),
    ({"qualifier": "no-such-endpoint"}, (404, "ResourceNotFoundException")),
], ids=["a short session", "a long session", "another agent", "another endpoint"])
def test_agentcore_refuses(world: World, parameters: dict[str, str], error: tuple[int, str]) -> None:
    assert error_of(lambda: invoke(world, **parameters)) == error


def test_a_refusal_of_the_agents_is_a_runtime_client_error(world: World) -> None:
    assert error_of(lambda: invoke(world, b'{"version": "none"}')) == (424, "RuntimeClientError")


def test_agentcore_fails_when_a_test_tells_it_to(world: World) -> None:
    world.agentcore.throttle(1, "EvTold")
    world.agentcore.fail(1, "EvTold")
    world.agentcore.inject(Fault(1, "EvTold", agent_error("told")))
    codes = [error_of(lambda: invoke(world, b'{"event_id": "EvTold"}')) for _ in range(3)]
    assert codes == [(429, "ThrottlingException"), (500, "InternalServerException"), (424, "RuntimeClientError")]


def test_the_gateway_refuses_a_request_without_a_signature(world: World) -> None:
    refused = world.gateway.refused
    request = urllib.request.Request(world.gateway.url, b"{}", {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert caught.value.code == 403
    assert world.gateway.refused > refused


@pytest.mark.parametrize(("who", "gateway"), [("agent", "settle_gateway"), ("agent-dispatch", "gateway")])
def test_each_gateway_lets_in_its_own_callers_only(world: World, who: str, gateway: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        signed_call(world, getattr(world, gateway).url, "post_to_slack", {"channel": "C0", "text": "let me in"}, who)
    assert caught.value.code == 403


def test_a_message_is_found_by_its_metadata_on_a_later_page(world: World) -> None:
    def settle(tool: str, **arguments) -> dict:
        return signed_call(world, world.settle_gateway.url, tool, arguments, "agent-settle")["structuredContent"]

    channel, ts = new_channel(), new_ts()
    world.slack_api.say(channel, ts, "a thread")
    for number in range(3):
        metadata = {"event_type": "slack_ingress_answer", "event_payload": {"nonce": str(number)}}
        assert settle("post_to_slack", channel=channel, thread_ts=ts, text=f"post {number}", metadata=metadata)["ok"]
    first = settle("read_thread", channel=channel, ts=ts, limit=2, include_all_metadata=True)
    assert [it["text"] for it in first["messages"]] == ["a thread", "post 0"] and first["has_more"]
    second = settle("read_thread", channel=channel, ts=ts, limit=2, include_all_metadata=True,
                    cursor=first["response_metadata"]["next_cursor"])
    assert [it["metadata"]["event_payload"]["nonce"] for it in second["messages"]] == ["1", "2"]
    assert all("metadata" not in it for it in settle("read_thread", channel=channel, ts=ts)["messages"])
    assert [it["text"] for it in settle("read_channel", channel=channel)["messages"]] == ["a thread"]
    late = settle("read_thread", channel=channel, ts=ts, oldest=second["messages"][0]["ts"])
    assert [it["text"] for it in late["messages"]] == ["a thread", "post 2"]


def test_slack_posts_the_same_text_twice_and_refuses_what_is_too_long(world: World) -> None:
    channel = new_channel()

    def post(text: str) -> dict:
        arguments = {"channel": channel, "text": text}
        return signed_call(world, world.gateway.url, "post_to_slack", arguments, "agent")["structuredContent"]

    assert post("twice")["ts"] != post("twice")["ts"]
    assert [it.text for it in world.slack_api.posts if it.channel == channel] == ["twice", "twice"]
    assert post("x" * 4001)["error"] == "msg_too_long"


def test_a_status_stays_until_it_is_changed_and_a_text_goes_with_the_post() -> None:
    with SlackApi("xoxb-1") as slack:
        def call(method: str, **fields) -> dict:
            return slack.answer(method, "Bearer xoxb-1", fields).body

        place = {"channel_id": "C1", "thread_ts": "1.2"}
        assert call("agents.sessions.setStatus", **place, status="processing")["ok"]
        assert call("assistant.threads.setStatus", **place, status="thinks")["ok"]
        call("chat.postMessage", channel="C1", thread_ts="1.2", text="done")
        assert [it.status for it in slack.statuses] == ["processing"]
        assert [it.status for it in slack.thread_statuses] == ["thinks", ""]
        slack.is_agent = False
        assert call("agents.sessions.setStatus", **place, status="active")["error"] == "not_authorized"
        slack.scopes.discard("channels:history")
        assert call("conversations.replies", channel="C1", ts="1.2")["error"] == "missing_scope"
        slack.token = None
        assert call("chat.postMessage", channel="C1", text="now?")["error"] == "invalid_auth"


def test_a_response_url_takes_five_posts_within_half_an_hour() -> None:
    with SlackHooks().serve() as hooks:
        url = hooks.new()
        answers = [hooks.answer(url, b'{"text": "hello"}') for _ in range(6)]
        assert answers == [(200, "ok")] * 5 + [(404, "used_url")] and len(hooks.of(url)) == 5
        assert hooks.answer(hooks.new(age_seconds=1801), b'{"text": "late"}') == (404, "expired_url")
        assert hooks.answer(f"{hooks.url}/commands/made/up", b'{"text": "hello"}') == (404, "no_service")


# ── Lambda ───────────────────────────────────────────────────────────────────────────────────────────────────


def lambda_client(api: LambdaApi, identity: Identity, retries: int = 0):
    return boto3.client("lambda", region_name=REGION, endpoint_url=api.url, aws_access_key_id=identity.access_key,
                        aws_secret_access_key=identity.secret_key, config=Config(retries={"max_attempts": retries, "mode": "standard"}))


@pytest.mark.parametrize("who", ["agent", "agent-dispatch"])
def test_agent_settle_may_be_invoked_by_the_agent_and_the_dispatcher(world: World, who: str) -> None:
    # In a world that it shares, all environments may be at work for other tests; whoever is throttled asks again, as the
    # agent and the dispatcher do.
    client = lambda_client(world.lambda_api, world.identities[who], retries=10)
    answer = client.invoke(FunctionName=world.settle.arn, Payload=b'{"operation": "none"}')
    assert json.loads(answer["Payload"].read())["outcome"] == "invalid"
    assert error_of(lambda: client.invoke(FunctionName="slack-ingress")) == (403, "AccessDeniedException")


def test_agent_settle_may_be_invoked_by_nobody_else(world: World) -> None:
    client = lambda_client(world.lambda_api, world.identities["tester"])
    assert error_of(lambda: client.invoke(FunctionName="agent-settle")) == (403, "AccessDeniedException")
    stranger = lambda_client(world.lambda_api, Identity("stranger"))
    assert error_of(lambda: stranger.invoke(FunctionName="agent-settle"))[0] == 403


class Small:
    """A small function behind Lambda's Invoke API."""

    def __init__(self, function: Function, api: LambdaApi, identity: Identity) -> None:
        self.function, self.api, self.client = function, api, lambda_client(api, identity)

    def invoke(self, **event) -> dict:
        return self.client.invoke(FunctionName="small", Payload=json.dumps(event).encode())


@pytest.fixture
def small(tmp_path: pathlib.Path) -> Iterator[Small]:
    program = tmp_path / "small"
    program.write_text(f"#!{sys.executable}\n{SMALL_FUNCTION}")
    program.chmod(0o755)
    caller, functions = Identity("caller"), {}
    with LambdaApi(functions, {"caller": {"small"}}, [caller], REGION, retry_pauses=(0.1, 0.1)).serve() as api:
        functions["small"] = function = Function("small", program, {}, 2, 2, tmp_path)
        function.wait_until_it_is_ready()
        yield Small(function, api, caller)
        function.stop()


# By the Runtime API; it sleeps, fails or ends when the event says so.
SMALL_FUNCTION = """
import json, os, time, urllib.request
api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as response:
        event, number = json.load(response), response.headers["Lambda-Runtime-Aws-Request-Id"]
    time.sleep(event.get("sleep", 0))
    if event.get("end"):
        os._exit(3)
    how = "error" if event.get("fail") else "response"
    answer = {"errorType": "Told", "errorMessage": "told to fail"} if event.get("fail") else {"got": event}
    urllib.request.urlopen(urllib.request.Request(api + number + "/" + how, json.dumps(answer).encode()))
"""


def test_an_invocation_is_answered_and_a_function_error_is_told(small: Small) -> None:
    answer = small.invoke(text="größer")
    assert json.loads(answer["Payload"].read()) == {"got": {"text": "größer"}} and "FunctionError" not in answer
    failed = small.invoke(fail=True)
    assert (failed["FunctionError"], json.loads(failed["Payload"].read())["errorType"]) == ("Unhandled", "Told")
    assert small.invoke(end=True)["FunctionError"] == "Unhandled"
    assert json.loads(small.invoke(text="again")["Payload"].read()) == {"got": {"text": "again"}}


@pytest.mark.parametrize("paused", [False, True], ids=["too slow", "paused"])
def test_a_function_is_killed_when_its_time_is_over(small: Small, paused: bool) -> None:
    starts = small.function.starts()

    def pause() -> None:
        [at_work] = eventually("it is at work", small.function.at_work, 5)
        at_work.pause(60)

    if paused:
        threading.Thread(target=pause).start()
    begun = time.monotonic()
    answer = small.invoke(sleep=1.8 if paused else 10)
    assert answer["FunctionError"] == "Unhandled" and b"timed out after 2 seconds" in answer["Payload"].read()
    assert time.monotonic() - begun < 4
    eventually("another process starts", lambda: small.function.starts() > starts, 5)


def test_an_asynchronous_invocation_is_done_later_and_again_if_it_fails(small: Small) -> None:
    assert small.client.invoke(FunctionName="small", InvocationType="Event", Payload=b'{"fail": true}')["StatusCode"] == 202
    [call] = eventually("it is invoked", lambda: small.api.invoked, 5)
    eventually("it has failed three times", lambda: call.runs == 3 and "function error" in call.outcome, 5)


def test_who_finds_no_free_environment_is_throttled(small: Small) -> None:
    busy = [threading.Thread(target=small.invoke, kwargs={"sleep": 1}) for _ in range(2)]
    for it in busy:
        it.start()
    eventually("both environments are at work", lambda: len(small.function.at_work()) == 2, 5)
    assert error_of(lambda: small.invoke(text="me too")) == (429, "TooManyRequestsException")
    for it in busy:
        it.join()


def test_lambda_fails_when_a_test_tells_it_to(small: Small) -> None:
    small.api.inject(lambda_api.Fault(1, error=lambda_api.THROTTLED))
    small.api.inject(lambda_api.Fault(1, lost=True))
    assert error_of(lambda: small.invoke(number=1)) == (429, "TooManyRequestsException")
    with pytest.raises(BotoCoreError):
        small.invoke(number=2)
    assert [it.outcome for it in small.api.invoked] == ["TooManyRequestsException", "answered"]
    assert json.loads(small.invoke(number=3)["Payload"].read()) == {"got": {"number": 3}}


def test_slack_refuses_prompts_titles_and_blocks_that_it_could_not_show() -> None:
    prompt = {"title": "Plan my day", "message": "What is on my list today?"}
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}
    button = {"text": {"type": "plain_text", "text": "+1"}, "value": "good"}
    feedback = {"type": "feedback_buttons", "action_id": "a", "positive_button": button, "negative_button": button}
    with SlackApi() as slack:
        def error(method: str, **fields) -> str | None:
            reply = slack.answer(method, f"Bearer {slack.token}", fields)
            return reply.body.get("error")

        suggest, title, post = "assistant.threads.setSuggestedPrompts", "assistant.threads.setTitle", "chat.postMessage"
        assert error(suggest, channel_id="D1", prompts=[prompt] * 4, title="Hello") is None
        for prompts in ([], [prompt] * 5, [{"title": "Plan"}], "Plan", None):
            assert error(suggest, channel_id="D1", prompts=prompts) == "invalid_arguments", prompts
        # In an agent it silently does nothing with a thread; in an app with the older view it suggests there.
        assert error(suggest, channel_id="D1", prompts=[prompt], thread_ts="1.2") is None
        assert [it.thread_ts for it in slack.suggested] == [None]
        slack.is_agent = False
        assert error(suggest, channel_id="D1", prompts=[prompt], thread_ts="1.2") is None
        assert [it.thread_ts for it in slack.suggested] == [None, "1.2"]
        assert error(title, channel_id="D1", thread_ts="1.2", title="x" * 201) == "invalid_arguments"

        slack.is_agent = True
        status = {"channel_id": "C1", "thread_ts": "1.2", "status": "processing"}
        assert error("agents.sessions.setStatus", **status, title="x" * 201) == "invalid_arguments"
        for given in ("the first", "the second"):
            assert error("agents.sessions.setStatus", **status, title=given) is None
        assert slack.titles["C1", "1.2"] == "the first"

        def posted(*blocks) -> str | None:
            return error(post, channel="C1", text="x", blocks=list(blocks))

        assert posted(section, {"type": "context_actions", "elements": [feedback]}) is None
        longer = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}
        valueless = feedback | {"negative_button": {"text": button["text"]}}
        for wrong in ((), (longer,), ({"type": "context_actions", "elements": [valueless]},), ({"type": "feedback"},)):
            assert posted(*wrong) == "invalid_blocks", wrong
        slack.scopes.discard("assistant:write")
        assert error(suggest, channel_id="D1", prompts=[prompt]) == "missing_scope"


def test_slack_opens_a_modal_once_by_a_trigger_that_is_young() -> None:
    modal = {"type": "modal", "title": {"type": "plain_text", "text": "Order"}, "blocks": []}
    name = {"type": "input", "label": {"type": "plain_text", "text": "What"}, "element": {"type": "plain_text_input"}}
    with SlackApi() as slack:
        def call(method: str, **fields) -> dict:
            return slack.answer(method, f"Bearer {slack.token}", fields).body

        def opened(view=modal, trigger: str | None = None) -> str | None:
            return call("views.open", trigger_id=trigger or slack.views.new_trigger("U1"), view=view).get("error")

        trigger, late = slack.views.new_trigger("U1"), slack.views.new_trigger("U1")
        assert opened(trigger=trigger) is None
        assert opened(trigger=trigger) == "exchanged_trigger_id"
        slack.views.trigger_seconds = 0
        assert opened(trigger=late) == "expired_trigger_id"
        slack.views.trigger_seconds = TRIGGER_SECONDS
        assert opened(trigger="1.2.3") == "invalid_trigger_id"
        assert opened(modal | {"external_id": "one"}) is None
        assert opened(modal | {"external_id": "one"}) == "duplicate_external_id"
        submit = {"submit": {"type": "plain_text", "text": "Send"}}
        assert opened(modal | submit | {"blocks": [name]}) is None
        for wrong in ({"blocks": [name]}, {"title": {"type": "plain_text", "text": "x" * 25}}, {"type": "home"}, {"blocks": None},
                      {"external_id": "x" * 256}):
            assert opened(modal | wrong) == "invalid_arguments", wrong
        assert [it.external_id for it in slack.views.modals] == [None, "one", None]

        changed = modal | {"title": {"type": "plain_text", "text": "Changed"}}
        shown = call("views.update", external_id="one", view=json.dumps(changed))["view"]
        assert slack.views.modals[1].content == changed and shown["id"] == slack.views.modals[1].id
        assert call("views.update", view_id=shown["id"], hash="1.x", view=changed)["error"] == "hash_conflict"
        assert call("views.update", view_id=shown["id"], hash=shown["hash"], view=changed)["ok"]
        assert call("views.update", external_id="two", view=changed)["error"] == "not_found"
        assert call("views.update", view=changed)["error"] == "invalid_arguments"
        assert call("views.publish", user_id="U1", view={"type": "home", "blocks": []})["ok"]
        assert call("views.publish", user_id="U1", view=modal)["error"] == "invalid_arguments"
        assert set(slack.views.homes) == {"U1"}


# ── Buttons ──────────────────────────────────────────────────────────────────────────────────────────────────


def button(action_id: str = "approve", **more) -> dict:
    return {"type": "button", "action_id": action_id, "text": {"type": "plain_text", "text": "Approve"}, "value": "1 a q"} | more


def preformatted(text: str) -> dict:
    return {"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}]}


SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "May I?"}}
CONTEXT = {"type": "context", "elements": [{"type": "mrkdwn", "text": "until tomorrow"}]}
ACTIONS = {"type": "actions", "block_id": "decide", "elements": [
    button(style="primary"), button("refuse", style="danger", value="x" * 2000)]}


@pytest.mark.parametrize("wrong", [
    [{"type": "actions", "elements": []}],
    [{"type": "actions", "elements": [button(str(number)) for number in range(26)]}],
    [{"type": "actions", "elements": [button(), button()]}],
    [{"type": "actions", "elements": [button(value="x" * 2001)]}],
    [{"type": "actions", "elements": [button(value="")]}],
    [{"type": "actions", "elements": [button(text={"type": "plain_text", "text": "x" * 76})]}],
    [{"type": "actions", "elements": [button(text={"type": "mrkdwn", "text": "Approve"})]}],
    [{"type": "actions", "elements": [button(style="green")]}],
    [{"type": "actions", "elements": [button("x" * 256)]}],
    [{"type": "actions", "elements": [{"type": "knob", "action_id": "a"}]}],
    [ACTIONS, ACTIONS],
    [SECTION | {"block_id": "x" * 256}],
    [SECTION] * 51,
    [{"type": "context", "elements": []}],
    [{"type": "context", "elements": CONTEXT["elements"] * 11}],
    [{"type": "rich_text", "elements": []}],
    [preformatted("")],
    [{"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "user", "user_id": "U1"}]}]}],
    [{"type": "rich_text", "elements": [{"type": "text", "text": "bare"}]}],
], ids=lambda blocks: json.dumps(blocks)[:60])
def test_slack_refuses_a_post_with_buttons_that_it_could_not_show(wrong: list[dict]) -> None:
    with SlackApi() as slack:
        def error(*blocks: dict) -> str | None:
            fields = {"channel": "C1", "text": "x", "blocks": list(blocks)}
            return slack.answer("chat.postMessage", f"Bearer {slack.token}", fields).body.get("error")

        assert error(SECTION, preformatted('{"name": "a card"}'), ACTIONS, CONTEXT) is None
        assert error(*wrong) == "invalid_blocks"
        assert error(preformatted("x" * 11_001)) == "msg_blocks_too_long"


def test_an_update_replaces_the_text_and_the_blocks_of_a_post_that_is_the_apps() -> None:
    with SlackApi() as slack:
        def call(method: str, **fields) -> dict:
            return slack.answer(method, f"Bearer {slack.token}", {"channel": "C1"} | fields).body

        metadata = {"event_type": "slack_ingress_answer", "event_payload": {"nonce": "1"}}
        ts = call("chat.postMessage", text="May I?", thread_ts="1.2", blocks=[SECTION, ACTIONS], metadata=metadata)["ts"]
        call("chat.postMessage", text="behind it")
        assert call("chat.update", ts=ts, text="Approved", blocks=[CONTEXT])["ok"]
        [post, _] = slack.posts
        assert (post.text, post.blocks, post.thread_ts, post.metadata) == ("Approved", [CONTEXT], "1.2", metadata)
        assert slack.message("C1", ts)["blocks"] == [CONTEXT] and "edited" in slack.message("C1", ts)
        assert call("chat.update", ts=ts, text="Approved again")["ok"] and slack.posts[0].blocks == [CONTEXT]
        assert call("chat.update", ts=ts, text="Approved for good", blocks=[])["ok"] and slack.posts[0].blocks is None
        assert call("chat.update", ts=ts, text="wrong", blocks=[{"type": "actions"}])["error"] == "invalid_blocks"
        assert call("chat.update", ts="1.5", text="of nothing")["error"] == "message_not_found"
        assert call("chat.update", ts=ts, channel="C2", text="elsewhere")["error"] == "message_not_found"
        slack.say("C1", "1.9", "somebody's")
        assert call("chat.update", ts="1.9", text="mine now")["error"] == "cant_update_message"


def test_a_pressed_button_is_told_as_slack_tells_it() -> None:
    with SlackApi() as slack:
        fields = {"channel": "C1", "text": "May I?", "thread_ts": "1.2", "blocks": [SECTION, ACTIONS]}
        ts = slack.answer("chat.postMessage", f"Bearer {slack.token}", fields).body["ts"]
        event = press(slack.message("C1", ts), "C1", "refuse", "https://hooks.example/1", "U0OTHER")
    assert event.content_type == "application/x-www-form-urlencoded" and event.response_url == "https://hooks.example/1"
    [payload] = urllib.parse.parse_qs(event.body.decode())["payload"]
    told = json.loads(payload)
    assert (told["type"], told["user"]["id"], told["user"]["team_id"], told["team"]["id"], told["api_app_id"]) == (
        "block_actions", "U0OTHER", TEAM, TEAM, APP)
    assert told["container"] == {"type": "message", "message_ts": ts, "channel_id": "C1", "is_ephemeral": False, "thread_ts": "1.2"}
    assert told["channel"]["id"] == "C1" and told["response_url"] == "https://hooks.example/1" and told["trigger_id"]
    message = told["message"]
    assert (message["ts"], message["thread_ts"], message["user"], message["app_id"]) == (ts, "1.2", BOT_USER, APP)
    assert message["blocks"] == [SECTION, ACTIONS]
    [action] = told["actions"]
    assert (action["action_id"], action["block_id"], action["value"], action["type"]) == ("refuse", "decide", "x" * 2000, "button")
    with pytest.raises(ValueError):
        press(message, "C1", "another", "https://hooks.example/1", PERSON)


def test_a_response_url_of_a_click_keeps_what_one_person_is_told() -> None:
    with SlackHooks().serve() as hooks:
        url = hooks.new(of="actions")
        hooks.answer(url, b'{"text": "Not you.", "response_type": "ephemeral", "replace_original": false}')
        hooks.answer(url, b'{"text": "Done.", "replace_original": "true"}')
        assert "/actions/" in url
        assert [(it.text, it.response_type, it.replaces) for it in hooks.of(url)] == [
            ("Not you.", "ephemeral", False), ("Done.", "ephemeral", True)]


def test_slack_tells_who_is_in_a_user_group_if_the_app_may_ask() -> None:
    with SlackApi() as slack:
        def members(group: str) -> dict:
            return slack.answer("usergroups.users.list", f"Bearer {slack.token}", {"usergroup": group}).body

        slack.user_groups |= {"S1": ["U1", "U2"], "S2": "plan_upgrade_required"}
        assert members("S1") == {"ok": True, "users": ["U1", "U2"]}
        assert members("S2")["error"] == "plan_upgrade_required" and members("S3")["error"] == "no_such_subteam"
        slack.scopes.discard("usergroups:read")
        assert members("S1")["error"] == "missing_scope"


# ── EventBridge Scheduler ────────────────────────────────────────────────────────────────────────────────────


class Schedules:
    """EventBridge Scheduler before MiniStack's SQS, called by AWS's own client as agent-settle, or as somebody else."""

    def __init__(self, api: SchedulerApi, identities: dict[str, Identity]) -> None:
        self.api, self.identities = api, identities

    def create(self, name: str, at: datetime | str | None = None, who: str = "agent-settle", message: object = None, **more) -> str:
        identity = self.identities[who]
        client = boto3.client(
            "scheduler", region_name=REGION, endpoint_url=self.api.url, aws_access_key_id=identity.access_key,
            aws_secret_access_key=identity.secret_key, config=Config(retries={"max_attempts": 0}, parameter_validation=False))
        at = at or datetime.now(timezone.utc) + timedelta(hours=1)
        expression = at if isinstance(at, str) else f"at({at:%Y-%m-%dT%H:%M:%S})"
        text = message if isinstance(message, str) else json.dumps(message or self.lapse(name))
        target = {"Arn": TARGET, "RoleArn": SCHEDULE_ROLE, "Input": text} | more.pop("target", {})
        given = {"Name": name, "GroupName": GROUP, "ClientToken": name, "ScheduleExpression": expression, "Target": target,
                 "FlexibleTimeWindow": {"Mode": "OFF"}, "ActionAfterCompletion": "DELETE"} | more
        return client.create_schedule(**given)["ScheduleArn"]

    def lapse(self, name: str) -> dict:
        attributes = {"kind": "lapse", "event_id": f"lapse:{name}"}
        return {"QueueUrl": self.api.queue_url, "MessageBody": json.dumps({"approval": name}), "MessageGroupId": "T1:C1:1.2",
                "MessageDeduplicationId": f"lapse:{name}",
                "MessageAttributes": {it: {"DataType": "String", "StringValue": text} for it, text in attributes.items()}}

    def received(self) -> list[dict]:
        return self.api.sqs.receive_message(
            QueueUrl=self.api.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"]).get("Messages", [])


@pytest.fixture
def schedules(tmp_path: pathlib.Path) -> Iterator[Schedules]:
    identities = {name: Identity(name) for name in ("agent-settle", "agent-dispatch", "agent")}
    emulator = Emulator(tmp_path)
    try:
        emulator.wait_until_it_answers()
        sqs = aws_client("sqs", emulator.url, identities["agent"])
        queue_url, _, _ = create_queues(sqs, 30)
        with SchedulerApi(sqs, queue_url, REGION, list(identities.values()), {"agent-settle"}).serve() as api:
            yield Schedules(api, identities)
    finally:
        emulator.stop()


def test_a_schedule_puts_its_message_on_the_queue_when_it_is_due_and_is_gone(schedules: Schedules) -> None:
    assert schedules.create("later").endswith(f":schedule/{GROUP}/later")
    schedules.create("soon", datetime.now(timezone.utc) + timedelta(seconds=2))
    assert set(schedules.api.schedules) == {"later", "soon"} and schedules.received() == []
    [message] = eventually("it is due", schedules.received, 10)
    assert json.loads(message["Body"]) == {"approval": "soon"}
    assert {name: it["StringValue"] for name, it in message["MessageAttributes"].items()} == {"kind": "lapse", "event_id": "lapse:soon"}
    assert (message["Attributes"]["MessageGroupId"], message["Attributes"]["MessageDeduplicationId"]) == ("T1:C1:1.2", "lapse:soon")
    assert set(schedules.api.schedules) == {"later"}
    schedules.api.sqs.delete_message(QueueUrl=schedules.api.queue_url, ReceiptHandle=message["ReceiptHandle"])
    schedules.api.due_now("later")
    assert [json.loads(it["Body"]) for it in schedules.received()] == [{"approval": "later"}]
    assert [it.name for it in schedules.api.sent] == ["soon", "later"] and schedules.api.schedules == {}
    with pytest.raises(KeyError):
        schedules.api.due_now("later")


def test_a_name_is_there_once_and_the_same_request_again_changes_nothing(schedules: Schedules) -> None:
    at = datetime.now(timezone.utc) + timedelta(hours=1)
    assert schedules.create("one", at) == schedules.create("one", at)
    assert error_of(lambda: schedules.create("one", at, ClientToken="two")) == (409, "ConflictException")
    assert error_of(lambda: schedules.create("one", at + timedelta(hours=1))) == (409, "ConflictException")
    assert len(schedules.api.schedules) == 1


@pytest.mark.parametrize(("wrong", "error"), [
    ({"name": "x" * 65}, (400, "ValidationException")),
    ({"name": "a name"}, (400, "ValidationException")),
    ({"ClientToken": "x" * 65}, (400, "ValidationException")),
    ({"at": "at(2100-01-01T00:00:00Z)"}, (400, "ValidationException")),
    ({"at": "at(2100-02-30T00:00:00)"}, (400, "ValidationException")),
    ({"at": "rate(1 hour)"}, (400, "ValidationException")),
    ({"at": "at(2020-01-01T00:00:00)"}, (400, "ValidationException")),
    ({"FlexibleTimeWindow": {}}, (400, "ValidationException")),
    ({"ActionAfterCompletion": "KEEP"}, (400, "ValidationException")),
    ({"target": {"Arn": "arn:aws:sqs:us-east-1:000000000000:events.fifo"}}, (400, "ValidationException")),
    ({"target": {"RoleArn": "schedules"}}, (400, "ValidationException")),
    ({"message": "not JSON"}, (400, "ValidationException")),
    ({"message": {"MessageBody": "x"}}, (400, "ValidationException")),
    ({"message": {"QueueUrl": "https://q", "MessageBody": {"n": 1}}}, (400, "ValidationException")),
    ({"message": {"QueueUrl": "https://q", "MessageBody": "x", "GroupId": "x"}}, (400, "ValidationException")),
    ({"message": {"QueueUrl": "https://q", "MessageBody": "x", "MessageAttributes": {"kind": "lapse"}}}, (400, "ValidationException")),
    ({"GroupName": "default"}, (403, "AccessDeniedException")),
    ({"target": {"RoleArn": "arn:aws:iam::000000000000:role/admin"}}, (403, "AccessDeniedException")),
    ({"who": "agent"}, (403, "AccessDeniedException")),
    ({"who": "agent-dispatch"}, (403, "AccessDeniedException")),
    ({"who": "stranger"}, (403, "UnrecognizedClientException")),
], ids=lambda it: json.dumps(it)[:70])
def test_scheduler_refuses(schedules: Schedules, wrong: dict, error: tuple[int, str]) -> None:
    schedules.identities["stranger"] = Identity("stranger")
    assert error_of(lambda: schedules.create(**{"name": "one"} | wrong)) == error
    assert schedules.api.schedules == {} and len(schedules.api.refused) == 1


def test_scheduler_refuses_a_wrong_signature_and_fails_when_a_test_tells_it_to(schedules: Schedules) -> None:
    right = schedules.identities["agent-settle"]
    schedules.identities["forger"] = Identity("forger", right.access_key)
    assert error_of(lambda: schedules.create("one", who="forger"))[0] == 403
    schedules.api.inject(scheduler_api.Fault(error=scheduler_api.THROTTLED))
    assert error_of(lambda: schedules.create("one")) == (429, "ThrottlingException")
    schedules.api.inject(scheduler_api.Fault(lost=True))
    with pytest.raises(BotoCoreError):
        schedules.create("one")
    assert set(schedules.api.schedules) == {"one"}, "it took effect"


def test_a_schedule_reaches_no_other_queue(schedules: Schedules) -> None:
    schedules.create("one", message={"QueueUrl": f"{schedules.api.queue_url}x", "MessageBody": "x"})
    schedules.api.due_now("one")
    assert [error for _, error in schedules.api.dropped] == ["AccessDenied"] and schedules.received() == []
