// The agent's stack: the runtime, an agent that is deployed already, the outputs, the secret.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import * as sns from 'aws-cdk-lib/aws-sns';
import { agentStacks, agentTemplate, newApp, only } from '../support.ts';

const { template } = agentTemplate();
const runtime = only(template, 'AWS::BedrockAgentCore::Runtime');
const endpoint = only(template, 'AWS::BedrockAgentCore::RuntimeEndpoint');

test('the runtime runs main.py with its tools, and the endpoint is the newest version of it', () => {
  const { AgentRuntimeArtifact, AgentRuntimeName, Description, RoleArn, ...rest } = runtime.Properties;
  assert.deepEqual(rest, {
    EnvironmentVariables: {
      GATEWAY_URL: { 'Fn::GetAtt': [only(template, 'AWS::BedrockAgentCore::Gateway').id, 'GatewayUrl'] },
      THINKING: 'echo',
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

test('for an agent that is deployed already, the stack has a dispatcher and no runtime, gateway or secret', () => {
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';
  const { template } = agentTemplate({ agent: { runtimeArn } });
  const { AGENT_RUNTIME_ARN, AGENT_RUNTIME_QUALIFIER } = only(template, 'AWS::Lambda::Function').Properties.Environment.Variables;
  assert.deepEqual([AGENT_RUNTIME_ARN, AGENT_RUNTIME_QUALIFIER], [runtimeArn, 'DEFAULT']);
  const types = Object.values(template.toJSON().Resources as Record<string, { Type: string }>).map(({ Type }) => Type);
  assert.deepEqual([...new Set(types)].filter((type) => /BedrockAgentCore|Secret/.test(type)), []);
});

test('the stack has these outputs', () => {
  assert.deepEqual(Object.keys(template.findOutputs('*')), [
    'GatewayUrl',
    'GatewayArn',
    'BotTokenSecretArn',
    'RuntimeArn',
    'RuntimeQualifier',
    'DispatchFunctionName',
    'AgentDashboardUrl',
  ]);
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
