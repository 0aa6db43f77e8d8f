// The agent's stack: the runtime, an agent that is deployed already, the outputs, the secret.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { TrelloProps } from '../../lib/agent/props';
import { type Resource, agentDirectory, agentStacks, agentTemplate, dispatchIn, isToolsGateway, newApp, only, settleIn } from '../support';

const { template } = agentTemplate();
const runtime = only(template, 'AWS::BedrockAgentCore::Runtime');
const endpoint = only(template, 'AWS::BedrockAgentCore::RuntimeEndpoint');

test('the runtime runs main.py with its tools, and the endpoint is the newest version of it', () => {
  const { AgentRuntimeArtifact, AgentRuntimeName, Description, RoleArn, ...rest } = runtime.Properties;
  assert.deepEqual(rest, {
    EnvironmentVariables: {
      SETTLE_FUNCTION: { 'Fn::GetAtt': [settleIn(template).id, 'Arn'] },
      GATEWAY_URL: { 'Fn::GetAtt': [only(template, 'AWS::BedrockAgentCore::Gateway', isToolsGateway).id, 'GatewayUrl'] },
      THINKING: 'strands:global.anthropic.claude-sonnet-4-6',
      ANSWER: 'post',
    },
    LifecycleConfiguration: {},
    NetworkConfiguration: { NetworkMode: 'PUBLIC' },
    ProtocolConfiguration: 'HTTP',
  });
  const { EntryPoint, Runtime } = AgentRuntimeArtifact.CodeConfiguration;
  assert.deepEqual([EntryPoint, Runtime], [['main.py'], 'PYTHON_3_12']);
  assert.match(AgentRuntimeName, /^[a-zA-Z][a-zA-Z0-9_]{0,47}$/);
  assert.deepEqual(endpoint.Properties.AgentRuntimeVersion, { 'Fn::GetAtt': [runtime.id, 'AgentRuntimeVersion'] });
});

test("the agent's log is kept as long as the others, and is there before AgentCore makes one for the endpoint", () => {
  const isItsLog = (it: Resource) => JSON.stringify(it.Properties.LogGroupName ?? '').includes('bedrock-agentcore');
  const log = only(template, 'AWS::Logs::LogGroup', isItsLog);
  // AgentCore's name of it: the runtime's id and the endpoint's name.
  const id = { 'Fn::GetAtt': [runtime.id, 'AgentRuntimeId'] };
  assert.deepEqual(log.Properties.LogGroupName, {
    'Fn::Join': ['', ['/aws/bedrock-agentcore/runtimes/', id, `-${endpoint.Properties.Name}`]],
  });
  assert.deepEqual([log.Properties.RetentionInDays, log.DeletionPolicy], [30, 'RetainExceptOnCreate']);
  const { DependsOn = [] } = template.findResources('AWS::BedrockAgentCore::RuntimeEndpoint')[endpoint.id] as { DependsOn?: string[] };
  assert.ok(DependsOn.includes(log.id), 'AgentCore could make the group first');
  // The runtime must not wait for the log, which has its id in its name.
  assert.ok(!JSON.stringify(template.findResources('AWS::BedrockAgentCore::Runtime')).includes(log.id));
  const { template: own } = agentTemplate({ logRetention: RetentionDays.ONE_WEEK, removalPolicy: RemovalPolicy.RETAIN });
  const { Properties, DeletionPolicy } = only(own, 'AWS::Logs::LogGroup', isItsLog);
  assert.deepEqual([Properties.RetentionInDays, DeletionPolicy], [7, 'Retain']);
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';
  const existing = agentTemplate({ agent: { runtimeArn } }).template.findResources('AWS::Logs::LogGroup');
  assert.equal(Object.values(existing).filter((it) => isItsLog(it as Resource)).length, 0, 'its log is not the stack\'s');
});

test("for an agent that is deployed already, the stack has the two functions and agent-settle's Gateway, and no runtime and no tools", () => {
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';
  const { template } = agentTemplate({ agent: { runtimeArn } });
  const { AGENT_RUNTIME_ARN, AGENT_RUNTIME_QUALIFIER } = dispatchIn(template).Properties.Environment.Variables;
  assert.deepEqual([AGENT_RUNTIME_ARN, AGENT_RUNTIME_QUALIFIER], [runtimeArn, 'DEFAULT']);
  const types = Object.values(template.toJSON().Resources as Record<string, { Type: string }>).map(({ Type }) => Type);
  assert.deepEqual(types.filter((type) => /BedrockAgentCore|Secret/.test(type)).sort(), [
    'AWS::BedrockAgentCore::ApiKeyCredentialProvider',
    'AWS::BedrockAgentCore::Gateway',
    'AWS::BedrockAgentCore::GatewayTarget',
    'AWS::SecretsManager::Secret',
  ]);
  assert.ok('SettleFunctionArn' in template.findOutputs('*'), 'the agent needs it in its environment and in its role');
});

