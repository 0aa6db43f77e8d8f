"""De-duplication for a handler that is there already: step 1 of docs/migrate.md, and the consumer's own guard in step 2.

The same records as slack-ingress writes (src/dedup/dynamodb.rs), in the same table, so that the two can stand side by
side while Slack's request URL moves from one to the other. Needs dynamodb:PutItem, UpdateItem and DeleteItem on it.

    guard = Guard(os.environ["DEDUP_TABLE"])

    def handler(event, context):
        slack_event = ...                                  # after the signature was verified
        status = guard.once(slack_event["event_id"], context, lambda: answer(slack_event))
        return {"statusCode": status}
"""

import time

import boto3
from botocore.exceptions import ClientError

# For clocks that differ, and for what is on the wire when its sender dies.
LEASE_MARGIN_MS = 2000
IS_FREE = ("attribute_not_exists(event_id) OR expires_at <= :now_seconds"
           " OR (#state = :in_flight AND lease_until < :now_millis)")


class Guard:
    """Whoever records an id first does the work; the others are told whether it is done or still going on."""

    def __init__(self, table, prefix="", ttl_seconds=3600, client=None):
        self.table, self.prefix, self.ttl_seconds = table, prefix, ttl_seconds
        self.client = client or boto3.client("dynamodb")

    def once(self, event_id, context, work):
        """Does `work`, unless it was done. The HTTP status: 200 done, 503 somebody else is at it: ask again."""
        owner = context.aws_request_id
        state = self.record(event_id, owner, context.get_remaining_time_in_millis())
        if state != "new":
            return 503 if state == "in_flight" else 200
        try:
            work()
        except BaseException:
            self.delete(event_id, owner)
            raise
        self.confirm(event_id, owner)
        return 200

    def record(self, event_id, owner, remaining_ms):
        """`new`: it is ours until the invocation ends. Otherwise `in_flight` or `forwarded` (or `parked`)."""
        now = int(time.time() * 1000)
        lease_until = now + remaining_ms + LEASE_MARGIN_MS
        item = {
            "event_id": {"S": self.prefix + event_id},
            "state": {"S": "in_flight"},
            "owner": {"S": owner},
            "received_at": {"N": str(now)},
            "lease_until": {"N": str(lease_until)},
            "expires_at": {"N": str(now // 1000 + self.ttl_seconds)},
        }
        try:
            self.client.put_item(
                TableName=self.table, Item=item, ConditionExpression=IS_FREE,
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":in_flight": {"S": "in_flight"}, ":now_millis": {"N": str(now)},
                                           ":now_seconds": {"N": str(now // 1000)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD")
            return "new"
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            standing = error.response["Item"]
            # boto3 repeated a write whose answer was lost: the record that stands there is our own.
            return "new" if standing == item else standing["state"]["S"]

    def confirm(self, event_id, owner):
        """The work is done. Only of its owner: one that woke up late does not touch another's record."""
        self._settle(self.client.update_item, event_id, owner, UpdateExpression="SET #state = :forwarded",
                     names={"#state": "state"}, values={":forwarded": {"S": "forwarded"}})

    def delete(self, event_id, owner):
        """The work failed: the next attempt is to do it."""
        self._settle(self.client.delete_item, event_id, owner, names={}, values={})

    def _settle(self, call, event_id, owner, names, values, **expression):
        try:
            call(TableName=self.table, Key={"event_id": {"S": self.prefix + event_id}},
                 ConditionExpression="#owner = :owner", ExpressionAttributeNames={"#owner": "owner"} | names,
                 ExpressionAttributeValues={":owner": {"S": owner}} | values, **expression)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
