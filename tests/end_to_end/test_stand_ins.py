"""The stand-ins refuse wrong requests, here made by AWS's own client. A stand-in that accepted everything would prove
nothing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from stand_ins.agentcore import Fault, agent_error
from stand_ins.world import REGION, RUNTIME_ARN, World, mention

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
    event = mention("by hand")
    payload = {"version": 1, "event_id": event.event_id, "attempt": 1,
               "attributes": {"kind": "event", "type": "app_mention", "event_id": event.event_id, "received_at": "1"},
               "body": json.loads(event.body)}
    answer = invoke(world, json.dumps(payload).encode(), qualifier="DEFAULT")
    assert (answer["statusCode"], answer["runtimeSessionId"]) == (200, SESSION)
    assert json.loads(answer["response"].read()) == {"status": "accepted"}


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
    assert world.gateway.refused == refused + 1