test('the stack has these outputs', () => {
  assert.deepEqual(Object.keys(template.findOutputs('*')), [
    'GatewayUrl',
    'GatewayArn',
    'BotTokenSecretArn',
    'PutTheBotToken',
    'AgentView',
    'SuggestsPrompts',
    'RotatesTokens',
    'ReadsFiles',
    'AsksUserGroups',
    'WhoMayAsk',
    'RuntimeArn',
    'RuntimeQualifier',
    'DispatchFunctionName',
    'SettleFunctionName',
    'SettleFunctionArn',
    'AgentDashboardUrl',
  ]);
});

test('the deployment ends with the command that puts the bot token, and the command puts the JSON that AgentCore reads', () => {
  const { Description, Value } = template.findOutputs('PutTheBotToken').PutTheBotToken!;
  assert.match(Description, /until the token is put, no question is answered/);
  const secret = only(template, 'AWS::SecretsManager::Secret');
  const parts: (string | { Ref: string })[] = Value['Fn::Join'][1];
  const command = parts.map((it) => (typeof it === 'string' ? it : it.Ref)).join('');
  assert.match(command, new RegExp(`put-secret-value --region AWS::Region --secret-id ${secret.id} `));
  // The command runs with `aws` replaced by a program that shows its input.
  const run = spawnSync('bash', ['-c', `aws() { cat; }; ${command}`], { input: 'xoxb-1\n', encoding: 'utf8' });
  assert.deepEqual(JSON.parse(run.stdout), { token: 'xoxb-1' });
});

test('with a secret of your own, the deployment asks for no token', () => {
  const { template } = agentTemplate((scope) => ({
    botToken: secretsmanager.Secret.fromSecretCompleteArn(scope, 'Bot', 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf'),
  }));
  assert.ok(!('PutTheBotToken' in template.findOutputs('*')));
});

const withTrello = (trello: TrelloProps) => agentTemplate({ agent: { code: agentDirectory(), trello } }).template;

test("with tools for Trello, the deployment ends with the command that puts Trello's key and token, as the header wants them", () => {
  const template = withTrello({});
  const secret = only(template, 'AWS::SecretsManager::Secret', (it) => /Trello/.test(it.Properties.Description));
  assert.deepEqual(template.findOutputs('TrelloSecretArn').TrelloSecretArn!.Value, { Ref: secret.id });
  const { SecretStringTemplate, GenerateStringKey, PasswordLength } = secret.Properties.GenerateSecretString;
  assert.deepEqual([SecretStringTemplate, GenerateStringKey, PasswordLength], ['{}', 'authorization', 64]);
  const { Description, Value } = template.findOutputs('PutTheTrelloCredential').PutTheTrelloCredential!;
  assert.match(Description, /until then Trello refuses every call/);
  const parts: (string | { Ref: string })[] = Value['Fn::Join'][1];
  const command = parts.map((it) => (typeof it === 'string' ? it : it.Ref)).join('');
  assert.match(command, new RegExp(`put-secret-value --region AWS::Region --secret-id ${secret.id} `));
  // The command runs with `aws` replaced by a program that shows its input.
  const run = spawnSync('bash', ['-c', `aws() { cat; }; ${command}`], { input: 'the-key\nthe-token\n', encoding: 'utf8' });
  assert.deepEqual(JSON.parse(run.stdout), { authorization: 'oauth_consumer_key="the-key", oauth_token="the-token"' });
});

test("with a secret of your own for Trello, none is created and the deployment asks for nothing", () => {
  const stack = new Stack(newApp(), 'Stack');
  const arn = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:trello-AbCdEf';
  const template = withTrello({ secret: secretsmanager.Secret.fromSecretCompleteArn(stack, 'Trello', arn) });
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
  template.hasResourceProperties('AWS::BedrockAgentCore::ApiKeyCredentialProvider', {
    ApiKeySecretConfig: { SecretId: arn, JsonKey: 'authorization' },
  });
  assert.equal(template.findOutputs('TrelloSecretArn').TrelloSecretArn!.Value, arn);
  assert.ok(!('PutTheTrelloCredential' in template.findOutputs('*')));
});

test('an ingress with a topic and no queue is refused', () => {
  const stack = new Stack(newApp(), 'Topic');
  assert.throws(() => agentStacks({}, { topic: sns.Topic.fromTopicArn(stack, 'Topic', 'arn:aws:sns:us-east-1:111122223333:events.fifo') }), /a topic and no queue/);
});

test('the template contains no secret, and the secret that is created is JSON with the key that AgentCore reads', () => {
  const secret = only(template, 'AWS::SecretsManager::Secret');
  assert.equal(secret.Properties.SecretString, undefined);
  const { SecretStringTemplate, GenerateStringKey, PasswordLength } = secret.Properties.GenerateSecretString;
  assert.deepEqual([SecretStringTemplate, PasswordLength], ['{}', 64]);
  const { Name, ...credential } = only(template, 'AWS::BedrockAgentCore::ApiKeyCredentialProvider').Properties;
  assert.deepEqual(credential, {
    ApiKeySecretSource: 'EXTERNAL',
    ApiKeySecretConfig: { SecretId: { Ref: secret.id }, JsonKey: GenerateStringKey },
  });
  assert.match(Name, /^[a-zA-Z0-9_-]{1,128}$/);
});
