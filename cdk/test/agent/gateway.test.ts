// The agent's tools: their OpenAPI documents, the Gateway, and how another API is added.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { AgentGateway, CANVASES_DOCUMENT, SLACK_DOCUMENT } from '../../lib/agent/gateway';
import { TRELLO_DOCUMENT } from '../../lib/agent/trello';
import { agentCoreRole, agentDirectory, agentTemplate, isToolsGateway, newApp, only } from '../support';
import { documentWith } from './documents';

const { template } = agentTemplate({ agent: { code: agentDirectory(), trello: {} } });
const tools = only(template, 'AWS::BedrockAgentCore::Gateway', isToolsGateway);
const targetCalled = (name: string) =>
  only(
    template,
    'AWS::BedrockAgentCore::GatewayTarget',
    (it) => it.Properties.Name === name && it.Properties.GatewayIdentifier['Fn::GetAtt'][0] === tools.id,
  ).Properties;

const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const DOCUMENTS = { slack: SLACK_DOCUMENT, canvases: CANVASES_DOCUMENT, trello: TRELLO_DOCUMENT };
const bodyOf = (operation: any) => operation.requestBody?.content['application/json'].schema;

/** Returns the operations of a document with their method and path. */
const operationsOf = (path: string): [string, any][] =>
  Object.entries<any>(read(path).paths).flatMap(([path, item]) =>
    Object.entries<any>(item).map(([method, it]): [string, any] => [`${method.toUpperCase()} ${path}`, it]),
  );

/** Returns what a caller can give to each operation of a document, and what of that it must give. */
const parametersOf = (path: string) =>
  operationsOf(path).map(([name, it]) => {
    const parameters: any[] = it.parameters ?? [];
    const { properties = {}, required = [] } = bodyOf(it) ?? {};
    return [
      name,
      it.operationId,
      [...parameters.map((it) => it.name), ...Object.keys(properties)],
      [...parameters.filter((it) => it.required).map((it) => it.name), ...required],
    ];
  });

test("Slack's tools are these methods of Slack's Web API, with these parameters", () => {
  assert.deepEqual(read(SLACK_DOCUMENT).servers, [{ url: 'https://slack.com/api' }]);
  assert.deepEqual(parametersOf(SLACK_DOCUMENT), [
    ['POST /chat.postMessage', 'post_to_slack', ['channel', 'text', 'thread_ts', 'blocks'], ['channel', 'text']],
    ['POST /reactions.add', 'add_reaction', ['channel', 'name', 'timestamp'], ['channel', 'name', 'timestamp']],
  ]);
});

test('the tools for canvases are these methods of Slack\'s Web API, with these parameters', () => {
  assert.deepEqual(read(CANVASES_DOCUMENT).servers, [{ url: 'https://slack.com/api' }]);
  const create = ['channel_id', 'title', 'document_content'];
  assert.deepEqual(parametersOf(CANVASES_DOCUMENT), [
    // Slack needs the channel in a workspace on a free plan only. Without one, nobody but the app could open the canvas.
    ['POST /canvases.create', 'create_canvas', create, create],
    ['POST /canvases.edit', 'edit_canvas', ['canvas_id', 'changes'], ['canvas_id', 'changes']],
    ['POST /canvases.sections.lookup', 'find_canvas_sections', ['canvas_id', 'criteria'], ['canvas_id', 'criteria']],
  ]);
});

test("Trello's tools are these operations of its REST API, with these parameters", () => {
  assert.deepEqual(read(TRELLO_DOCUMENT).servers, [{ url: 'https://api.trello.com/1' }]);
  const changes = ['name', 'desc', 'idList', 'pos', 'due', 'dueComplete', 'closed'];
  assert.deepEqual(parametersOf(TRELLO_DOCUMENT), [
    ['GET /members/me/boards', 'list_boards', ['filter', 'fields'], ['filter', 'fields']],
    ['GET /boards/{idBoard}/lists', 'list_board_lists', ['idBoard', 'fields'], ['idBoard', 'fields']],
    ['GET /lists/{idList}/cards', 'list_cards', ['idList', 'fields'], ['idList', 'fields']],
    ['POST /cards', 'create_card', ['idList', 'name', 'desc', 'due', 'pos'], ['idList', 'name']],
    ['PUT /cards/{idCard}', 'update_card', ['idCard', ...changes], ['idCard']],
    ['POST /cards/{idCard}/actions/comments', 'comment_on_card', ['idCard', 'text'], ['idCard', 'text']],
  ]);
});

