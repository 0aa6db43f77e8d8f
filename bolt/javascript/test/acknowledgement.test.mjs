// What becomes of what a listener gives to ack().
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { createTable, item } from './support/aws.mjs';
import { behindTheQueue } from './support/harness.mjs';
import { command, fixture, mention, record } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';

let slack;
before(async () => { slack = await startSlack(); });
beforeEach(() => { slack.calls.length = 0; slack.status = 200; });
after(() => slack.stop());

const shown = () => slack.calls.filter((call) => call.to === 'response_url').map((call) => call.body);

/** Runs a message whose listener acknowledges with `response`; `register` adds that listener. */
async function acknowledged(message, register, response, options) {
  const behind = behindTheQueue(slack, options);
  let ended = false;
  register(behind.app, async ({ ack }) => { await ack(response); ended = true; });
  const left = await behind.run(message);
  return { ...behind, left, ended, about: behind.warnings().filter((line) => line.event_id) };
}

const onCommand = (app, listener) => app.command('/deploy', listener);

test('a command\'s text goes to its response_url, once', async () => {
  const { outcomes, about } = await acknowledged(record(command(slack.url)), onCommand, 'on it');
  assert.deepEqual(slack.calls, [{ to: 'response_url', path: '/commands/1', body: { text: 'on it' } }]);
  assert.deepEqual(outcomes(), ['done']);
  assert.deepEqual(about, []);
});

test('a command\'s message goes there as it is', async () => {
  const message = { response_type: 'in_channel', blocks: [{ type: 'divider' }] };
  await acknowledged(record(command(slack.url)), onCommand, message);
  assert.deepEqual(shown(), [message]);
});

test('it is shown before the rest of the listener runs', async () => {
  const { app, run } = behindTheQueue(slack);
  let before;
  app.command('/deploy', async ({ ack }) => { await ack('on it'); before = shown().length; });
  await run(record(command(slack.url)));
  assert.equal(before, 1);
});

test('an old-style button\'s message goes to its response_url', async () => {
  const old = record(fixture('interactive_message', slack.url).body);
  await acknowledged(old, (app, listener) => app.action({ callback_id: 'comic_1234_xyz' }, listener), { text: 'chosen', replace_original: false });
  assert.deepEqual(shown(), [{ text: 'chosen', replace_original: false }]);
});

test('an old-style button\'s message replaces the one that was clicked, if the listener does not say otherwise', async () => {
  const old = () => record(fixture('interactive_message', slack.url).body);
  const register = (app, listener) => app.action({ callback_id: 'comic_1234_xyz' }, listener);
  for (const response of ['chosen', { text: 'chosen' }, { text: 'chosen', response_type: 'ephemeral' }, { delete_original: true }]) {
    await acknowledged(old(), register, response);
  }
  assert.deepEqual(shown(), [
    { text: 'chosen', replace_original: true }, { text: 'chosen', replace_original: true },
    { text: 'chosen', response_type: 'ephemeral' }, { delete_original: true },
  ]);
});

for (const nothing of [undefined, '', {}, { response_type: 'ephemeral' }]) {
  test(`ack(${JSON.stringify(nothing) ?? ''}) of a command sends nothing`, async () => {
    const { outcomes } = await acknowledged(record(command(slack.url)), onCommand, nothing);
    assert.deepEqual(slack.calls, []);
    assert.deepEqual(outcomes(), ['done']);
  });
}

test('a text for a button of today is nothing, as it is for Slack', async () => {
  const click = record(fixture('block_actions_in_a_thread', slack.url).body);
  const { about } = await acknowledged(click, (app, listener) => app.action('approve', listener), 'thanks');
  assert.deepEqual(slack.calls, []);
  assert.deepEqual(about, []);
});

