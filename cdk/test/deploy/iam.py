"""The part `iam`: the stack is deployed where the emulator enforces the roles of the functions."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from emulator import enforcing_ministack
from ingress import Deployed
from report import Failed, check, eventually, step
from slack_requests import event
from stack import Account


def part_iam(work: pathlib.Path) -> None:
    with enforcing_ministack(work) as emulator:
        account = Account(emulator, work)
        step("cdk bootstrap and cdk deploy, with IAM enforced")
        account.cdk_bootstrap()
        # The secret is created here and imported. For a secret that the stack creates, the emulator's `Ref` returns the
        # name and not the ARN as on AWS, and then the role's policy would match no secret.
        secrets = account.client("secretsmanager")
        secret = secrets.create_secret(Name="slack/signing-secret", SecretString="-" * 64)["ARN"]
        deployed = Deployed(account, account.cdk_deploy(signingSecretArn=secret))
        deployed.check_signatures()
        deployed.check_an_event()

        step("the emulator does enforce IAM: if the ingress lacks a right, the step that needs it fails")
        deployed.set_schedule(enabled=False)
        ingress, redrive = Role(deployed, "FunctionName"), Role(deployed, "RedriveFunctionName")
        for action, status in (("sqs:SendMessage", 503), ("dynamodb:PutItem", 503)):
            body = event(f"EvWithout{action.split(':')[1]}", ts="1700000000.000300")
            with ingress.without(action):
                eventually(f"without {action} the answer is {status}", lambda: deployed.slack.post(body)[0], status)
                check("and there is no record", deployed.record(json.loads(body)["event_id"]), None)
            eventually(f"with {action} the answer is 200", lambda: deployed.slack.post(body, retry=1)[0], 200)
        check("each event is on the queue once", deployed.depth(deployed.queue), 3)

        step("the same for the redrive function")
        body = event("EvParked", ts="1700000000.000400")
        with ingress.without("sqs:SendMessage"):
            eventually("an event that the ingress may not send is answered with 503",
                       lambda: deployed.slack.post(body)[0], 503)
            check("and with 200 at the last retry, because it is parked", deployed.slack.post(body, retry=3)[0], 200)
        for action in ("dynamodb:Query", "dynamodb:UpdateItem", "sqs:SendMessage"):
            with redrive.without(action):
                eventually(f"without {action} the redrive fails",
                           lambda: sent_and_failed(deployed.redrive()), [0, 1], 30)
                check("and the event stays parked", (deployed.record("EvParked") or {}).get("state"), {"S": "parked"})
        eventually("with all of its rights the redrive sends the event", deployed.redrive,
                   {"redriven": 1, "failed": 0, "left": 0}, 30)
        check("once", deployed.depth(deployed.queue), 4)

        step("each function may call only what its role needs to allow")
        table, queue = deployed.outputs["TableName"], deployed.queue
        key = {"TableName": table, "Key": {"event_id": {"S": "EvParked"}}}
        parked = {"TableName": table, "IndexName": "parked", "KeyConditionExpression": "parked = :parked",
                  "ExpressionAttributeValues": {":parked": {"S": "1"}}}
        calls: dict[str, tuple[str, str, dict[str, Any]]] = {
            "Query of the index": ("dynamodb", "query", parked),
            "Query of the table": ("dynamodb", "query", {
                "TableName": table, "KeyConditionExpression": "event_id = :id",
                "ExpressionAttributeValues": {":id": {"S": "EvParked"}}}),
            "GetItem": ("dynamodb", "get_item", key),
            "Scan": ("dynamodb", "scan", {"TableName": table}),
            "PutItem": ("dynamodb", "put_item", {"TableName": table, "Item": {"event_id": {"S": "EvRole"}}}),
            "UpdateItem": ("dynamodb", "update_item", {"TableName": table, "Key": {"event_id": {"S": "EvRole"}}}),
            "DeleteItem": ("dynamodb", "delete_item", {"TableName": table, "Key": {"event_id": {"S": "EvRole"}}}),
            "GetQueueAttributes": ("sqs", "get_queue_attributes", {"QueueUrl": queue}),
            "ReceiveMessage": ("sqs", "receive_message", {"QueueUrl": queue, "VisibilityTimeout": 0}),
            "PurgeQueue": ("sqs", "purge_queue", {"QueueUrl": queue}),
            "GetSecretValue": ("secretsmanager", "get_secret_value", {"SecretId": secret}),
        }
        for role, name, allowed in (
            (ingress, "the ingress", ["PutItem", "UpdateItem", "DeleteItem", "GetQueueAttributes", "GetSecretValue"]),
            (redrive, "the redrive function", ["Query of the index", "UpdateItem"]),
        ):
            check(f"of {len(calls)} calls {name} may make these: {', '.join(allowed)}", role.allowed(calls), allowed)


def sent_and_failed(answer: dict[str, int]) -> list[int]:
    """From the answer of a redrive. The third number, what is left, is unknown when the events cannot be listed."""
    return [answer["redriven"], answer["failed"]]


class Role:
    """The role of a deployed function, and its one policy."""

    def __init__(self, deployed: Deployed, function: str) -> None:
        self.account = deployed.account
        self.iam = self.account.client("iam")
        self.arn = deployed.configuration(function)["Role"]
        self.name = self.arn.rsplit("/", 1)[-1]
        [self.policy] = self.iam.list_role_policies(RoleName=self.name)["PolicyNames"]
        self.whole = self.iam.get_role_policy(RoleName=self.name, PolicyName=self.policy)["PolicyDocument"]

    def put(self, document: dict[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=self.name, PolicyName=self.policy, PolicyDocument=json.dumps(document))

    @contextlib.contextmanager
    def without(self, action: str) -> Iterator[None]:
        """Takes one action out of the policy, and puts it back in the end."""
        self.put(without(self.whole, action))
        try:
            yield
        finally:
            self.put(self.whole)

    def allowed(self, calls: dict[str, tuple[str, str, dict[str, Any]]]) -> list[str]:
        """The names of the calls that the role allows. To find out, the account assumes the role; from then on the
        role's trust policy lets it."""
        principal = {"AWS": f"arn:aws:iam::{self.account.number}:root"}
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}]}
        self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(trust))
        assumed = self.account.client("sts").assume_role(RoleArn=self.arn, RoleSessionName="test")["Credentials"]
        credentials = {"aws_access_key_id": assumed["AccessKeyId"], "aws_secret_access_key": assumed["SecretAccessKey"],
                       "aws_session_token": assumed["SessionToken"]}

        def is_allowed(service: str, operation: str, arguments: dict[str, Any]) -> bool:
            try:
                getattr(self.account.client(service, **credentials), operation)(**arguments)
                return True
            except ClientError as error:
                if "AccessDenied" in error.response["Error"]["Code"]:
                    return False
                raise

        return [name for name, call in calls.items() if is_allowed(*call)]


def without(policy: dict[str, Any], action: str) -> dict[str, Any]:
    """A copy of `policy` without this action."""
    rest = json.loads(json.dumps(policy))
    for statement in rest["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [it for it in actions if it != action]
    rest["Statement"] = [it for it in rest["Statement"] if it["Action"]]
    if rest == policy:
        raise Failed(f"the role's policy does not contain {action}")
    return rest