test('each parameter in a path is described, and no operation has one name for two parameters', () => {
  for (const [name, operation] of operationsOf(TRELLO_DOCUMENT)) {
    const parameters: any[] = operation.parameters ?? [];
    const inPath = parameters.filter((it) => it.in === 'path').map((it) => it.name);
    assert.deepEqual(inPath, [...name.matchAll(/\{(\w+)\}/g)].map(([, it]) => it), name);
    // A tool has one list of arguments, whether they go into the path, the query or the body.
    const names = [...parameters.map((it) => it.name), ...Object.keys(bodyOf(operation)?.properties ?? {})];
    assert.equal(new Set(names).size, names.length, name);
  }
});

for (const [name, document] of Object.entries({ slack: SLACK_DOCUMENT, canvases: CANVASES_DOCUMENT })) {
  test(`the document for ${name} describes Slack's errors: 200 with ok and error, and 429`, () => {
    for (const [name, { responses }] of operationsOf(document)) {
      assert.deepEqual(Object.keys(responses), ['200', '429'], name);
      const { required, properties } = responses['200'].content['application/json'].schema;
      assert.deepEqual([required, properties.ok.type, properties.error.type], [['ok'], 'boolean', 'string'], name);
      assert.ok(responses['429'].headers['Retry-After'], name);
    }
  });
}

test("the document for Trello describes Trello's errors, which are statuses with a text", () => {
  for (const [name, { responses }] of operationsOf(TRELLO_DOCUMENT)) {
    assert.deepEqual(Object.keys(responses), ['200', '400', '401', '404', '429'], name);
  }
});

/** Yields a schema and all schemas in it, at any depth, each with its path. */
function* schemas(schema: any, path: string): Generator<[string, any]> {
  yield [path, schema];
  for (const [name, it] of Object.entries<any>(schema.properties ?? {})) yield* schemas(it, `${path}.${name}`);
  if (schema.items) yield* schemas(schema.items, `${path}[]`);
}

for (const [target, document] of Object.entries(DOCUMENTS)) {
  test(`${target}: every parameter has a description and one type, and the document has no references and no security schemes`, () => {
    for (const [name, operation] of operationsOf(document)) {
      assert.ok(operation.summary && operation.description.length > 60, name);
      for (const { schema, description, name: parameter } of operation.parameters ?? []) {
        assert.equal(typeof schema.type, 'string', `${name} ${parameter}`);
        assert.ok(description?.length > 15, `${name} ${parameter}`);
      }
      for (const [path, schema] of schemas(bodyOf(operation) ?? { type: 'object' }, name)) {
        assert.equal(typeof schema.type, 'string', path);
        if (path !== name) assert.ok(schema.description?.length > 10, path);
      }
    }
    // AgentCore ignores security schemes: the Gateway adds the credential.
    for (const word of ['$ref', 'oneOf', 'anyOf', 'allOf', 'not', 'security', 'securitySchemes', 'nullable']) {
      assert.ok(!readFileSync(document, 'utf8').includes(`"${word}":`), word);
    }
  });
}

test("the documents are the agent's targets, and it has no others", () => {
  const targets = Object.values(template.findResources('AWS::BedrockAgentCore::GatewayTarget'))
    .map((it) => it.Properties)
    .filter((it) => it.GatewayIdentifier['Fn::GetAtt'][0] === tools.id);
  assert.deepEqual(targets.map((it) => it.Name).sort(), Object.keys(DOCUMENTS).sort());
  for (const [name, document] of Object.entries(DOCUMENTS)) {
    assert.deepEqual(JSON.parse(targetCalled(name).TargetConfiguration.Mcp.OpenApiSchema.InlinePayload), read(document));
  }
});

