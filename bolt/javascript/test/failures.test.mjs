// What counts as a failure, whatever the app does with its own errors.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { bolt, sqsHandler } from './support/consumer.mjs';
import { behindTheQueue, invocation, quiet } from './support/harness.mjs';
import { command, fixture, mention, record } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';

let slack;
before(async () => { slack = await startSlack(); });
after(() => slack.stop());

const boom = async () => { throw new TypeError('boom'); };

/** Runs one mention, and asserts that it failed and stays on the queue. */
async function fails({ app: appOptions, set, message = record(mention('x')), error = /^TypeError$/ }) {
  const behind = behindTheQueue(slack, { app: appOptions });
  await set(behind.app);
  assert.deepEqual(await behind.run(message), [message.messageId]);
  const [line] = behind.lines.filter((each) => each.outcome);
  assert.equal(line.outcome, 'failed');
  assert.equal(line.level, 'ERROR');
  assert.match(line.error, error);
  return behind;
}

test('a listener that throws, with Bolt\'s default error handler', () => fails({ set: (app) => app.event('app_mention', boom) }));

test('a listener that throws at once and is no async function', () => fails({
  set: (app) => app.event('app_mention', () => { throw new TypeError('boom'); }),
}));

for (const extendedErrorHandler of [false, true]) {
  for (const when of ['before', 'after']) {
    test(`a listener that throws, in an app with its own app.error set ${when} it, extended: ${extendedErrorHandler}`, async () => {
      const got = [];
      const handler = async (error) => { got.push(error); };
      await fails({
        app: { extendedErrorHandler },
        set(app) {
          if (when === 'before') app.error(handler);
          app.event('app_mention', boom);
          if (when === 'after') app.error(handler);
        },
      });
      // The app's own handler gets, once, what Bolt gives it.
      assert.equal(got.length, 1);
      if (extendedErrorHandler) {
        assert.deepEqual(Object.keys(got[0]).sort(), ['body', 'context', 'error', 'logger']);
        assert.equal(got[0].body.event.type, 'app_mention');
      }
      const error = extendedErrorHandler ? got[0].error : got[0];
      assert.equal(error.code, 'slack_bolt_unknown_error');
      assert.equal((error.original ?? error).message, 'boom');
    });
  }
}

test('an error handler that throws another error', () => fails({
  set(app) {
    app.event('app_mention', boom);
    app.error(async () => { throw new Error('of the handler'); });
  },
}));

test('a listener that throws under a middleware that catches everything', () => fails({
  set(app) {
    app.use(async ({ next }) => { await next().catch(() => {}); });
    app.event('app_mention', boom);
  },
}));

test('a listener that throws under a listener middleware that catches everything', () => fails({
  set: (app) => app.event('app_mention', async ({ next }) => { await next().catch(() => {}); }, boom),
}));

test('a listener middleware that throws, in an app with its own app.error', () => fails({
  set(app) {
    app.error(async () => {});
    app.event('app_mention', boom, async () => {});
  },
}));

test('a global middleware that throws, in an app with its own app.error', () => fails({
  set(app) {
    app.error(async () => {});
    app.use(boom);
    app.event('app_mention', async () => {});
  },
}));

test('authorization that fails, with and without app.error', async () => {
  const authorize = async () => { throw new Error('no installation'); };
  await fails({ app: { authorize }, set: () => {}, error: /slack_bolt_authorization_error/ });
  await fails({ app: { authorize }, set: (app) => app.error(async () => {}), error: /slack_bolt_authorization_error/ });
});

test('an auth.test that failed is asked again by the message that finds it, and a good answer counts from then on', async () => {
  slack.failing['auth.test'] = 1;
  const { app, run, outcomes } = behindTheQueue(slack);
  const contexts = [];
  app.event('app_mention', async ({ context }) => { contexts.push([context.botId, context.botUserId, context.botToken, context.isEnterpriseInstall]); });
  for (let n = 0; n < 2; n += 1) assert.deepEqual(await run(record(mention('x'))), []);
  assert.deepEqual(outcomes(), ['done', 'done']);
  // What Bolt itself would have given.
  const plain = behindTheQueue(slack);
  plain.app.event('app_mention', async ({ context }) => { contexts.push([context.botId, context.botUserId, context.botToken, context.isEnterpriseInstall]); });
  await plain.run(record(mention('x')));
  assert.deepEqual(contexts, [contexts[2], contexts[2], contexts[2]]);
});

