// A batch: what stays on the queue, in which order messages run, what is logged.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { bolt, SqsReceiver } from './support/consumer.mjs';
import { behindTheQueue, invocation, quiet } from './support/harness.mjs';
import { command, mention, record } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';

let slack;
before(async () => { slack = await startSlack(); });
after(() => slack.stop());

/** An app that writes down which mentions it runs, takes longer for the first ones, and fails for those named "bad". */
function writing(options) {
  const behind = behindTheQueue(slack, options);
  const ran = [];
  let ms = 60;
  behind.app.error(async () => {});
  behind.app.event('app_mention', async ({ event }) => {
    ms = Math.max(0, ms - 20);
    await sleep(ms);
    ran.push(event.text);
    if (event.text.startsWith('bad')) throw new Error(event.text);
  });
  return { ...behind, ran };
}

test('a FIFO group runs in its order, and nothing of it after a failure; other groups go on', async () => {
  const { run, ran, lines } = writing();
  const a = ['a1', 'bad a2', 'a3', 'a4'].map((text) => record(mention(text), { group: 'a' }));
  const b = ['b1', 'b2'].map((text) => record(mention(text), { group: 'b' }));
  const left = await run(a[0], b[0], a[1], a[2], b[1], a[3]);
  assert.deepEqual(left.sort(), a.slice(1).map((each) => each.messageId).sort());
  assert.deepEqual(ran.filter((text) => text.includes('a')), ['a1', 'bad a2']);
  assert.deepEqual(ran.filter((text) => text.includes('b') && !text.includes('a')), ['b1', 'b2']);
  const held = lines.filter((line) => line.outcome === 'held_back');
  assert.equal(held.length, 2);
  assert.deepEqual([held[0].kind, held[0].type, held[0].event_id], ['event', 'app_mention', a[2].messageAttributes.event_id.stringValue]);
});

test('on a standard queue a failure holds nothing back, although messages have a group there too', async () => {
  const { run, ran } = writing();
  const messages = ['bad 1', '2', '3'].map((text) => record(mention(text), { group: 'T1', fifo: false }));
  assert.deepEqual(await run(...messages), [messages[0].messageId]);
  assert.deepEqual([...ran].sort(), ['2', '3', 'bad 1']);
});

test('no more messages at once than it is told', async () => {
  let now = 0;
  let most = 0;
  const { app, run } = behindTheQueue(slack, { receiver: { concurrency: 3 } });
  app.event('app_mention', async () => { most = Math.max(most, now += 1); await sleep(20); now -= 1; });
  await run(...Array.from({ length: 9 }, () => record(mention('x'), { fifo: false })));
  assert.equal(most, 3);
});

const MALFORMED = [
  ['no JSON', record('no JSON')], ['null', record('null')], ['a number', record('7')], ['a list', record('[]')], ['nothing', record('')],
  ['an unknown kind', record(mention('x'), { attributes: { kind: 'telegram' } })],
  ['no kind', record(mention('x'), { attributes: { kind: undefined } })],
  ['no attributes at all', { messageId: 'm', body: '{}', attributes: undefined, messageAttributes: undefined, eventSourceARN: undefined }],
];
for (const [what, message] of MALFORMED) {
  test(`malformed: ${what}. It stays, and the others run`, async () => {
    const { run, ran, lines } = writing();
    const good = record(mention('good'), { group: 'other' });
    assert.deepEqual(await run(message, good), [message.messageId]);
    assert.deepEqual(ran, ['good']);
    const line = lines.find((each) => each.outcome === 'malformed');
    assert.equal(line.level, 'ERROR');
    assert.match(line.error, /^MalformedMessage: /);
  });
}

test('what a malformed message says is not in the log', async () => {
  const { run, lines } = writing();
  await run(record('{"text": "secret words'));
  assert.ok(!JSON.stringify(lines).includes('secret words'));
});

test('JSON of the right form that Bolt cannot read: failed, and the others run', async () => {
  const { run, ran, outcomes } = writing();
  const odd = record({ event: null }, { attributes: { kind: 'event' }, group: 'odd' });
  assert.deepEqual(await run(odd, record(mention('good'))), [odd.messageId]);
  assert.deepEqual(ran, ['good']);
  assert.deepEqual(outcomes().sort(), ['done', 'failed']);
});

test('Slack\'s retry and custom properties are in the context, as with Bolt\'s own receivers', async () => {
  const { app, run } = behindTheQueue(slack, {
    receiver: { customPropertiesExtractor: (message) => ({ sqsMessage: message.messageId }) },
  });
  const contexts = [];
  app.event('app_mention', async ({ context }) => { contexts.push(context); });
  const retried = record(mention('x'), { retry: 2 });
  await run(retried, record(mention('y')));
  assert.deepEqual([contexts[0].retryNum, contexts[0].retryReason, contexts[0].sqsMessage], [2, 'http_timeout', retried.messageId]);
  assert.deepEqual([contexts[1].retryNum, contexts[1].retryReason], [undefined, undefined]);
});

