// The agent's tools: Slack's OpenAPI document, the Gateway, and how another API is added.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { AgentGateway, SLACK_DOCUMENT } from '../../lib/agent/gateway.ts';
import { agentCoreRole, agentTemplate, isToolsGateway, newApp, only } from '../support.ts';
import { documentWith } from './documents.ts';

const slack = JSON.parse(readFileSync(SLACK_DOCUMENT, 'utf8'));
const { template } = agentTemplate();
const tools = only(template, 'AWS::BedrockAgentCore::Gateway', isToolsGateway);
const target = only(
  template,
  'AWS::BedrockAgentCore::GatewayTarget',
  (it) => it.Properties.GatewayIdentifier['Fn::GetAtt'][0] === tools.id,
).Properties;
const operations: [string, any][] = Object.entries<any>(slack.paths).map(([path, item]) => [`POST ${path}`, item.post]);

test("Slack's tools are these methods of Slack's Web API, with these parameters", () => {
  assert.deepEqual(slack.servers, [{ url: 'https://slack.com/api' }]);
  assert.deepEqual(
    operations.map(([name, it]) => {
      const { properties, required } = it.requestBody.content['application/json'].schema;
      return [name, it.operationId, Object.keys(properties), required];
    }),
    [
      ['POST /chat.postMessage', 'post_to_slack', ['channel', 'text', 'thread_ts', 'blocks'], ['channel', 'text']],
      ['POST /reactions.add', 'add_reaction', ['channel', 'name', 'timestamp'], ['channel', 'name', 'timestamp']],
    ],
  );
  for (const item of Object.values<any>(slack.paths)) assert.deepEqual(Object.keys(item), ['post']);
});

test("the document describes Slack's errors: 200 with ok and error, and 429", () => {
  for (const [name, { responses }] of operations) {
    assert.deepEqual(Object.keys(responses), ['200', '429'], name);
    const { required, properties } = responses['200'].content['application/json'].schema;
    assert.deepEqual([required, properties.ok.type, properties.error.type], [['ok'], 'boolean', 'string'], name);
    assert.ok(responses['429'].headers['Retry-After'], name);
  }
});

/** Yields a schema and all schemas in it, at any depth, each with its path. */
function* schemas(schema: any, path: string): Generator<[string, any]> {
  yield [path, schema];
  for (const [name, it] of Object.entries<any>(schema.properties ?? {})) yield* schemas(it, `${path}.${name}`);
  if (schema.items) yield* schemas(schema.items, `${path}[]`);
}

test('every parameter has a description and one type, and the document has no references and no security schemes', () => {
  for (const [name, operation] of operations) {
    assert.ok(operation.summary && operation.description.length > 60, name);
    const body = operation.requestBody.content['application/json'].schema;
    for (const [path, schema] of schemas(body, name)) {
      assert.equal(typeof schema.type, 'string', path);
      if (path !== name) assert.ok(schema.description?.length > 15, path);
    }
  }
  // AgentCore ignores security schemes: the Gateway adds the credential.
  for (const word of ['$ref', 'oneOf', 'anyOf', 'allOf', 'not', 'security', 'securitySchemes', 'nullable']) {
    assert.ok(!readFileSync(SLACK_DOCUMENT, 'utf8').includes(`"${word}":`), word);
  }
});

test("the document is the Gateway's target, and the Gateway adds the credential as a bearer token", () => {
  assert.equal(target.Name, 'slack');
  assert.deepEqual(JSON.parse(target.TargetConfiguration.Mcp.OpenApiSchema.InlinePayload), slack);
  const provider = only(template, 'AWS::BedrockAgentCore::ApiKeyCredentialProvider');
  assert.deepEqual(target.CredentialProviderConfigurations, [
    {
      CredentialProviderType: 'API_KEY',
      CredentialProvider: {
        ApiKeyCredentialProvider: {
          ProviderArn: { 'Fn::GetAtt': [provider.id, 'CredentialProviderArn'] },
          CredentialLocation: 'HEADER',
          CredentialParameterName: 'Authorization',
          // Without a space at the end: the Gateway adds one.
          CredentialPrefix: 'Bearer',
        },
      },
    },
  ]);
});

test('each gateway speaks MCP to callers that IAM lets in, and tells them why a tool failed', () => {
  const gateways = Object.values(template.findResources('AWS::BedrockAgentCore::Gateway')).map((it) => it.Properties);
  assert.equal(new Set(gateways.map((it) => it.Name)).size, 2);
  for (const { Description, RoleArn, Name, ...rest } of gateways) {
    assert.deepEqual(rest, {
      AuthorizerType: 'AWS_IAM',
      ExceptionLevel: 'DEBUG',
      ProtocolType: 'MCP',
      ProtocolConfiguration: { Mcp: { SupportedVersions: ['2025-06-18', '2025-03-26'] } },
    });
    // The form that AgentCore accepts, in lower case as in its ids.
    assert.match(Name, /^([0-9a-z]-?){1,48}$/);
  }
});

// ── another API ──────────────────────────────────────────────────────────────────────────────────────────

test('another API is added with one call, and gets its own target, credential and grant', () => {
  const stack = new Stack(newApp(), 'Stack');
  const gateway = new AgentGateway(stack, 'Gateway');
  const secret = (name: string) => secretsmanager.Secret.fromSecretCompleteArn(stack, name, secretArn(name));
  const secretArn = (name: string) => `arn:aws:secretsmanager:us-east-1:111122223333:secret:${name}-AbCdEf`;
  gateway.addTool('slack', { document: SLACK_DOCUMENT, secret: secret('slack') });
  gateway.addTool('trello', {
    document: documentWith((it) => {
      it.info.title = 'Trello';
      it.servers[0].url = 'https://api.trello.com/1';
    }),
    secret: secret('trello'),
    secretKey: 'key',
    credentialLocation: agentcore.ApiKeyCredentialLocation.queryParameter({ credentialParameterName: 'key' }),
  });
  const template = Template.fromStack(stack);
  template.resourceCountIs('AWS::BedrockAgentCore::Gateway', 1);
  const trello = only(template, 'AWS::BedrockAgentCore::GatewayTarget', (it) => it.Properties.Name === 'trello').Properties;
  const provider = only(
    template,
    'AWS::BedrockAgentCore::ApiKeyCredentialProvider',
    (it) => it.Properties.ApiKeySecretConfig.JsonKey === 'key',
  );
  assert.equal(provider.Properties.ApiKeySecretConfig.SecretId, secretArn('trello'));
  assert.equal(trello.Description, 'Trello');
  assert.deepEqual(trello.CredentialProviderConfigurations[0].CredentialProvider.ApiKeyCredentialProvider, {
    ProviderArn: { 'Fn::GetAtt': [provider.id, 'CredentialProviderArn'] },
    CredentialLocation: 'QUERY_PARAMETER',
    CredentialParameterName: 'key',
  });
  const reads = agentCoreRole(template, 'AWS::BedrockAgentCore::Gateway').statements.find(
    (it) => it.Action === 'secretsmanager:GetSecretValue',
  );
  assert.deepEqual(reads.Resource, [secretArn('slack'), secretArn('trello')]);
});