for (const [what, make] of [
  ['an app with this receiver', (options) => behindTheQueue(slack, { app: options })],
  ['an app with a receiver of Bolt\'s own', (options) => {
    const lines = [];
    const app = new bolt.App({ token: 'xoxb-one', signingSecret: 's', clientOptions: slack.clientOptions, logger: quiet, ...options });
    const handle = sqsHandler(app, { metrics: false, writeLog: (line) => lines.push(JSON.parse(line)) });
    return {
      app,
      run: async (...records) => (await handle({ Records: records }, invocation())).batchItemFailures.map((failure) => failure.itemIdentifier),
      outcomes: () => lines.filter((line) => line.outcome).map((line) => line.outcome),
    };
  }],
]) {
  for (const tokenVerificationEnabled of [true, false]) {
    test(`as long as auth.test fails messages fail, and then no more: ${what}, tokenVerificationEnabled: ${tokenVerificationEnabled}`, async () => {
      slack.failing['auth.test'] = Infinity;
      const { app, run, outcomes } = make({ tokenVerificationEnabled });
      app.error(async () => {});
      app.event('app_mention', async () => {});
      const messages = Array.from({ length: 3 }, (_, n) => record(mention('x'), { group: `g${n}` }));
      assert.equal((await run(...messages)).length, 3);
      slack.failing['auth.test'] = 0;
      assert.deepEqual(await run(...messages), []);
      assert.deepEqual(outcomes(), [...Array(3).fill('failed'), ...Array(3).fill('done')]);
    });
  }
}

test('messages that find it at the same time ask once', async () => {
  slack.failing['auth.test'] = 1;
  const { app, run, outcomes } = behindTheQueue(slack);
  const { auth } = app.client;
  const ask = auth.test;
  let asked = 0;
  auth.test = async (...args) => { asked += 1; return ask(...args); };
  app.event('app_mention', async () => {});
  await run(...Array.from({ length: 5 }, (_, n) => record(mention('x'), { group: `g${n}` })));
  assert.deepEqual([outcomes(), asked], [Array(5).fill('done'), 1]);
});

test('an app that is given botId and botUserId needs no auth.test, which would fail here', async () => {
  const { app, run, outcomes } = behindTheQueue(slack, { app: { token: 'xoxb-unknown', botId: 'B1', botUserId: 'U1' } });
  let context;
  app.event('app_mention', async (args) => { context = args.context; });
  await run(record(mention('x')));
  assert.deepEqual(outcomes(), ['done']);
  assert.deepEqual([context.botId, context.botUserId], ['B1', 'U1']);
});

test('an Assistant that throws, in an app with its own app.error', () => fails({
  message: record(fixture('assistant_thread_started', slack.url).body),
  set(app) {
    app.error(async () => {});
    app.assistant(new bolt.Assistant({ threadStarted: boom, userMessage: async () => {} }));
  },
}));

test('a custom function that throws, in an app with its own app.error', () => fails({
  message: record(fixture('function_executed', slack.url).body),
  set(app) {
    app.error(async () => {});
    app.function('summarize', boom);
  },
}));

test('one of two listeners throws: the other one runs to its end, and the message has failed', async () => {
  let ended = false;
  await fails({
    set(app) {
      app.error(async () => {});
      app.event('app_mention', boom);
      app.event('app_mention', async () => { await sleep(50); ended = true; });
    },
  });
  assert.ok(ended);
});

test('two listeners throw: the app\'s handler gets Bolt\'s MultipleListenerError', async () => {
  const got = [];
  await fails({
    set(app) {
      app.error(async (error) => { got.push(error); });
      app.event('app_mention', boom);
      app.event('app_mention', boom);
    },
  });
  assert.deepEqual(got.map((error) => error.originals.length), [2]);
});

test('a listener that throws after it acknowledged', () => fails({
  message: record(command(slack.url)),
  set(app) {
    app.error(async () => {});
    app.command('/deploy', async ({ ack }) => { await ack(); await sleep(20); await boom(); });
  },
}));

test('a call to Slack that fails: the log says which error, and no token', async () => {
  const { lines } = await fails({
    app: { authorize: async () => ({ botToken: 'xoxb-unknown', botId: 'B', botUserId: 'U' }) },
    set: (app) => app.event('app_mention', async ({ say }) => { await say('x'); }),
    error: /invalid_auth/,
  });
  assert.ok(!JSON.stringify(lines).includes('xoxb'));
});

test('a listener that goes on after an ack that it does not await is awaited', async () => {
  const { app, run, outcomes } = behindTheQueue(slack);
  let ended = false;
  app.command('/deploy', async ({ ack }) => { ack('on it'); await sleep(100); ended = true; });
  assert.deepEqual(await run(record(command(slack.url))), []);
  assert.ok(ended);
  assert.deepEqual(outcomes(), ['done']);
});

test('a listener is awaited although a middleware does not await next()', async () => {
  const { app, run } = behindTheQueue(slack);
  let ended = false;
  app.use(async ({ next }) => { next(); });
  app.event('app_mention', async () => { await sleep(100); ended = true; });
  await run(record(mention('x')));
  assert.ok(ended);
});

