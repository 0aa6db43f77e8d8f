"""Brings the stacks up in the emulator's account and takes them down again, with the CDK and with SAM."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError
from emulator import REGION, Emulator
from report import Failed, check
from samcli.yamlhelper import yaml_parse
from tools import ARCHITECTURE, ROOT, cdk_cli, function_dir, node, run, run_refused, tool

CDK_STACK = "SlackIngress"
AGENT_STACK = f"{CDK_STACK}Agent"
SAM_STACK = "slack-ingress"  # the name in samconfig.toml


class Account:
    """The emulator's account. `env` is an environment in which a tool can reach this account and no other."""

    # The only account that MiniStack lets requests without AWS credentials into, such as Slack's.
    number = "000000000000"

    def __init__(self, emulator: Emulator, work: pathlib.Path) -> None:
        self.url, self.work = emulator.url, work
        self.authority = str(emulator.authority) if emulator.authority else None
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.env = kept | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.number,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "CDK_DISABLE_VERSION_CHECK": "1",
            "CI": "true",
        }
        if self.authority:
            self.env |= {"NODE_EXTRA_CA_CERTS": self.authority, "AWS_CA_BUNDLE": self.authority}

    def client(self, service: str, **credentials: str) -> Any:
        """A boto3 client, with the account's credentials unless others are given."""
        used = credentials or {"aws_access_key_id": self.number, "aws_secret_access_key": "test"}
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, verify=self.authority, **used)

    def cdk_bootstrap(self) -> None:
        run([cdk_cli(), "bootstrap", f"aws://{self.number}/{REGION}", *context({}),
             "--output", str(self.work / "cdk.out")], self.env)

    def cdk_deploy(self, replace: tuple[str, ...] = (), **settings: str) -> dict[str, str]:
        """Deploys the ingress's stack with these settings as `make deploy` does, and returns its outputs."""
        run(self.cdk_deploy_command(replace, settings), self.env)
        return json.loads((self.work / "outputs.json").read_text())[CDK_STACK]

    def check_refused(self, settings: dict[str, str], fates: dict[str, str]) -> None:
        """Checks that nothing is deployed with these settings, and that what would be lost is named with its fate."""
        output = run_refused(self.cdk_deploy_command((), settings), self.env)
        named = dict(re.findall(rf"^  {CDK_STACK}: (\S+) \(AWS::\S+\) will be (\w+): ", output, re.MULTILINE))
        check(f"with {settings} nothing is deployed, and what would be lost is named", named, fates)

    def outputs_of(self, name: str) -> dict[str, str]:
        """The outputs of a stack that is deployed."""
        [stack] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}

    def cdk_deploy_command(self, replace: tuple[str, ...], settings: dict[str, str]) -> list[str]:
        out = self.work / "cdk.out"
        run([cdk_cli(), "synth", "--quiet", "--output", str(out), *context(settings)], self.env)
        path = out / f"{CDK_STACK}.template.json"
        template = json.loads(path.read_text())
        remove_metric_math(template)
        path.write_text(json.dumps(template))
        return [node(), "--import", "tsx", "bin/deploy.ts", "--app", str(out), *[f"--replace={it}" for it in replace],
                "--require-approval", "never", "--progress", "events", "--outputs-file", str(self.work / "outputs.json")]

    def cdk_destroy(self) -> None:
        """Deletes the stacks as they were synthesized last."""
        run([cdk_cli(), "destroy", "--app", str(self.work / "cdk.out"), "--force"], self.env)

    def sam_deploy(self, *parameters: str) -> dict[str, str]:
        """Deploys template.yaml with these parameters (`Name=value`), and returns the stack's outputs."""
        # `sam build` would compile the functions for minutes. They are built already.
        template = yaml_parse((ROOT / "template.yaml").read_text())
        for function, name in (("Function", "slack-ingress"), ("Redrive", "redrive")):
            template["Resources"][function]["Properties"]["CodeUri"] = function_dir(name)
        remove_metric_math(template)
        prebuilt = self.work / "template.json"
        prebuilt.write_text(json.dumps(template))
        run([tool("sam"), "deploy", "--config-file", str(ROOT / "samconfig.toml"), "--template-file", str(prebuilt),
             "--no-confirm-changeset", "--region", REGION, "--parameter-overrides", f"Architecture={ARCHITECTURE}",
             *parameters], self.env, self.work)
        return self.outputs_of(SAM_STACK)

    def sam_delete(self) -> None:
        run([tool("sam"), "delete", "--stack-name", SAM_STACK, "--no-prompts", "--region", REGION], self.env, self.work)


