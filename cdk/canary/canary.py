"""Asks the front door from outside what Slack asks when a request URL is put in, and says whether the answer is right.

Lambda runs it on a schedule (lib/ingress/canary.ts), and CloudWatch reads its line as metrics. It needs nothing but what
Lambda's runtime for Python has.
"""

import hashlib
import hmac
import json
import os
import secrets
import time
import urllib.error
import urllib.request

import boto3

SLACK_WAITS_SECONDS = 3


def handler(_event, context):
    """Asks once, and prints one line. It never raises: Lambda would count that, and no alarm looks there."""
    took = problem = None
    try:
        secret = signing_secret(os.environ["SIGNING_SECRET_ARN"])
        start = time.monotonic()
        problem = ask(os.environ["REQUEST_URL"], secret)
        took = (time.monotonic() - start) * 1000
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    metrics = {"CanaryFailed": int(problem is not None), **({} if took is None else {"CanaryTime": round(took, 1)})}
    units = {"CanaryFailed": "Count", "CanaryTime": "Milliseconds"}
    described = {
        "Namespace": "SlackIngress",
        "Dimensions": [["FunctionName"]],
        "Metrics": [{"Name": name, "Unit": units[name]} for name in metrics],
    }
    print(json.dumps({
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [described]},
        "FunctionName": context.function_name,
        "level": "INFO" if problem is None else "ERROR",
        "outcome": "answered" if problem is None else "failed",
        **({} if problem is None else {"problem": problem}),
        **metrics,
    }), flush=True)
    return metrics


def signing_secret(arn):
    """Read at every run, so that a rotation is followed. Of the secrets of several apps any may sign a challenge."""
    text = boto3.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"].strip()
    return next(iter(json.loads(text).values())).strip() if text.startswith("{") else text


def ask(url, secret):
    """Returns what is wrong with the answer, or nothing. https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    challenge = secrets.token_urlsafe(32)
    body = json.dumps({"type": "url_verification", "token": "canary", "challenge": challenge}).encode()
    timestamp = str(int(time.time()))
    signature = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    request = urllib.request.Request(url, body, {
        "Content-Type": "application/json",
        "User-Agent": "slack-ingress-canary",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={signature}",
    })
    try:
        with urllib.request.urlopen(request, timeout=SLACK_WAITS_SECONDS) as response:
            answer = response.read(1024)
    except urllib.error.HTTPError as error:
        return f"answered {error.code}"
    return None if answer == challenge.encode() else "answered 200, and not with the challenge"