test('a listener is told the id under which the ingress recorded the message', async () => {
  const { app, run } = behindTheQueue(slack, {
    receiver: { customPropertiesExtractor: () => ({ slackIngressEventId: 'of the app\'s own', mine: true }) },
  });
  const told = [];
  app.event('app_mention', async ({ context }) => { told.push([context.slackIngressEventId, context.mine]); });
  assert.deepEqual(await run(record(mention('x'), { eventId: 'the-id' })), []);
  assert.deepEqual(told, [['the-id', true]]);
});

test('a message without such an id has none in the context', async () => {
  const { app, run } = behindTheQueue(slack);
  const told = [];
  app.event('app_mention', async ({ context }) => { told.push('slackIngressEventId' in context); });
  const message = record(mention('x'));
  delete message.messageAttributes.event_id;
  await run(message);
  assert.deepEqual(told, [false]);
});

test('a line of the log for each message, which is its metric too', async () => {
  const { app, run, lines } = behindTheQueue(slack, { receiver: { metrics: true } });
  app.command('/deploy', async ({ ack }) => { await ack(); });
  await run(record(command(slack.url), { eventId: 'the-id' }));
  const { _aws, duration_ms, ...line } = lines.at(-1);
  assert.ok(Number.isInteger(duration_ms));
  assert.deepEqual(line, {
    level: 'INFO', event_id: 'the-id', kind: 'command', type: '/deploy', outcome: 'done', receive_count: 1,
    FunctionName: 'slack-ingress-bolt', Done: 1, Duration: duration_ms,
  });
  assert.ok(Math.abs(_aws.Timestamp - Date.now()) < 10_000);
  assert.deepEqual(_aws.CloudWatchMetrics, [
    { Namespace: 'SlackIngressBolt', Dimensions: [['FunctionName']], Metrics: [{ Name: 'Done', Unit: 'Count' }, { Name: 'Duration', Unit: 'Milliseconds' }] },
  ]);
});

test('an ack that is lost is a metric as well', async () => {
  const { app, run, lines } = behindTheQueue(slack, { receiver: { metrics: true } });
  app.command('/deploy', async ({ ack }) => { await ack({ response_type: 'in_channel' }); });
  await run(record(command(slack.url)));
  const line = lines.at(-1);
  assert.deepEqual([line.ack, line.AckLost, line.Done], ['too_late', 1, 1]);
  assert.deepEqual(line._aws.CloudWatchMetrics[0].Metrics.map(({ Name }) => Name), ['Done', 'AckLost', 'Duration']);
});

test('what an exception says is not in the log, because it may quote a message; its codes are', async () => {
  const { app, run, lines } = behindTheQueue(slack);
  app.error(async () => {});
  app.event('app_mention', async ({ event }) => { throw Object.assign(new RangeError(event.text), { code: 'E_TOO_MUCH' }); });
  await run(record(mention('secret words')));
  assert.equal(lines.at(-1).error, 'RangeError E_TOO_MUCH');
  assert.ok(!JSON.stringify(lines).includes('secret words'));
});

test('with less than two seconds left nothing more is begun', async () => {
  const { handle, ran, outcomes } = writing();
  const { batchItemFailures } = await handle({ Records: [record(mention('x'))] }, invocation(1_900));
  assert.deepEqual([batchItemFailures.length, ran, outcomes()], [1, [], ['held_back']]);
});

test('an empty batch is an empty answer', async () => {
  assert.deepEqual(await behindTheQueue(slack).run(), []);
});

test('without Lambda\'s context it works as well', async () => {
  const { handle } = writing();
  assert.deepEqual(await handle({ Records: [record(mention('x'))] }), { batchItemFailures: [] });
});

test('an event that is none of SQS is an error, and so is a receiver without an app', async () => {
  const { handle } = behindTheQueue(slack);
  await assert.rejects(handle({ body: '{}', headers: {} }, invocation()), /no event of an SQS queue/);
  const sns = { ...record(mention('x')), eventSource: 'aws:sns' };
  await assert.rejects(handle({ Records: [sns] }, invocation()), /no event of an SQS queue, but of aws:sns/);
  assert.deepEqual(await handle({ Records: [{ ...record(mention('x')), eventSource: 'aws:sqs' }] }), { batchItemFailures: [] });
  await assert.rejects(new SqsReceiver({ writeLog() {} }).toHandler()({ Records: [] }), /has no app/);
});

test('the handler has two parameters, because Lambda refuses more', () => {
  assert.equal(behindTheQueue(slack).handle.length, 2);
});

test('start() without a queue gives the handler, as Bolt\'s AwsLambdaReceiver does', async () => {
  const { app, receiver } = behindTheQueue(slack);
  const handle = await app.start();
  assert.deepEqual(await handle({ Records: [record(mention('x'))] }, invocation()), { batchItemFailures: [] });
  await app.stop();
  await receiver.stop();
});

test('an app whose initialization is deferred', async () => {
  const lines = [];
  const receiver = new SqsReceiver({ metrics: false, writeLog: (line) => lines.push(JSON.parse(line)) });
  const app = new bolt.App({ token: 'xoxb-one', clientOptions: slack.clientOptions, logger: quiet, receiver, deferInitialization: true });
  app.event('app_mention', async ({ say }) => { await say('x'); });
  await app.init();
  assert.deepEqual(await receiver.toHandler()({ Records: [record(mention('x'))] }), { batchItemFailures: [] });
  assert.equal(lines.at(-1).outcome, 'done');
});
