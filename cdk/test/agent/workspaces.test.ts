// Several workspaces: for each a secret, a credential and targets, and who may reach which of them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { CANVASES_DOCUMENT, SETTLE_DOCUMENT, SLACK_DOCUMENT } from '../../lib/agent/gateway';
import { WORKSPACE_TARGETS } from '../../lib/agent/workspaces';
import {
  agentCoreRole,
  agentDirectory,
  agentTemplate,
  isSettleGateway,
  isToolsGateway,
  isWorkspacesGateway,
  only,
  roleOf,
  rustSource,
  settleIn,
} from '../support';

const WORKSPACES = { first: 'T0FIRST', more: ['T0123ABC', 'E0456DEF'] };
const TENANTS = ['T0FIRST', ...WORKSPACES.more];
const { template } = agentTemplate({ workspaces: WORKSPACES, agent: { code: agentDirectory(), trello: {} } });
const settle = settleIn(template);

type Which = typeof isSettleGateway;
const gatewayArn = (template: Template, which: Which) => ({
  'Fn::GetAtt': [only(template, 'AWS::BedrockAgentCore::Gateway', which).id, 'GatewayArn'],
});

/** Returns for each target of a Gateway its document, and the id of the secret that its token is in. */
function targetsOf(template: Template, which: Which): Record<string, [document: unknown, secret: string]> {
  const { id } = only(template, 'AWS::BedrockAgentCore::Gateway', which);
  const providers = template.findResources('AWS::BedrockAgentCore::ApiKeyCredentialProvider');
  const targets = Object.values<any>(template.findResources('AWS::BedrockAgentCore::GatewayTarget'))
    .map((it) => it.Properties)
    .filter((it) => it.GatewayIdentifier['Fn::GetAtt'][0] === id);
  return Object.fromEntries(
    targets.map((it) => {
      const { ProviderArn } = it.CredentialProviderConfigurations[0].CredentialProvider.ApiKeyCredentialProvider;
      const secret = providers[ProviderArn['Fn::GetAtt'][0]]!.Properties.ApiKeySecretConfig.SecretId.Ref;
      return [it.Name, [JSON.parse(it.TargetConfiguration.Mcp.OpenApiSchema.InlinePayload), secret]];
    }),
  );
}

/** The secret whose description has this text. */
const secretOf = (text: string) =>
  only(template, 'AWS::SecretsManager::Secret', (it) => it.Properties.Description.includes(text)).id;
const FIRST = secretOf("bot token, as");
const TOKENS: Record<string, string> = { T0FIRST: FIRST, T0123ABC: secretOf('in T0123ABC'), E0456DEF: secretOf('in E0456DEF') };
const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

test("each installation has a target of its own on agent-settle's Gateway, with its own token, and agent-settle knows it", () => {
  const targets = targetsOf(template, isSettleGateway);
  const names: Record<string, string> = JSON.parse(settle.Properties.Environment.Variables.GATEWAY_TARGETS);
  const expected: typeof names = { T0FIRST: 'slack', T0123ABC: 'slack-t0123abc', E0456DEF: 'slack-e0456def' };
  assert.deepEqual(names, expected);
  assert.equal(settle.Properties.Environment.Variables.GATEWAY_TARGET, undefined, 'there is no target for strangers');
  assert.deepEqual(Object.keys(targets).sort(), Object.values(names).sort());
  for (const tenant of TENANTS) assert.deepEqual(targets[names[tenant]!], [read(SETTLE_DOCUMENT), TOKENS[tenant]], tenant);
  assert.equal(new Set(Object.values(TOKENS)).size, 3);
});