def context(settings: dict[str, str]) -> list[str]:
    """The CDK's arguments for these settings and the functions that are built."""
    code = {"codePath": function_dir("slack-ingress"), "redriveCodePath": function_dir("redrive")}
    given = code | {"architecture": ARCHITECTURE} | settings
    return [argument for name, value in given.items() for argument in ("-c", f"{name}={value}")]


def remove_metric_math(template: dict[str, Any]) -> None:
    """Replaces an alarm on an expression by an alarm on the first metric of that expression, because MiniStack refuses
    expressions. cfn-lint checks that the expressions are valid, and the unit tests check that they are the right
    ones."""
    alarms = [it["Properties"] for it in template["Resources"].values() if it["Type"] == "AWS::CloudWatch::Alarm"]
    on_expressions = [it for it in alarms if "Metrics" in it]
    has_function_url = any(it["Type"] == "AWS::Lambda::Url" for it in template["Resources"].values())
    expected = 3 if has_function_url else 2
    if len(on_expressions) != expected:
        raise Failed(f"the template has {len(on_expressions)} alarms on expressions, expected {expected}")
    for alarm in on_expressions:
        first = next(it["MetricStat"] for it in alarm.pop("Metrics") if "MetricStat" in it)
        alarm |= first["Metric"] | {"Period": first["Period"], "Statistic": first["Stat"]}


def check_gone(account: Account, outputs: dict[str, str]) -> None:
    """Checks that the resources of a deleted stack no longer exist."""
    look = {
        "table": lambda: account.client("dynamodb").describe_table(TableName=outputs["TableName"]),
        "queue": lambda: account.client("sqs").get_queue_attributes(QueueUrl=outputs["QueueUrl"]),
        "function": lambda: account.client("lambda").get_function(FunctionName=outputs["FunctionName"]),
        "redrive": lambda: account.client("lambda").get_function(FunctionName=outputs["RedriveFunctionName"]),
    }
    check("the table, the queue and the functions no longer exist",
          [name for name, it in look.items() if exists(it)], [])


def check_kept(account: Account, outputs: dict[str, str]) -> None:
    """Checks that of a deleted stack there is still what holds data, and nothing else."""
    secrets, functions = account.client("secretsmanager"), account.client("lambda")
    look = {
        "table": lambda: account.client("dynamodb").describe_table(TableName=outputs["TableName"]),
        "queue": lambda: account.client("sqs").get_queue_attributes(QueueUrl=outputs["QueueUrl"]),
        "dead-letter queue": lambda: account.client("sqs").get_queue_attributes(QueueUrl=outputs["DeadLetterQueueUrl"]),
        "secret": lambda: secrets.get_secret_value(SecretId=outputs["SigningSecretArn"]),
        "function": lambda: functions.get_function(FunctionName=outputs["FunctionName"]),
        "redrive": lambda: functions.get_function(FunctionName=outputs["RedriveFunctionName"]),
    }
    check("the table, the queues and the secret are kept, and the functions are gone",
          [name for name, it in look.items() if exists(it)], ["table", "queue", "dead-letter queue", "secret"])


def exists(look: Callable[[], Any]) -> bool:
    try:
        look()
        return True
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404):
            return False
        raise
