// agent-settle: its function, its Gateway, and that they fit each other.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CfnParameter } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { SETTLE_DOCUMENT, SLACK_DOCUMENT } from '../../lib/agent/gateway';
import { A_DAY, TOKENS_A_QUESTION, USUAL_TOKENS_A_QUESTION } from '../../lib/agent/limits';
import type { AgentLimits } from '../../lib/agent/props';
import { agentStacks, agentTemplate, isQueue, isSettleGateway, isToolsGateway, only, rustSource, settleIn } from '../support';

const { template, ingress } = agentTemplate();
const fn = settleIn(template);
const gateway = only(template, 'AWS::BedrockAgentCore::Gateway', isSettleGateway);
const toolsGateway = only(template, 'AWS::BedrockAgentCore::Gateway', isToolsGateway);

test('agent-settle runs for at most 30 seconds, is traced and has its own log', () => {
  const { Code, Environment, LoggingConfig, Role, Description, ...rest } = fn.Properties;
  assert.deepEqual(rest, {
    Runtime: 'provided.al2023',
    Handler: 'bootstrap',
    Architectures: ['arm64'],
    MemorySize: 256,
    Timeout: 30,
    TracingConfig: { Mode: 'Active' },
  });
  assert.equal(template.findResources('AWS::Logs::LogGroup')[LoggingConfig.LogGroup.Ref]?.Properties.RetentionInDays, 30);
});

test('agent-settle begins no call so late that its time-out would cut it off', () => {
  const seconds = Number(rustSource('src/settle').match(/LAST_CALL: Duration = Duration::from_secs\((\d+)\)/)?.[1]);
  assert.ok(seconds * 2 <= fn.Properties.Timeout, `the last call begins after ${seconds} s`);
});

test('agent-settle has these environment variables, and reads each of them', () => {
  const { Variables } = fn.Properties.Environment;
  assert.deepEqual(Variables, {
    DEDUP_STORE: { 'Fn::Join': ['', ['dynamodb:', { Ref: only(ingress, 'AWS::DynamoDB::Table').id }]] },
    EVENT_QUEUE: { Ref: only(ingress, 'AWS::SQS::Queue', isQueue).id },
    GATEWAY_URL: { 'Fn::GetAtt': [gateway.id, 'GatewayUrl'] },
    GATEWAY_TARGET: 'slack',
    TOOLS_GATEWAY_URL: { 'Fn::GetAtt': [toolsGateway.id, 'GatewayUrl'] },
    SESSION_TITLES: 'off',
    FEEDBACK_BUTTONS: 'off',
    POST_WAIT_SECONDS: '90',
    RUST_LOG: 'info',
  });
  const source = rustSource();
  for (const name of Object.keys(Variables)) assert.ok(source.includes(`"${name}"`), `nothing in src reads ${name}`);
});

/** The variables of agent-settle that are about limits. */
const limitsOf = (limits?: AgentLimits) => {
  const { Variables } = settleIn(agentTemplate({ limits }).template).Properties.Environment;
  return Object.fromEntries(Object.entries<string>(Variables).filter(([name]) => /_A_(DAY|QUESTION)$/.test(name)));
};

test('agent-settle is told of the limits of a day, and only of those that there are', () => {
  const all = limitsOf({
    questionsADay: { workspace: 1000, person: 20, channel: 100 },
    tokensADay: { workspace: 1_000_000_000_000 },
    toolCallsADay: { channel: 1 },
    tokensAQuestion: 50_000,
  });
  assert.deepEqual(all, {
    QUESTIONS_A_DAY: 'person:20,channel:100,workspace:1000',
    TOKENS_A_DAY: 'workspace:1000000000000',
    TOOL_CALLS_A_DAY: 'channel:1',
    TOKENS_A_QUESTION: '50000',
  });
  const source = rustSource('src/config');
  for (const name of Object.keys(all)) assert.ok(source.includes(`"${name}"`), `nothing in src/config reads ${name}`);
  assert.deepEqual(limitsOf({ tokensADay: { person: 200_000, channel: undefined } }), { TOKENS_A_DAY: 'person:200000' });
  assert.deepEqual(limitsOf({ tokensAQuestion: 1000 }), { TOKENS_A_QUESTION: '1000' });
  for (const none of [undefined, {}]) assert.deepEqual(limitsOf(none), {});
});