const TOO_LATE = [
  ['slash_command_enterprise', (app, listener) => app.command('/deploy', listener), { response_type: 'in_channel' }, 'response_type', '"answer"'],
  ['block_suggestion', (app, listener) => app.options('stadt', listener), { options: [] }, 'options', '"options", "source" or "function"'],
  ['block_suggestion', (app, listener) => app.options('stadt', listener), { option_groups: [] }, 'option_groups', '"source" or "function"'],
  ['view_submission', (app, listener) => app.view('order', listener), { response_action: 'clear' }, 'response_action', '"answer", "checks" or "function"'],
  [
    'view_submission', (app, listener) => app.view('order', listener), { response_action: 'errors', errors: { grund: 'no' } },
    'response_action', '"answer", "checks" or "function"',
  ],
  ['dialog_submission', (app, listener) => app.action({ type: 'dialog_submission' }, listener), { errors: [] }, 'errors', '"function"'],
];
for (const [name, register, response, key, fields] of TOO_LATE) {
  test(`ack(${JSON.stringify(response)}) of a ${name} is too late, and a warning names the fast path`, async () => {
    const message = record(fixture(name, slack.url).body, { eventId: 'the-id' });
    const { left, ended, outcomes, about, lines } = await acknowledged(message, register, response);
    assert.equal(about.length, 1);
    assert.equal(about[0].event_id, 'the-id');
    assert.match(about[0].message, new RegExp(`"${key}".*fast path \\(FAST_PATH, docs/fast-path\\.md\\) with ${fields}\\.$`));
    assert.equal(lines.at(-1).ack, 'too_late');
    assert.deepEqual(slack.calls, []);
    // The listener goes on, and its work counts.
    assert.deepEqual([left, ended, outcomes()], [[], true, ['done']]);
  });
}

test('a text that Slack does not take: a warning without the URL, and the listener goes on', async () => {
  slack.status = 404;
  const { ended, outcomes, about, lines } = await acknowledged(record(command(slack.url)), onCommand, 'on it');
  assert.deepEqual(outcomes(), ['done']);
  assert.ok(ended);
  assert.equal(about.length, 1);
  assert.deepEqual([about[0].ack, about[0].error], ['refused', 'status 404']);
  assert.equal(lines.at(-1).ack, 'refused');
  assert.ok(!JSON.stringify(lines).includes('/commands/1'));
  assert.equal(slack.count('response_url'), 1);
});

test('a server error is not tried again, because the text may have been shown', async () => {
  slack.status = 500;
  const { about } = await acknowledged(record(command(slack.url)), onCommand, 'on it');
  assert.equal(slack.count('response_url'), 1);
  assert.deepEqual([about[0].ack, about[0].error], ['unknown', 'status 500']);
});

