// What this package relies on of Bolt's inside. If one of these fails with a new version, `src/listeners.ts` has to change.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bolt } from './support/consumer.mjs';
import { quiet } from './support/harness.mjs';
import { mention } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';

let slack;
before(async () => { slack = await startSlack(); });
after(() => slack.stop());

const newApp = () => new bolt.App({ token: 'xoxb-one', signingSecret: 's', clientOptions: slack.clientOptions, logger: quiet });

test('every error ends in handleError, once, with the body that was given', async () => {
  const app = newApp();
  const seen = [];
  const { handleError } = app;
  app.handleError = function handle(args) { seen.push(args); return handleError.call(this, args); };
  app.error(async () => {});
  app.event('app_mention', async () => { throw new Error('x'); });
  const body = mention('x');
  // This is why the package looks there: with an error handler of the app's, nothing is thrown.
  await app.processEvent({ body, ack: async () => {} });
  assert.equal(seen.length, 1);
  assert.equal(seen[0].body, body);
});

test('each way to add a listener adds a chain whose last member is the listener', async () => {
  const app = newApp();
  const listener = async () => {};
  app.event('app_mention', listener);
  app.message('x', listener);
  app.command('/x', listener);
  app.action('x', listener);
  app.shortcut('x', listener);
  app.view('x', listener);
  app.options('x', listener);
  app.function('x', listener);
  assert.deepEqual(app.listeners.map((chain) => chain.at(-1) === listener), Array(8).fill(true));
});

test('global middleware is in a list, and is called with the body that was given', async () => {
  const app = newApp();
  const body = mention('x');
  let got;
  const middleware = async (args) => { got = args.body; };
  app.use(middleware);
  assert.equal(app.middleware.at(-1), middleware);
  await app.processEvent({ body, ack: async () => {} });
  assert.equal(got, body);
});

test('a chain of one is called whenever listeners are asked, with the body that was given', async () => {
  const app = newApp();
  const body = mention('x');
  let got;
  app.listeners.push([async (args) => { got = args.body; }]);
  await app.processEvent({ body, ack: async () => {} });
  assert.equal(got, body);
});

test('Bolt acknowledges an event before it asks a listener, and nothing else', async () => {
  const acknowledged = async (body) => {
    let count = 0;
    await newApp().processEvent({ body, ack: async () => { count += 1; } });
    return count;
  };
  assert.equal(await acknowledged(mention('x')), 1);
  assert.equal(await acknowledged({ command: '/x', team_id: 'T061EG9R6', user_id: 'U' }), 0);
  assert.equal(await acknowledged({ event: { type: 'function_executed', function: {}, function_execution_id: 'Fx1', inputs: {} }, team_id: 'T061EG9R6' }), 0);
});

test('an app with a token keeps the answer of auth.test, also an error; and its authorize may be replaced', async () => {
  slack.failing['auth.test'] = 1;
  const app = newApp();
  const rejected = () => app.authorize({ isEnterpriseInstall: false }).then(() => assert.fail('authorized'), (error) => error);
  const first = await rejected();
  // This is why the package looks there. By the very error it knows that Bolt keeps it.
  assert.equal(await rejected(), first);
  assert.equal(app.client.token, 'xoxb-one');
  let context;
  app.authorize = async () => ({ botId: 'B', botUserId: 'U', botToken: 'xoxb-one' });
  app.event('app_mention', async (args) => { context = args.context; });
  await app.processEvent({ body: mention('x'), ack: async () => {} });
  assert.equal(context.botId, 'B');
});

test('an app with OAuth or an authorize of its own has no token', () => {
  assert.equal(new bolt.App({ authorize: async () => ({}), signingSecret: 's', logger: quiet }).client.token, undefined);
});