const resting = async ({ next }) => { await sleep(50); await next(); };
const hasty = async ({ next }) => { next(); };
for (const [what, set] of [
  ['behind a listener middleware that takes its time', (app, listener) => { app.use(hasty); app.event('app_mention', resting, listener); }],
  ['behind several', (app, listener) => app.event('app_mention', hasty, resting, hasty, resting, listener)],
  ['behind a global middleware that takes its time', (app, listener) => {
    app.use(hasty);
    app.use(resting);
    app.event('app_mention', listener);
  }],
]) {
  test(`a listener is awaited although a middleware does not await next(), also ${what}`, async () => {
    const { app, run, outcomes } = behindTheQueue(slack);
    let ended = false;
    set(app, async () => { await sleep(50); ended = true; });
    assert.deepEqual(await run(record(mention('x'))), []);
    assert.ok(ended);
    assert.deepEqual(outcomes(), ['done']);
  });
}

test('a middleware that throws late, where another one does not await next(), is a failure', async () => {
  const { app, run, outcomes } = behindTheQueue(slack);
  app.event('app_mention', async ({ next }) => { next().catch(() => {}); }, async () => { await sleep(50); await boom(); }, async () => {});
  const message = record(mention('x'));
  assert.deepEqual(await run(message), [message.messageId]);
  assert.deepEqual(outcomes(), ['failed']);
});

test('messages that run at the same time do not share their failures', async () => {
  const { app, run, outcomes } = behindTheQueue(slack);
  app.error(async () => {});
  app.event('app_mention', async ({ event }) => { await sleep(20); if (event.text === 'bad') await boom(); });
  const messages = ['good', 'bad', 'good', 'bad'].map((text, n) => record(mention(text), { group: `g${n}` }));
  assert.deepEqual((await run(...messages)).sort(), [messages[1].messageId, messages[3].messageId].sort());
  assert.deepEqual(outcomes().sort(), ['done', 'done', 'failed', 'failed']);
});

test('nobody listens: done and counted, for an event, a command and a click', async () => {
  const { app, run, outcomes } = behindTheQueue(slack);
  app.event('app_home_opened', async () => {});
  app.message('hello', async () => {});
  app.command('/other', async () => {});
  app.action('other', async () => {});
  const click = JSON.parse(fixture('block_actions_in_a_thread', slack.url).body);
  assert.deepEqual(await run(record(mention('x')), record(command(slack.url)), record(click)), []);
  assert.deepEqual(outcomes(), ['nobody_listens', 'nobody_listens', 'nobody_listens']);
});

test('somebody listens: a listener that acknowledges nothing, a middleware that takes the message, an Assistant', async () => {
  const silent = behindTheQueue(slack);
  silent.app.command('/deploy', async () => {});
  await silent.run(record(command(slack.url)));
  assert.deepEqual(silent.outcomes(), ['done']);

  const middleware = behindTheQueue(slack);
  middleware.app.use(async () => {});
  await middleware.run(record(mention('x')));
  assert.deepEqual(middleware.outcomes(), ['done']);

  const assistant = behindTheQueue(slack);
  assistant.app.assistant(new bolt.Assistant({ threadStarted: async () => {}, userMessage: async () => {} }));
  await assistant.run(record(fixture('assistant_thread_started', slack.url).body));
  assert.deepEqual(assistant.outcomes(), ['done']);
});

test('listeners that are added later count as well', async () => {
  const { app, run, outcomes } = behindTheQueue(slack);
  await run(record(mention('x')));
  app.error(async () => {});
  app.event('app_mention', boom);
  await run(record(mention('x')));
  assert.deepEqual(outcomes(), ['nobody_listens', 'failed']);
});

test('an app that was made with Bolt\'s own receiver, its listeners added before, its failures seen', async () => {
  const lines = [];
  const app = new bolt.App({ token: 'xoxb-one', signingSecret: 'secret', clientOptions: slack.clientOptions, logger: quiet });
  app.error(async () => {});
  app.event('app_mention', async ({ event }) => { if (event.text === 'bad') await boom(); });
  const handle = sqsHandler(app, { metrics: false, writeLog: (line) => lines.push(JSON.parse(line)) });
  const [good, bad] = [record(mention('good'), { group: 'a' }), record(mention('bad'), { group: 'b' })];
  const { batchItemFailures } = await handle({ Records: [good, bad] }, invocation());
  assert.deepEqual(batchItemFailures, [{ itemIdentifier: bad.messageId }]);

  // A request to the same app that did not come through the queue ends as before.
  await app.processEvent({ body: mention('bad'), ack: async () => {} });
});

test('a listener of an unsupported Bolt is not run unwatched', () => {
  assert.throws(() => sqsHandler({ processEvent: async () => {} }), /this version of @slack\/bolt is not supported/);
});