/** Returns how a target's credential is added, and where it comes from. */
function credentialOf(name: string) {
  const [configuration, ...more] = targetCalled(name).CredentialProviderConfigurations;
  assert.deepEqual([configuration.CredentialProviderType, more.length], ['API_KEY', 0]);
  const { ProviderArn, ...where } = configuration.CredentialProvider.ApiKeyCredentialProvider;
  const [id, attribute] = ProviderArn['Fn::GetAtt'];
  assert.equal(attribute, 'CredentialProviderArn');
  const { SecretId, JsonKey } = template.findResources('AWS::BedrockAgentCore::ApiKeyCredentialProvider')[id]!.Properties.ApiKeySecretConfig;
  return { where, secret: SecretId.Ref, key: JsonKey };
}
const header = (CredentialPrefix: string) => ({
  CredentialLocation: 'HEADER',
  CredentialParameterName: 'Authorization',
  // Without a space at the end: the Gateway adds one.
  CredentialPrefix,
});
const secretWith = (key: string) =>
  only(template, 'AWS::SecretsManager::Secret', (it) => it.Properties.GenerateSecretString.GenerateStringKey === key).id;

test("the Gateway adds the bot token as a bearer token to both of Slack's targets", () => {
  for (const name of ['slack', 'canvases']) {
    assert.deepEqual(credentialOf(name), { where: header('Bearer'), secret: secretWith('token'), key: 'token' }, name);
  }
});

test("the Gateway adds Trello's two values as one header, from a secret of its own", () => {
  assert.deepEqual(credentialOf('trello'), {
    where: header('OAuth'),
    secret: secretWith('authorization'),
    key: 'authorization',
  });
  assert.notEqual(secretWith('authorization'), secretWith('token'));
});

test('there are no tools for Trello unless they are asked for', () => {
  const { template } = agentTemplate();
  const names = Object.values(template.findResources('AWS::BedrockAgentCore::GatewayTarget')).map((it) => it.Properties.Name);
  assert.deepEqual(names.sort(), ['canvases', 'slack', 'slack']);
  template.resourceCountIs('AWS::BedrockAgentCore::ApiKeyCredentialProvider', 1);
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
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
  gateway.addTool('weather', {
    document: documentWith((it) => {
      it.info.title = 'Weather';
      it.servers[0].url = 'https://api.example.com/1';
    }),
    secret: secret('weather'),
    secretKey: 'key',
    credentialLocation: agentcore.ApiKeyCredentialLocation.queryParameter({ credentialParameterName: 'key' }),
  });
  const template = Template.fromStack(stack);
  template.resourceCountIs('AWS::BedrockAgentCore::Gateway', 1);
  const weather = only(template, 'AWS::BedrockAgentCore::GatewayTarget', (it) => it.Properties.Name === 'weather').Properties;
  const provider = only(
    template,
    'AWS::BedrockAgentCore::ApiKeyCredentialProvider',
    (it) => it.Properties.ApiKeySecretConfig.JsonKey === 'key',
  );
  assert.equal(provider.Properties.ApiKeySecretConfig.SecretId, secretArn('weather'));
  assert.equal(weather.Description, 'Weather');
  assert.deepEqual(weather.CredentialProviderConfigurations[0].CredentialProvider.ApiKeyCredentialProvider, {
    ProviderArn: { 'Fn::GetAtt': [provider.id, 'CredentialProviderArn'] },
    CredentialLocation: 'QUERY_PARAMETER',
    CredentialParameterName: 'key',
  });
  const reads = agentCoreRole(template, 'AWS::BedrockAgentCore::Gateway').statements.find(
    (it) => it.Action === 'secretsmanager:GetSecretValue',
  );
  assert.deepEqual(reads.Resource, [secretArn('slack'), secretArn('weather')]);
});
