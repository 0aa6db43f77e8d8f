// What becomes of what a listener gives to ack().
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
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

for (const nothing of [undefined, '', {}]) {
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
  ['block_suggestion', (app, listener) => app.options('stadt', listener), { options: [] }, 'options'],
  ['block_suggestion', (app, listener) => app.options('stadt', listener), { option_groups: [] }, 'option_groups'],
  ['view_submission', (app, listener) => app.view('order', listener), { response_action: 'clear' }, 'response_action'],
  ['view_submission', (app, listener) => app.view('order', listener), { response_action: 'errors', errors: { grund: 'no' } }, 'response_action'],
  ['dialog_submission', (app, listener) => app.action({ type: 'dialog_submission' }, listener), { errors: [] }, 'errors'],
];
for (const [name, register, response, key] of TOO_LATE) {
  test(`ack(${JSON.stringify(response)}) of a ${name} is too late, and a warning names the fast path`, async () => {
    const message = record(fixture(name, slack.url).body, { eventId: 'the-id' });
    const { left, ended, outcomes, about } = await acknowledged(message, register, response);
    assert.equal(about.length, 1);
    assert.equal(about[0].event_id, 'the-id');
    assert.match(about[0].message, new RegExp(`"${key}".*fast path.*FAST_PATH`));
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
  assert.match(about[0].error, /status 404/);
  assert.ok(!JSON.stringify(lines).includes('/commands/1'));
  assert.equal(slack.count('response_url'), 1);
});

test('a server error is not tried again, because the text may have been shown', async () => {
  slack.status = 500;
  const { about } = await acknowledged(record(command(slack.url)), onCommand, 'on it');
  assert.equal(slack.count('response_url'), 1);
  assert.match(about[0].error, /status 500/);
});

test('an answer that never comes holds the listener for three seconds and no longer', async () => {
  const silent = createServer(() => {});
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${silent.address().port}`;
  const started = Date.now();
  const { ended, about } = await acknowledged(record(command(url)), onCommand, 'on it', { receiver: { responseUrlOrigins: [url] } });
  silent.closeAllConnections();
  silent.close();
  assert.ok(ended && Date.now() - started >= 2_900);
  assert.match(about[0].error, /TimeoutError/);
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
    assert.match(about[0].error, /no response_url|not at Slack/);
    assert.deepEqual(outcomes(), ['done']);
  });
}

test('the stand-in\'s own address is refused unless it is allowed', async () => {
  const { about } = await acknowledged(record(command(slack.url)), onCommand, 'on it', { receiver: { responseUrlOrigins: undefined } });
  assert.deepEqual(slack.calls, []);
  assert.match(about[0].error, /not at Slack/);
});

test('a second ack throws, as with Bolt\'s own receivers, and sends nothing more', async () => {
  const { app, run, lines } = behindTheQueue(slack);
  app.command('/deploy', async ({ ack }) => { await ack('one'); await ack('two'); });
  const message = record(command(slack.url));
  assert.deepEqual(await run(message), [message.messageId]);
  assert.deepEqual(shown(), [{ text: 'one' }]);
  assert.match(lines.at(-1).error, /called multiple times/);
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
