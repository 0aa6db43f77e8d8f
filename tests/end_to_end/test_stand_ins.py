"""The stand-in for AgentCore, seen by AWS's own client: one that lets everything in would prove nothing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import boto3
import pytest
from agentcore import Fault, agent_error
from botocore.config import Config
from botocore.exceptions import ClientError
from world import REGION, RUNTIME_ARN, World, mention

SESSION = "slack-" + "0" * 64


def invoke(world: World, payload: bytes = b"{}", secret_key: str | None = None, **parameters: str):
    [(access_key, right)] = world.agentcore.keys.items()
    client = boto3.client(
        "bedrock-agentcore", region_name=REGION, endpoint_url=world.agentcore.url, aws_access_key_id=access_key,
        aws_secret_access_key=secret_key or right,
        config=Config(retries={"max_attempts": 0}, parameter_validation=False))
    given = {"agentRuntimeArn": RUNTIME_ARN, "runtimeSessionId": SESSION, "payload": payload}
    return client.invoke_agent_runtime(**given | parameters)


def error_of(call) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def test_it_hands_on_what_is_well_signed(here: World) -> None:
    event = mention("by hand")
    payload = {"version": 1, "event_id": event.event_id, "attempt": 1,
               "attributes": {"kind": "event", "type": "app_mention", "event_id": event.event_id, "received_at": "1"},
               "body": json.loads(event.body)}
    answer = invoke(here, json.dumps(payload).encode(), qualifier="DEFAULT")
    assert (answer["statusCode"], answer["runtimeSessionId"]) == (200, SESSION)
    assert json.loads(answer["response"].read()) == {"status": "accepted"}


def test_it_refuses_another_signature(here: World) -> None:
    assert error_of(lambda: invoke(here, secret_key="another"))[0] == 403


@pytest.mark.parametrize(("parameters", "error"), [
    ({"runtimeSessionId": "s" * 32}, (400, "ValidationException")),
    ({"runtimeSessionId": "s" * 257}, (400, "ValidationException")),
    ({"agentRuntimeArn": RUNTIME_ARN + "x"}, (404, "ResourceNotFoundException")),
    ({"qualifier": "no-such-endpoint"}, (404, "ResourceNotFoundException")),
], ids=["a short session", "a long session", "another agent", "another endpoint"])
def test_it_refuses(here: World, parameters: dict[str, str], error: tuple[int, str]) -> None:
    assert error_of(lambda: invoke(here, **parameters)) == error


def test_an_agent_that_refuses_is_a_runtime_client_error(here: World) -> None:
    assert error_of(lambda: invoke(here, b'{"version": "none"}')) == (424, "RuntimeClientError")


def test_it_fails_when_it_is_told(here: World) -> None:
    here.agentcore.throttle(1, "EvTold")
    here.agentcore.fail(1, "EvTold")
    here.agentcore.inject(Fault(1, "EvTold", agent_error("told")))
    codes = [error_of(lambda: invoke(here, b'{"event_id": "EvTold"}')) for _ in range(3)]
    assert codes == [(429, "ThrottlingException"), (500, "InternalServerException"), (424, "RuntimeClientError")]


def test_the_gateway_refuses_what_is_not_signed(here: World) -> None:
    refused = here.gateway.refused
    request = urllib.request.Request(here.gateway.url, b"{}", {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert caught.value.code == 403
    assert here.gateway.refused == refused + 1