test("the model's tools in each workspace are on a Gateway that only agent-settle may call, by each one's own token", () => {
  const targets = targetsOf(template, isWorkspacesGateway);
  const documents = { slack: SLACK_DOCUMENT, canvases: CANVASES_DOCUMENT };
  assert.deepEqual(WORKSPACE_TARGETS, Object.keys(documents));
  const expected = TENANTS.flatMap((tenant) =>
    Object.entries(documents).map(([name, path]) => [`${name}-${tenant.toLowerCase()}`, [read(path), TOKENS[tenant]]]),
  );
  assert.deepEqual(targets, Object.fromEntries(expected));
  const { Variables } = settle.Properties.Environment;
  const { id } = only(template, 'AWS::BedrockAgentCore::Gateway', isWorkspacesGateway);
  assert.deepEqual(Variables.WORKSPACE_TOOLS_GATEWAY_URL, { 'Fn::GetAtt': [id, 'GatewayUrl'] });
  assert.equal(Variables.WORKSPACE_TOOLS, 'slack,canvases');
  for (const name of Object.keys(Variables)) assert.ok(rustSource().includes(`"${name}"`), `nothing in src reads ${name}`);
});

test("no token of any tenant is within reach of the agent's role", () => {
  const { statements } = agentCoreRole(template, 'AWS::BedrockAgentCore::Runtime');
  const gateways = statements.filter((it) => it.Action === 'bedrock-agentcore:InvokeGateway').map((it) => it.Resource);
  assert.deepEqual(gateways, [gatewayArn(template, isToolsGateway)]);
  const reachable = Object.values(targetsOf(template, isToolsGateway)).map(([, secret]) => secret);
  for (const token of Object.values(TOKENS)) assert.ok(!reachable.includes(token), `${token} is reachable`);
  // What is behind Slack's targets there has no output that asks for a value, and is no secret of a token.
  assert.equal(targetsOf(template, isToolsGateway).slack![1], secretOf('no token'));
  const text = JSON.stringify(statements);
  for (const secret of Object.values(TOKENS)) assert.ok(!text.includes(secret));
});

test('agent-settle may call all three gateways, and each gateway may read its own secrets only', () => {
  const invoke = roleOf(template, settle).statements.find((it) => it.Action === 'bedrock-agentcore:InvokeGateway');
  const arns = [isSettleGateway, isToolsGateway, isWorkspacesGateway].map((it) => JSON.stringify(gatewayArn(template, it)));
  assert.deepEqual(invoke.Resource.map((it: unknown) => JSON.stringify(it)).sort(), arns.sort());
  for (const [which, secrets] of [
    [isSettleGateway, Object.values(TOKENS)],
    [isWorkspacesGateway, Object.values(TOKENS)],
    [isToolsGateway, [secretOf('no token'), secretOf("Trello's")]],
  ] as const) {
    const { statements } = agentCoreRole(template, 'AWS::BedrockAgentCore::Gateway', which);
    const read = statements.filter((it) => it.Action === 'secretsmanager:GetSecretValue');
    assert.equal(read.length, 1);
    assert.deepEqual(read[0].Resource.map((it: any) => it.Ref).sort(), [...secrets].sort());
  }
});

test('files are read with the token of their own installation: each has its secret, and agent-settle may read just these', () => {
  const { template } = agentTemplate({ workspaces: WORKSPACES, files: true });
  const idOf = (text: string) => only(template, 'AWS::SecretsManager::Secret', (it) => it.Properties.Description.includes(text)).id;
  const tokens: Record<string, string> = { T0FIRST: idOf('bot token, as'), T0123ABC: idOf('in T0123ABC'), E0456DEF: idOf('in E0456DEF') };
  const parts: any[] = settleIn(template).Properties.Environment.Variables.SLACK_BOT_TOKEN_ARN['Fn::Join'][1];
  const value = parts.map((it) => (typeof it === 'string' ? it : it.Ref)).join('');
  assert.deepEqual(JSON.parse(value), tokens);
  const read = roleOf(template, settleIn(template)).statements.filter((it) => it.Action === 'secretsmanager:GetSecretValue');
  assert.deepEqual(read.flatMap((it) => it.Resource).map((it: any) => it.Ref).sort(), Object.values(tokens).sort());
  assert.equal(settle.Properties.Environment.Variables.SLACK_BOT_TOKEN_ARN, undefined, 'without files it has no token');
});

test('the agent has the tools of each workspace called by agent-settle', () => {
  const { EnvironmentVariables } = only(template, 'AWS::BedrockAgentCore::Runtime').Properties;
  assert.equal(EnvironmentVariables.WORKSPACE_TOOLS, 'slack,canvases');
});

