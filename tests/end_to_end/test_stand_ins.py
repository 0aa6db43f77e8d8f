"""The stand-ins refuse wrong requests, here made by AWS's own client. A stand-in that accepted everything would prove
nothing."""

from __future__ import annotations

import json
import pathlib
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from expect import signed_call
from stand_ins import lambda_api
from stand_ins.agentcore import Fault, agent_error
from stand_ins.events import new_channel, new_ts
from stand_ins.functions import REGION, Function
from stand_ins.lambda_api import LambdaApi
from stand_ins.processes import eventually
from stand_ins.sigv4 import Identity
from stand_ins.slack_api import SlackApi
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