test('a limit that is known only later is passed on', () => {
  const { stack } = agentStacks((scope) => ({
    limits: { tokensADay: { person: new CfnParameter(scope, 'Limit', { type: 'Number' }).valueAsNumber } },
  }));
  const { TOKENS_A_DAY } = settleIn(Template.fromStack(stack)).Properties.Environment.Variables;
  assert.deepEqual(TOKENS_A_DAY, { 'Fn::Join': ['', ['person:', { Ref: 'Limit' }]] });
});

test('the limits may be what agent-settle takes', () => {
  const source = rustSource('src/config');
  const number = (form: RegExp) => Number(source.match(form)?.[1]!.replaceAll('_', ''));
  assert.equal(USUAL_TOKENS_A_QUESTION, number(/DEFAULT_TOKENS_A_QUESTION: u64 = ([\d_]+)/));
  assert.equal(A_DAY.most, number(/MOST_A_DAY: u64 = ([\d_]+)/));
  const { least, most } = TOKENS_A_QUESTION;
  assert.equal(least, number(/TOKENS_A_QUESTION, a_question, default, ([\d_]+), [\d_]+\)/));
  assert.equal(most, number(/TOKENS_A_QUESTION, a_question, default, [\d_]+, ([\d_]+)\)/));
});

test("its Gateway has its own target, with the name that the function is told and the agent's bot token", () => {
  const targets = Object.values(template.findResources('AWS::BedrockAgentCore::GatewayTarget')).map((it) => it.Properties);
  const [target, ...more] = targets.filter((it) => it.GatewayIdentifier['Fn::GetAtt'][0] === gateway.id);
  assert.equal(more.length, 0);
  assert.equal(target!.Name, fn.Properties.Environment.Variables.GATEWAY_TARGET);
  const document = JSON.parse(target!.TargetConfiguration.Mcp.OpenApiSchema.InlinePayload);
  assert.deepEqual(document, JSON.parse(readFileSync(SETTLE_DOCUMENT, 'utf8')));
  // One entry of the token vault for both Gateways: a token is put in one place.
  const providers = targets.map((it) => it.CredentialProviderConfigurations[0].CredentialProvider.ApiKeyCredentialProvider);
  assert.equal(providers.length, 3);
  for (const provider of providers) assert.deepEqual(provider, providers[0]);
  template.resourceCountIs('AWS::BedrockAgentCore::ApiKeyCredentialProvider', 1);
});

test('the Rust code calls every operation of its Gateway, and no other', () => {
  const document = JSON.parse(readFileSync(SETTLE_DOCUMENT, 'utf8'));
  const ids = Object.values<any>(document.paths).flatMap((item) => Object.values<any>(item).map((it) => it.operationId));
  assert.deepEqual(ids.sort(), [
    'append_to_stream',
    'delete_message',
    'list_group_members',
    'post_to_slack',
    'read_channel',
    'read_file_info',
    'read_thread',
    'read_user',
    'set_session_status',
    'set_suggested_prompts',
    'set_thread_status',
    'set_thread_title',
    'start_stream',
    'stop_stream',
    'update_message',
  ]);
  const source = rustSource('src/gateway');
  for (const id of ids) assert.ok(source.includes(`"${id}"`), `nothing in src/gateway calls ${id}`);
});

test("a post can be marked on agent-settle's Gateway, and not on the agent's: nobody else can forge the mark", () => {
  const properties = (path: string) =>
    Object.keys(
      JSON.parse(readFileSync(path, 'utf8')).paths['/chat.postMessage'].post.requestBody.content['application/json'].schema.properties,
    );
  assert.ok(properties(SETTLE_DOCUMENT).includes('metadata'));
  assert.ok(!properties(SLACK_DOCUMENT).includes('metadata'));
});

test('what the pane shows is in the Gateway of agent-settle alone', () => {
  const tools = readFileSync(SLACK_DOCUMENT, 'utf8');
  for (const method of ['setSuggestedPrompts', 'setTitle', 'setStatus']) assert.ok(!tools.includes(method), method);
});
