"""A stand-in for the two operations of SQS that no emulator here has: StartMessageMoveTask and ListMessageMoveTasks.

It stands in front of MiniStack, which answers everything else, and moves the messages in MiniStack itself. Of AWS's documentation it
keeps this: a message goes to the destination that was named, else to the queue that it came from. Which one that was, SQS knows
only of a message that it has moved itself (`DeadLetterQueueSourceArn`); at any other one the task fails with
CouldNotDetermineMessageSource. (SQS Developer Guide, "Troubleshoot dead-letter queue redrive".) It does not move slowly, does not
check rights, and knows no CancelMessageMoveTask.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3


class Tasks:
    def __init__(self, url: str) -> None:
        self.sqs = boto3.client("sqs", region_name="us-east-1", endpoint_url=url, aws_access_key_id="000000000000",
                                aws_secret_access_key="test")
        self.done: list[dict[str, Any]] = []

    def url_of(self, arn: str) -> str:
        return self.sqs.get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"]

    def start(self, SourceArn: str, DestinationArn: str | None = None) -> dict[str, Any]:
        source, moved, failure = self.url_of(SourceArn), 0, None
        held: list[str] = []
        while failure is None:
            found = self.sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10, AttributeNames=["All"],
                                             MessageAttributeNames=["All"], VisibilityTimeout=30).get("Messages", [])
            if not found:
                break
            for it in found:
                destination = DestinationArn or it["Attributes"].get("DeadLetterQueueSourceArn")
                if destination is None:
                    failure = "CouldNotDetermineMessageSource"
                    held.append(it["ReceiptHandle"])
                    continue
                # Which de-duplication id SQS gives is not documented. The old one would be dropped within five minutes.
                fifo = {"MessageGroupId": it["Attributes"]["MessageGroupId"], "MessageDeduplicationId": f"moved-{time.time_ns()}"} \
                    if "MessageGroupId" in it["Attributes"] else {}
                attributes = {name: {key: given[key] for key in ("DataType", "StringValue") if key in given}
                              for name, given in it.get("MessageAttributes", {}).items()}
                self.sqs.send_message(QueueUrl=self.url_of(destination), MessageBody=it["Body"], MessageAttributes=attributes, **fifo)
                self.sqs.delete_message(QueueUrl=source, ReceiptHandle=it["ReceiptHandle"])
                moved += 1
        for handle in held:
            self.sqs.change_message_visibility(QueueUrl=source, ReceiptHandle=handle, VisibilityTimeout=0)
        task = {"Status": "FAILED" if failure else "COMPLETED", "SourceArn": SourceArn, "ApproximateNumberOfMessagesMoved": moved,
                "StartedTimestamp": int(time.time() * 1000)}
        self.done.insert(0, task | ({"FailureReason": failure} if failure else {}) | ({"DestinationArn": DestinationArn} if DestinationArn else {}))
        return {"TaskHandle": f"task-{len(self.done)}"}

    def list(self, SourceArn: str, MaxResults: int = 1) -> dict[str, Any]:
        return {"Results": [it for it in self.done if it["SourceArn"] == SourceArn][:MaxResults]}


@contextlib.contextmanager
def in_front_of(url: str) -> Iterator[str]:
    """Yields the address to be used for SQS."""
    tasks, behind = Tasks(url), urllib.parse.urlsplit(url)
    ours = {"AmazonSQS.StartMessageMoveTask": tasks.start, "AmazonSQS.ListMessageMoveTasks": tasks.list}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = ours.get(self.headers.get("X-Amz-Target", ""))
            if operation:
                status, kind, answer = 200, "application/x-amz-json-1.0", json.dumps(operation(**json.loads(body))).encode()
            else:
                connection = http.client.HTTPConnection(behind.hostname or "", behind.port, timeout=60)
                with contextlib.closing(connection):
                    connection.request("POST", self.path, body, dict(self.headers))
                    response = connection.getresponse()
                    status, kind, answer = response.status, response.headers["Content-Type"], response.read()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
