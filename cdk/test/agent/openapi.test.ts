// Which OpenAPI documents are refused at synthesis.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CANVASES_DOCUMENT, SETTLE_DOCUMENT, SLACK_DOCUMENT } from '../../lib/agent/gateway';
import { openApiDocument } from '../../lib/agent/openapi';
import { TRELLO_DOCUMENT } from '../../lib/agent/trello';
import { documentWith } from './documents';

for (const [name, document, title] of [
  ['slack', SLACK_DOCUMENT, 'Slack'],
  ['canvases', CANVASES_DOCUMENT, 'Slack canvases'],
  ['slack', SETTLE_DOCUMENT, "Slack for agent-settle"],
  ['trello', TRELLO_DOCUMENT, 'Trello'],
] as const) {
  test(`the document of ${title} is accepted`, () => {
    assert.equal(openApiDocument(document, name).info.title, title);
  });
}

const post = (it: any) => it.paths['/chat.postMessage'].post;
for (const [name, change, problem] of [
  ['Swagger 2.0', (it) => (it.openapi = '2.0'), /OpenAPI 2.0, not 3.0/],
  ['no title', (it) => delete it.info.title, /info.title/],
  ['no server', (it) => delete it.servers, /one server/],
  ['plain HTTP', (it) => (it.servers[0].url = 'http://slack.com/api'), /https URL/],
  ['a server that the caller can choose', (it) => (it.servers[0].url = 'https://{host}/api'), /without variables/],
  ['no operation', (it) => (it.paths = {}), /no operation/],
  ['an operation without a name', (it) => delete post(it).operationId, /POST \/chat.postMessage has no operationId/],
  ['a name with a character that models refuse', (it) => (post(it).operationId = 'post.to'), /has no operationId of/],
  ['a name that is too long', (it) => (post(it).operationId = 'x'.repeat(57)), /over 64 characters/],
  ['the same name twice', (it) => (post(it).operationId = 'add_reaction'), /two operations are called add_reaction/],
  ['a parameter that is not written plainly', (it) => (post(it).parameters = [{ name: 'ids', in: 'query', explode: false }]), /POST \/chat.postMessage has a parameter with explode: ids/],
  ['a form as a body', (it) => (post(it).requestBody.content = { 'application/x-www-form-urlencoded': {} }), /accepts a body that is not application\/json/],
  ['alternative schemas in a body', (it) => (post(it).requestBody.content['application/json'].schema = { oneOf: [] }), /it has oneOf/],
  ['alternative schemas elsewhere', (it) => (it.components = { schemas: { A: { items: { anyOf: [] } } } }), /it has anyOf/],
] as [string, (document: any) => void, RegExp][]) {
  test(`a document with ${name} is refused at synthesis`, () => {
    assert.throws(() => openApiDocument(documentWith(change), 'slack'), problem);
  });
}

test('a document that does not exist is refused, and the message names its path', () => {
  assert.throws(() => openApiDocument('/no-such-file-7f3c.json', 'slack'), /no-such-file-7f3c\.json/);
});

for (const name of ['slack_canvases', 'slack--canvases', '']) {
  test(`a target that AgentCore would not accept is refused: "${name}"`, () => {
    assert.throws(() => openApiDocument(SLACK_DOCUMENT, name), /the target's name must be of letters, digits and single -/);
  });
}