test('the deployment says where each token goes, and ends with a command for each that puts it there', () => {
  const outputs = template.findOutputs('*');
  for (const tenant of WORKSPACES.more) {
    assert.deepEqual(outputs[`BotTokenSecretArn${tenant}`]!.Value, { Ref: TOKENS[tenant] });
    const { Description, Value } = outputs[`PutTheBotToken${tenant}`]!;
    assert.match(Description, new RegExp(`no question from ${tenant} is answered`));
    const parts: (string | { Ref: string })[] = Value['Fn::Join'][1];
    const command = parts.map((it) => (typeof it === 'string' ? it : it.Ref)).join('');
    assert.match(command, new RegExp(`--secret-id ${TOKENS[tenant]} `));
    // The command runs with `aws` replaced by a program that shows its input.
    const run = spawnSync('bash', ['-c', `aws() { cat; }; ${command}`], { input: 'xoxb-2\n', encoding: 'utf8' });
    assert.deepEqual(JSON.parse(run.stdout), { token: 'xoxb-2' });
  }
  assert.deepEqual(outputs.BotTokenSecretArn!.Value, { Ref: FIRST });
});

test('one workspace that is named is the only one that is answered, and needs nothing more', () => {
  const { template } = agentTemplate({ workspaces: { first: 'T0FIRST' } });
  const { Variables } = settleIn(template).Properties.Environment;
  assert.equal(Variables.GATEWAY_TARGETS, '{"T0FIRST":"slack"}');
  assert.equal(Variables.WORKSPACE_TOOLS_GATEWAY_URL, undefined);
  template.resourceCountIs('AWS::BedrockAgentCore::Gateway', 2);
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
  assert.equal(only(template, 'AWS::BedrockAgentCore::Runtime').Properties.EnvironmentVariables.WORKSPACE_TOOLS, undefined);
});

test('an agent that is deployed already has a token for each workspace, and no tools', () => {
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';
  const { template } = agentTemplate({ workspaces: WORKSPACES, agent: { runtimeArn } });
  assert.deepEqual(Object.keys(targetsOf(template, isSettleGateway)).sort(), ['slack', 'slack-e0456def', 'slack-t0123abc']);
  template.resourceCountIs('AWS::BedrockAgentCore::Gateway', 1);
  template.resourceCountIs('AWS::SecretsManager::Secret', 3);
});

test("a secret is one installation's, and not one that is named after another", () => {
  const arn = (name: string) => `arn:aws:secretsmanager:us-east-1:111122223333:secret:${name}-AbCdEf`;
  const withSecrets = (first: string, more: string) =>
    agentTemplate((scope) => {
      const secret = (id: string, name: string) => secretsmanager.Secret.fromSecretCompleteArn(scope, id, arn(name));
      return {
        botToken: secret('First', first),
        workspaces: { first: 'T0FIRST', more: [{ tenant: 'T0123ABC', secret: secret('More', more) }] },
      };
    });
  withSecrets('slack-ingress/bot-token/T0FIRST', 'slack-ingress/bot-token/T0123ABC');
  assert.throws(() => withSecrets('mine', 'mine'), /the secret of T0123ABC is that of T0FIRST/);
  assert.throws(() => withSecrets('mine', 'slack-ingress/bot-token/T0OTHER'), /the secret of T0123ABC is named after T0OTHER/);
  assert.throws(() => withSecrets('slack-ingress/bot-token/T0123ABC', 'mine'), /the secret of T0FIRST is named after T0123ABC/);
});

test('what is no id of a workspace or an organisation, or stands twice, is refused', () => {
  for (const [workspaces, message] of [
    [{ first: 'A0123' }, /one is: A0123/],
    [{ first: 't0123' }, /one is: t0123/],
    [{ first: 'T0FIRST', more: ['T0123ABC', 'acme'] }, /one is: acme/],
    [{ first: 'T0FIRST', more: [''] }, /one is: $/],
    [{ first: 'T0FIRST', more: ['T0123ABC', 'T0FIRST'] }, /T0FIRST stands twice/],
  ] as const) {
    const { first, ...rest } = workspaces as { first: string; more?: string[] };
    assert.throws(() => agentTemplate({ workspaces: { first, more: rest.more && [...rest.more] } }), message);
  }
});
