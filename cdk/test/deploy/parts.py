"""The parts `lint`, `cdk` and `sam`: the templates are linted, deployed, updated and deleted."""

from __future__ import annotations

import pathlib

from canary import check_the_canary
from emulator import REGION, Emulator, given_or_own_ministack
from ingress import Deployed
from report import Failed, check, step
from slack_requests import event
from stack import AGENT_STACK, CDK_STACK, Account, check_gone, check_kept, context
from tools import ARCHITECTURE, CDK, ROOT, agent_dir, cdk_cli, completed, function_dir, run, run_refused, tool

TWO_REGIONS = {"domainName": "slack.example.com", "hostedZoneId": "Z0123456789ABCDEFGHIJ"}
OTHER_REGION = "us-west-2"


def part_lint(work: pathlib.Path) -> None:
    nowhere = Account(Emulator("http://127.0.0.1:9"), work)
    step("cfn-lint and sam validate")
    run([tool("cfn-lint"), "template.yaml"], nowhere.env, ROOT)
    run([tool("sam"), "validate", "--lint", "--template", "template.yaml"], nowhere.env, ROOT)
    agent = {"agent": "true", "dispatchCodePath": function_dir("agent-dispatch"),
             "settleCodePath": function_dir("agent-settle"), "agentCodePath": agent_dir()}
    model = "bedrock:eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
    arn = f"arn:aws:bedrock-agentcore:{REGION}:{nowhere.number}:runtime/agent-AbCdEfGhIj"
    key = f"arn:aws:kms:{REGION}:{nowhere.number}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    for name, (settings, stacks) in {
        "default": ({}, [CDK_STACK]),
        "other": ({"frontDoor": "function-url", "queueType": "standard", "warmWriteUnits": "40000", "canary": "true"}, [CDK_STACK]),
        "agent": (agent, [CDK_STACK, AGENT_STACK]),
        "other-agent": (agent | {"thinking": model, "dispatchConcurrency": "5", "trello": "true", "encryptionKeyArn": key},
                        [CDK_STACK, AGENT_STACK]),
        # Of two regions, this one as the active one, and as the standby.
        "active": (agent | TWO_REGIONS | {"standbyRegion": OTHER_REGION}, [CDK_STACK, AGENT_STACK]),
        "standby": (agent | TWO_REGIONS | {"activeRegion": OTHER_REGION}, [CDK_STACK, AGENT_STACK]),
        # What has resources of its own beside these.
        "full-agent": (agent | {"thinking": model, "memory": "user", "trello": "true", "files": "true",
                                "rotatingTokens": "true", "rotationCodePath": function_dir("token-rotation"),
                                "workspace": "T0FIRST", "moreWorkspaces": "T0123ABC", "turns": "together",
                                "approvals": '{"create_card": "asker"}', "audit": "true", "auditExportDays": "30",
                                "questionsADay": "person:20", "tokensADay": "workspace:5000000", "alarmTokensADay": "10000000",
                                "encryptionKeyArn": key, "gradualDeployment": "canary10percent10minutes"},
                       [CDK_STACK, AGENT_STACK]),
        "existing-agent": (agent | {"agentRuntimeArn": arn, "agentProtocol": "plain"}, [CDK_STACK, AGENT_STACK]),
    }.items():
        out = work / name
        run([cdk_cli(), "synth", "--quiet", "--output", str(out), *context(settings)], nowhere.env)
        for stack in stacks:
            lint(out / f"{stack}.template.json", nowhere.env)

    # What no settings of functions without SNS can make is among them.
    for template in sorted((CDK / "test/snapshot/templates").glob("*.json")):
        lint(template, nowhere.env)

    step("settings for which the functions were not built")
    other = "arm64" if ARCHITECTURE == "x86_64" else "x86_64"
    for settings, problem in [
        ({"architecture": other}, f"was built for {ARCHITECTURE}, and is to be deployed for {other}"),
        ({"topicArn": f"arn:aws:sns:{REGION}:{nowhere.number}:events"}, "was built without the cargo feature sns"),
        ({"queueTyp": "standard"}, "queueTyp is no setting: do you mean queueType?"),
    ]:
        output = run_refused([cdk_cli(), "synth", "--quiet", "--output", str(work / "refused"), *context(settings)],
                             nowhere.env)
        check(f"{settings}: {problem}", problem in output, True)


def lint(template: pathlib.Path, env: dict[str, str]) -> None:
    # W3005: the CDK writes a dependency down even where a reference implies it.
    code, output = completed([tool("cfn-lint"), "--format", "parseable", "--ignore-checks", "W3005", "--template", str(template)], env, ROOT)
    # The CDK's own description of AWS::BedrockAgentCore::Memory has this property, and cfn-lint's is older.
    findings = [line for line in output.splitlines() if line and "('RecordExpirySpecification' was unexpected)" not in line]
    if code != 0 and not output:
        raise Failed(f"cfn-lint: exit code {code}")
    check(f"cfn-lint finds nothing in {template.name}", findings, [])


