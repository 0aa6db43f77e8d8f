import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { AgentGateway, SLACK_DOCUMENT } from '../lib/agent-gateway.ts';
import { openApiDocument } from '../lib/openapi.ts';
import { agentCoreRole, agentTemplate, newApp, only, temporaryDirectory } from './support.ts';

const slack = JSON.parse(readFileSync(SLACK_DOCUMENT, 'utf8'));
const { template } = agentTemplate();
const target = only(template, 'AWS::BedrockAgentCore::GatewayTarget').Properties;
const operations: [string, any][] = Object.entries<any>(slack.paths).map(([path, item]) => [`POST ${path}`, item.post]);

test("Slack's tools are these, at Slack's Web API, with what they take and what they must have", () => {
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

test("Slack's errors are in it: 200 with ok and error, and 429", () => {
  for (const [name, { responses }] of operations) {
    assert.deepEqual(Object.keys(responses), ['200', '429'], name);
    const { required, properties } = responses['200'].content['application/json'].schema;
    assert.deepEqual([required, properties.ok.type, properties.error.type], [['ok'], 'boolean', 'string'], name);
    assert.ok(responses['429'].headers['Retry-After'], name);
  }
});

/** Everything that a model reads: operations, their parameters at any depth, their answers. */
function* schemas(schema: any, path: string): Generator<[string, any]> {
  yield [path, schema];
  for (const [name, it] of Object.entries<any>(schema.properties ?? {})) yield* schemas(it, `${path}.${name}`);
  if (schema.items) yield* schemas(schema.items, `${path}[]`);
}

test('a model is told what everything is, in schemas of one type each, without references or security', () => {
  for (const [name, operation] of operations) {
    assert.ok(operation.summary && operation.description.length > 60, name);
    const body = operation.requestBody.content['application/json'].schema;
    for (const [path, schema] of schemas(body, name)) {
      assert.equal(typeof schema.type, 'string', path);
      if (path !== name) assert.ok(schema.description?.length > 15, path);
    }
  }
  // AgentCore does not look at them: the credential is the Gateway's.
  for (const word of ['$ref', 'oneOf', 'anyOf', 'allOf', 'not', 'security', 'securitySchemes', 'nullable']) {
    assert.ok(!readFileSync(SLACK_DOCUMENT, 'utf8').includes(`"${word}":`), word);
  }
});

test("the document is the Gateway's target, and the credential a bearer token that only the Gateway has", () => {
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
          // Without a space: the Gateway puts one.
          CredentialPrefix: 'Bearer',
        },
      },
    },
  ]);
});

test('the gateway speaks MCP to who may call it by IAM, and tells them why a tool failed', () => {
  const { Description, RoleArn, Name, ...rest } = only(template, 'AWS::BedrockAgentCore::Gateway').Properties;
  assert.deepEqual(rest, {
    AuthorizerType: 'AWS_IAM',
    ExceptionLevel: 'DEBUG',
    ProtocolType: 'MCP',
    ProtocolConfiguration: { Mcp: { SupportedVersions: ['2025-06-18', '2025-03-26'] } },
  });
  // As AgentCore takes it, and in small letters as it has it in ids.
  assert.match(Name, /^([0-9a-z]-?){1,48}$/);
});

// ── another API ──────────────────────────────────────────────────────────────────────────────────────────

/** A document like Slack's, changed. */
function documentWith(change: (document: any) => void): string {
  const document = structuredClone(slack);
  change(document);
  const path = join(temporaryDirectory(), 'openapi.json');
  writeFileSync(path, JSON.stringify(document));
  return path;
}

test('another API is one call, with a target, a credential and a grant of its own', () => {
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

test("Slack's document is one that AgentCore takes", () => {
  assert.equal(openApiDocument(SLACK_DOCUMENT, 'slack').info.title, 'Slack');
});

const post = (it: any) => it.paths['/chat.postMessage'].post;
for (const [name, change, problem] of [
  ['Swagger 2.0', (it) => (it.openapi = '2.0'), /OpenAPI 2.0, not 3.0/],
  ['no title', (it) => delete it.info.title, /info.title/],
  ['no server', (it) => delete it.servers, /one server/],
  ['plain HTTP', (it) => (it.servers[0].url = 'http://slack.com/api'), /https URL/],
  ['a server that the caller chooses', (it) => (it.servers[0].url = 'https://{host}/api'), /without variables/],
  ['no operation', (it) => (it.paths = {}), /no operation/],
  ['an operation without a name', (it) => delete post(it).operationId, /POST \/chat.postMessage has no operationId/],
  ['a name that no model takes', (it) => (post(it).operationId = 'post.to'), /has no operationId of/],
  ['a name that is too long', (it) => (post(it).operationId = 'x'.repeat(57)), /over 64 characters/],
  ['one name twice', (it) => (post(it).operationId = 'add_reaction'), /two operations are called add_reaction/],
  ['a form', (it) => (post(it).requestBody.content = { 'application/x-www-form-urlencoded': {} }), /other bodies/],
  ['a choice of schemas', (it) => (post(it).requestBody.content['application/json'].schema = { oneOf: [] }), /it has oneOf/],
  ['a choice elsewhere', (it) => (it.components = { schemas: { A: { items: { anyOf: [] } } } }), /it has anyOf/],
] as [string, (document: any) => void, RegExp][]) {
  test(`a document with ${name} is refused at synthesis`, () => {
    assert.throws(() => openApiDocument(documentWith(change), 'slack'), problem);
  });
}

test('a document that is none is refused, with its path', () => {
  assert.throws(() => openApiDocument('/nowhere.json', 'slack'), /nowhere\.json/);
});
