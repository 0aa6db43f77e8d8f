"""What happens in the world between two commands of a page: `hooks.py NAME`. Slack, a consumer or a fault brings it about."""

from __future__ import annotations

import io
import json
import os
import pathlib
import sys
import time
import zipfile
from typing import Any

import boto3

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "demo"), str(ROOT / "cdk/test/deploy")]

from slack_requests import SlackRequests, event  # noqa: E402

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
OUTPUTS = pathlib.Path("cdk/outputs.json")
PARKED = "EvParkedForTheDocs"


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def output(name: str, stack: str = "SlackIngress") -> str:
    return json.loads(OUTPUTS.read_text())[stack][name]


def until(what: str, look: Any, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.2)
    return found


def mention() -> None:
    """Somebody mentions the bot. Slack signs with the secret that was typed, so an ingress that has another one refuses it."""
    slack = SlackRequests(os.environ["AWS_ENDPOINT_URL"], output("RequestUrl"))
    body = event(f"Ev{time.time_ns()}", ts=f"{time.time():.6f}")
    status, answer = slack.post(body, secret=SIGNING_SECRET)
    if (status, answer) != (200, b'{"ok":true}'):
        raise SystemExit(f"the mention is answered {status} {answer!r}")


def mapping() -> str:
    [found] = client("lambda").list_event_source_mappings(FunctionName=output("DispatchFunctionName", "SlackIngressAgent"))["EventSourceMappings"]
    return found["UUID"]


def dead_letter() -> None:
    """The dispatcher gives a message up and writes it into the dead-letter queue; then it stops, so that one sees what is sent back."""
    sqs = client("sqs")
    client("lambda").update_event_source_mapping(UUID=mapping(), Enabled=True)
    sqs.send_message(QueueUrl=output("QueueUrl"), MessageBody="this is no JSON", MessageGroupId="g", MessageDeduplicationId=str(time.time_ns()),
                     MessageAttributes={name: {"DataType": "String", "StringValue": it} for name, it in {
                         "kind": "event", "type": "app_mention", "event_id": "EvUnreadable", "conversation": "g"}.items()})

    def letters() -> Any:
        found = sqs.receive_message(QueueUrl=output("DeadLetterQueueUrl"), VisibilityTimeout=0, MessageAttributeNames=["All"])
        return [it for it in found.get("Messages", []) if "dead_letter_reason" in it.get("MessageAttributes", {})]

    until("the dispatcher's letter", letters)
    client("lambda").update_event_source_mapping(UUID=mapping(), Enabled=False)
    time.sleep(2)  # a poll that is under way


def park() -> None:
    client("dynamodb").put_item(TableName=output("TableName"), Item={
        "event_id": {"S": PARKED}, "parked": {"S": "s05"}, "received_at": {"N": "1700000000000"}, "state": {"S": "parked"}})


def unpark() -> None:
    client("dynamodb").delete_item(TableName=output("TableName"), Key={"event_id": {"S": PARKED}})


def message_on_the_queue() -> None:
    """Takes the message that the page has sent. With the agent's queue it would be the dispatcher's."""
    found = client("sqs").receive_message(QueueUrl=output("QueueUrl"), MessageAttributeNames=["All"])["Messages"]
    if [it["MessageAttributes"]["event_id"]["StringValue"] for it in found] != ["try-1"]:
        raise SystemExit(f"on the queue there is {found}")
    for it in found:
        client("sqs").delete_message(QueueUrl=output("QueueUrl"), ReceiptHandle=it["ReceiptHandle"])


def deployment_role() -> None:
    """The role is what the page wants it to be, whatever a shell makes of `$ACCOUNT:role`. Then it is removed for the next shell."""
    iam, name, account = client("iam"), "slack-ingress-deploy", "arn:aws:iam::000000000000"
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    rights = iam.get_role_policy(RoleName=name, PolicyName="cdk")["PolicyDocument"]
    provider = trust["Statement"][0]["Principal"]["Federated"]
    if provider not in [it["Arn"] for it in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]:
        raise SystemExit(f"{provider} is trusted, and there is no such provider")
    roles = [f"{account}:role/cdk-hnb659fds-{it}-role-000000000000-us-east-1" for it in ("deploy", "file-publishing", "lookup")]
    if rights["Statement"][0]["Resource"] != roles:
        raise SystemExit(f"the role may become {rights['Statement'][0]['Resource']}")
    iam.delete_role_policy(RoleName=name, PolicyName="cdk")
    iam.delete_role(RoleName=name)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)


GUARD = "slack-ingress-guard-for-the-docs"


def guard_table() -> None:
    """The table of two regions: an entry that is over and one that is not."""
    dynamodb = client("dynamodb")
    dynamodb.create_table(TableName=GUARD, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "event_id", "KeyType": "HASH"}],
                          AttributeDefinitions=[{"AttributeName": "event_id", "AttributeType": "S"}])
    for name, expires_at in (("EvOver", time.time() - 1), ("EvNotOver", time.time() + 3600)):
        dynamodb.put_item(TableName=GUARD, Item={"event_id": {"S": name}, "expires_at": {"N": str(int(expires_at))}})
    outputs = json.loads(OUTPUTS.read_text())
    outputs["SlackIngress"]["GuardTableName"] = GUARD
    OUTPUTS.write_text(json.dumps(outputs))


def guard_table_is_tidy() -> None:
    left = client("dynamodb").scan(TableName=GUARD)["Items"]
    client("dynamodb").delete_table(TableName=GUARD)
    if [it["event_id"]["S"] for it in left] != ["EvNotOver"]:
        raise SystemExit(f"in the guard's table there is {left}")


def put_secret(text: str) -> None:
    client("secretsmanager").put_secret_value(SecretId=output("SigningSecretArn"), SecretString=text)


def plain_secret() -> None:
    put_secret(SIGNING_SECRET)


def secret_of_two_apps() -> None:
    put_secret(json.dumps({"A0123456789": SIGNING_SECRET, "A0987654321": "0" * 32}))


def handler() -> None:
    """The handler of docs/migrate.md exists."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as file:
        file.writestr("index.py", "def handler(event, context):\n    raise RuntimeError('it is never called here')\n")
    client("lambda").create_function(FunctionName="my-handler", Runtime="python3.12", Role="arn:aws:iam::000000000000:role/handler",
                                     Handler="index.handler", Code={"ZipFile": code.getvalue()})


if __name__ == "__main__":
    globals()[sys.argv[1]]()