def part_cdk(work: pathlib.Path) -> None:
    with given_or_own_ministack() as emulator:
        account = Account(emulator, work)
        step("cdk bootstrap and cdk deploy")
        account.cdk_bootstrap()
        outputs = account.cdk_deploy(canary="true")
        deployed = Deployed(account, outputs)
        deployed.check_signatures()
        check_the_canary(deployed)
        deployed.check_an_event()
        deployed.check_simultaneous_deliveries()
        deployed.check_a_command()
        deployed.check_dead_letters()
        deployed.check_parking()
        deployed.check_the_schedule()
        deployed.check_the_log()
        deployed.check_dedup_guard()

        step("an update of two settings: memorySize and dedupTtlSeconds")
        updated = Deployed(account, account.cdk_deploy(memorySize="512", dedupTtlSeconds="90000", canary="true"))
        check("the URLs, the queue, the table and the secret have not changed", updated.outputs, outputs)
        configuration = updated.configuration()
        check("the function has the new settings",
              (configuration["MemorySize"], configuration["Environment"]["Variables"]["DEDUP_TTL_SECONDS"]),
              (512, "90000"))
        before = updated.depth(updated.queue)
        check("a retry of an event from before the update is answered with 200",
              updated.slack.post(event("EvOne"), retry=3)[0], 200)
        check("and puts no message on the queue", updated.depth(updated.queue), before)

        step("versions and the alias: gradualDeployment=all-at-once, a new version, and the way back by hand")
        functions, name = account.client("lambda"), outputs["FunctionName"]
        settings = {"memorySize": "512", "dedupTtlSeconds": "90000", "gradualDeployment": "all-at-once", "canary": "true"}
        check("the URLs, the queue, the table and the secret have not changed", account.cdk_deploy(**settings), outputs)
        first = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
        updated.check_through_the_alias("EvFirstVersion", first)
        account.cdk_deploy(**settings | {"ackBudgetMs": "2400"})
        second = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
        check("the alias has moved to another version", second != first, True)
        updated.check_through_the_alias("EvSecondVersion", second)
        functions.update_alias(FunctionName=name, Name="live", FunctionVersion=first)
        updated.check_through_the_alias("EvBack", first)
        before = updated.depth(updated.queue)

        step("an update that would replace the queue and remove the API, and nobody has said that it may")
        account.check_refused({"queueType": "standard", "frontDoor": "function-url"},
                              {"Ingress/Queue": "replaced", "Ingress/DeadLetterQueue": "replaced",
                               "Ingress/HttpApi/Resource": "destroyed"})
        check("nothing has changed", account.outputs_of(CDK_STACK), updated.outputs)
        check("and the queue has its messages", updated.depth(updated.queue), before)

        step("an update to a standard queue and a Function URL, which is told that it may")
        replace = ("Ingress/Queue,Ingress/DeadLetterQueue", "Ingress/HttpApi/Resource")
        other = Deployed(account, account.cdk_deploy(replace, queueType="standard", frontDoor="function-url"))
        check("there is a new queue", other.queue != updated.queue and not other.queue.endswith(".fifo"), True)
        check("the old queue still exists, with its messages", updated.depth(updated.queue), before)
        other.check_an_event("EvTwo")
        other.check_dead_letters("EvTwo")

        step("cdk destroy of a trial: with removalPolicy=destroy nothing is kept")
        settings = {"queueType": "standard", "frontDoor": "function-url", "removalPolicy": "destroy"}
        check("that setting changes nothing else", account.cdk_deploy(**settings), other.outputs)
        account.cdk_destroy()
        check_gone(account, other.outputs)


def part_sam(work: pathlib.Path) -> None:
    with given_or_own_ministack() as emulator:
        account = Account(emulator, work)
        step("sam deploy")
        outputs = account.sam_deploy()
        deployed = Deployed(account, outputs)
        deployed.check_signatures()
        deployed.check_an_event()
        deployed.check_simultaneous_deliveries()
        deployed.check_a_command()
        deployed.check_dead_letters()
        deployed.check_parking()

        step("an update of a parameter: DedupTtlSeconds")
        check("the URLs, the queue, the table and the secret have not changed",
              account.sam_deploy("DedupTtlSeconds=90000"), outputs)
        check("the function has the new setting",
              deployed.configuration()["Environment"]["Variables"]["DEDUP_TTL_SECONDS"], "90000")

        step("sam delete, which keeps what holds data")
        account.sam_delete()
        check_kept(account, outputs)
