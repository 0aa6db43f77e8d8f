"""Changes synthesized templates for the emulator: `for_emulator.py DIRECTORY`, after the CDK's app has written them.

MiniStack has no alarms on expressions and no AgentCore. Such an alarm becomes one on its first metric. AgentCore's resources
are left out, and what names them gets an identifier of AWS's form. Everything else of both stacks is deployed as it is.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Any

ACCOUNT = "arn:aws:bedrock-agentcore:us-east-1:000000000000"
# What `Fn::GetAtt` gives for the resources that are left out. Of others `Ref` is not used.
NAMES = {
    "AgentRuntimeId": "agent-AbCdEfGhIj",
    "AgentRuntimeArn": f"{ACCOUNT}:runtime/agent-AbCdEfGhIj",
    "AgentRuntimeEndpointArn": f"{ACCOUNT}:runtime/agent-AbCdEfGhIj/runtime-endpoint/live",
    "CredentialProviderArn": f"{ACCOUNT}:token-vault/default/apikeycredentialprovider/bot-token",
    "GatewayArn": f"{ACCOUNT}:gateway/tools-abcdefghij",
    "GatewayUrl": "https://tools-abcdefghij.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp",
}


def without_expressions(resource: dict[str, Any]) -> None:
    properties = resource.get("Properties", {})
    if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in properties:
        first = next(it["MetricStat"] for it in properties.pop("Metrics") if "MetricStat" in it)
        properties |= first["Metric"] | {"Period": first["Period"], "Statistic": first["Stat"]}


def without(gone: set[str], value: Any) -> Any:
    """The value, with a name in the place of each reference to a resource that is gone."""
    if isinstance(value, list):
        return [without(gone, it) for it in value]
    if not isinstance(value, dict):
        return value
    if "Fn::GetAtt" in value and value["Fn::GetAtt"][0] in gone:
        return NAMES[value["Fn::GetAtt"][1]]
    if value.get("Ref") in gone:
        raise SystemExit(f"Ref of {value['Ref']}, which is not deployed here")
    return {name: without(gone, it) for name, it in value.items()}


def change(template: dict[str, Any]) -> dict[str, Any]:
    resources = template.get("Resources", {})
    gone = {name for name, it in resources.items() if it["Type"].startswith("AWS::BedrockAgentCore::")}
    kept = {name: it for name, it in resources.items() if name not in gone}
    for it in kept.values():
        without_expressions(it)
        needed = it.pop("DependsOn", [])
        needed = [name for name in ([needed] if isinstance(needed, str) else needed) if name not in gone]
        if needed:
            it["DependsOn"] = needed
    return without(gone, template | {"Resources": kept})


# What is not deployed stays as the CDK made it.
for path in [] if os.environ.get("SYNTHESIZE") else pathlib.Path(sys.argv[1]).glob("*.template.json"):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