test('a text that Slack certainly has not taken is tried again: it says that it is busy, or nobody is there', async () => {
  slack.status = 429;
  const { app, run, lines } = behindTheQueue(slack);
  app.command('/deploy', async ({ ack }) => {
    setTimeout(() => { slack.status = 200; }, 300);
    await ack('on it');
  });
  await run(record(command(slack.url)));
  assert.deepEqual([shown().length, lines.at(-1).ack], [2, 'sent']);

  const gone = createServer(() => {});
  await new Promise((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const nobody = `http://127.0.0.1:${gone.address().port}`;
  await new Promise((resolve) => gone.close(resolve));
  const started = Date.now();
  const { ended, about } = await acknowledged(record(command(nobody)), onCommand, 'on it', { receiver: { responseUrlOrigins: [nobody] } });
  assert.ok(ended && Date.now() - started >= 1_900);
  assert.deepEqual([about[0].ack, about[0].error], ['refused', 'TypeError ECONNREFUSED']);
});

test('a text is not shown again when its message comes again after a failure', async () => {
  const table = await createTable();
  const { app, run, lines } = behindTheQueue(slack, { receiver: { table } });
  let runs = 0;
  app.error(async () => {});
  app.command('/deploy', async ({ ack }) => {
    await ack('on it');
    runs += 1;
    if (runs < 3) throw new Error('x');
  });
  const message = record(command(slack.url));
  for (let delivery = 0; delivery < 3; delivery += 1) await run(message);
  assert.equal(runs, 3);
  assert.deepEqual(shown(), [{ text: 'on it' }]);
  assert.deepEqual(lines.map((line) => [line.outcome, line.ack]), [['failed', 'sent'], ['failed', undefined], ['done', undefined]]);
  assert.deepEqual(Object.keys(await item(table, message.messageAttributes.event_id.stringValue)).sort(), ['event_id', 'expires_at', 'owner', 'state']);
});

test('nor is one of which nobody knows whether it was shown', async () => {
  const table = await createTable();
  const { app, run, lines } = behindTheQueue(slack, { receiver: { table } });
  let runs = 0;
  app.error(async () => {});
  app.command('/deploy', async ({ ack }) => {
    await ack('on it');
    runs += 1;
    if (runs < 2) throw new Error('x');
  });
  slack.status = 500;
  const message = record(command(slack.url));
  await run(message);
  slack.status = 200;
  await run(message);
  assert.equal(shown().length, 1);
  const outcomes = lines.filter((line) => line.outcome).map((line) => [line.outcome, line.ack]);
  assert.deepEqual(outcomes, [['failed', 'unknown'], ['done', undefined]]);
});

test('a text for a request of more than 29 minutes ago is not sent, because its response_url is over', async () => {
  const ago = (minutes) => record(command(slack.url), { attributes: { received_at: String(Date.now() - minutes * 60_000) } });
  const late = await acknowledged(ago(29.1), onCommand, 'on it');
  assert.deepEqual([slack.calls, late.about[0].ack, late.outcomes()], [[], 'expired', ['done']]);
  await acknowledged(ago(28.9), onCommand, 'on it');
  assert.equal(shown().length, 1);
});

test('an answer that never comes holds the listener for five seconds and no longer', async () => {
  const silent = createServer(() => {});
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${silent.address().port}`;
  const started = Date.now();
  const { ended, about } = await acknowledged(record(command(url)), onCommand, 'on it', { receiver: { responseUrlOrigins: [url] } });
  silent.closeAllConnections();
  silent.close();
  assert.ok(ended && Date.now() - started >= 4_900);
  assert.deepEqual([about[0].ack, about[0].error], ['unknown', 'TimeoutError']);
});

test('a redirect is not followed', async () => {
  slack.status = 302;
  const { about } = await acknowledged(record(command(slack.url)), onCommand, 'on it');
  assert.equal(slack.calls.length, 1);
  assert.equal(about.length, 1);
});

const ELSEWHERE = ['https://hooks.slack.com.example.org/x', 'http://hooks.slack.com/x', 'https://hooks.slack.com:8443/x',
  'https://hooks.slack.com@127.0.0.1/x', 'ftp://hooks.slack.com/x', 'no url', '', undefined, 7];
for (const url of ELSEWHERE) {
  test(`nothing is sent to ${url}`, async () => {
    const { about, outcomes } = await acknowledged(record({ ...command(slack.url), response_url: url }), onCommand, 'on it',
      { receiver: { responseUrlOrigins: undefined } });
    assert.equal(about.length, 1);
    assert.equal(about[0].ack, 'foreign_host');
    assert.deepEqual(outcomes(), ['done']);
  });
}

test('the stand-in\'s own address is refused unless it is allowed', async () => {
  const { about } = await acknowledged(record(command(slack.url)), onCommand, 'on it', { receiver: { responseUrlOrigins: undefined } });
  assert.deepEqual(slack.calls, []);
  assert.equal(about[0].ack, 'foreign_host');
});

test('a second ack throws, as with Bolt\'s own receivers, and sends nothing more', async () => {
  const { app, run, lines } = behindTheQueue(slack);
  app.command('/deploy', async ({ ack }) => { await ack('one'); await ack('two'); });
  const message = record(command(slack.url));
  assert.deepEqual(await run(message), [message.messageId]);
  assert.deepEqual(shown(), [{ text: 'one' }]);
  assert.match(lines.at(-1).error, /slack_bolt_receiver_ack_multiple_error/);
});

test('the text of an ack that nobody awaits is sent before the message is done', async () => {
  const { app, run } = behindTheQueue(slack);
  app.command('/deploy', async ({ ack }) => { ack('on it'); });
  await run(record(command(slack.url)));
  assert.deepEqual(shown(), [{ text: 'on it' }]);
});

test('respond() is Bolt\'s own, and its failure is the listener\'s', async () => {
  slack.status = 500;
  const { app, run, outcomes } = behindTheQueue(slack);
  app.command('/deploy', async ({ respond }) => { await respond('x'); });
  await run(record(command(slack.url)));
  assert.deepEqual(outcomes(), ['failed']);
});

test('an event has no ack, and nothing is sent for it', async () => {
  const { app, run } = behindTheQueue(slack);
  let ack;
  app.event('app_mention', async (args) => { ack = args.ack; });
  await run(record(mention('x')));
  assert.equal(ack, undefined);
  assert.deepEqual(slack.calls, []);
});
