// The same listeners behind Bolt's own receivers (a signed HTTP request) and behind ours (the message that the ingress puts on
// the queue for that request). Called listeners, what they got, and what Slack then saw have to be the same.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { bolt } from './support/consumer.mjs';
import { behindTheQueue, quiet } from './support/harness.mjs';
import { EVENTS, fixture, FORMS, OLD, record } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';

const SECRET = '8f742231b10e8888abcd99yyyzzz85a5';

// The ingress answers these itself, so they are never on a queue.
const ANSWERED_AT_ONCE = ['url_verification', 'ssl_check', 'ssl_check_of_a_command'];

let slack;
before(async () => { slack = await startSlack(); });
after(() => slack.stop());

/** Listeners for every kind of payload, some for several of them, as apps have them. Each tells what it was called with. */
function listeners(app, called) {
  const tell = (name, { payload, context, ack, say, respond, inputs }) => {
    called.push({
      name, payload, utilities: { ack: !!ack, say: !!say, respond: !!respond, inputs },
      context: { ...context, botToken: context.botToken, updateConversation: undefined },
    });
  };
  app.use(async ({ context, next }) => {
    context.fromMiddleware = 'here';
    await next();
  });
  app.event('app_mention', async (args) => {
    tell('app_mention', args);
    await args.say({ text: `hello <@${args.event.user}>`, thread_ts: args.event.ts });
  });
  app.event(/.*/, async (args) => tell('every event', args));
  app.event('app_home_opened', async (args) => {
    tell('app_home_opened', args);
    await args.client.views.publish({ user_id: args.event.user, view: { type: 'home', blocks: [] } });
  });
  app.message(async (args) => tell('every message', args));
  app.message(/never said/, async (args) => tell('another message', args));
  app.event('app_uninstalled', async (args) => tell('app_uninstalled', args));
  app.function('summarize', async (args) => {
    tell('function', args);
    await args.complete({ outputs: {} });
  });
  app.command('/weather', async (args) => {
    tell('/weather', args);
    await args.ack(`looking up ${args.command.text}`);
    await args.respond('sunny');
  });
  app.command(/deploy/, async (args) => {
    tell('/deploy', args);
    await args.ack({ response_type: 'in_channel', text: 'deploying' });
    await args.say('deployed');
  });
  app.action('approve', async (args) => {
    tell('approve', args);
    await args.ack();
    if (args.say) await args.say('approved');
    if (args.respond) await args.respond({ replace_original: true, text: 'approved' });
  });
  app.action({ type: 'block_actions', action_id: 'finish' }, async (args) => {
    tell('finish', args);
    await args.ack();
    await args.complete({ outputs: { user: args.inputs.user_id } });
  });
  app.action({ callback_id: 'comic_1234_xyz' }, async (args) => {
    tell('old button', args);
    await args.ack({ text: 'recommended', replace_original: false });
  });
  app.action({ type: 'dialog_submission' }, async (args) => {
    tell('dialog', args);
    await args.ack();
    await args.respond('thanks');
  });
  app.action({ type: 'dialog_cancellation' }, async (args) => {
    tell('cancellation', args);
    await args.ack();
  });
  app.action({ type: 'workflow_step_edit', callback_id: 'copy_review' }, async (args) => {
    tell('workflow step', args);
    await args.ack();
  });
  app.shortcut('neue_bestellung', async (args) => {
    tell('global shortcut', args);
    await args.ack();
    await args.client.views.open({ trigger_id: args.shortcut.trigger_id, view: { type: 'modal', title: { type: 'plain_text', text: 'x' }, blocks: [] } });
  });
  app.shortcut({ type: 'message_action' }, async (args) => {
    tell('message shortcut', args);
    await args.ack();
    await args.say('noted');
  });
  app.view('order', async (args) => {
    tell('submission', args);
    await args.ack();
    await args.client.chat.postMessage({ channel: args.body.user.id, text: 'ordered' });
    if (args.respond) await args.respond('ordered');
  });
  app.view({ callback_id: 'order', type: 'view_closed' }, async (args) => {
    tell('closed', args);
    await args.ack();
  });
  app.options('stadt', async (args) => {
    tell('options', args);
    await args.ack({ options: [{ text: { type: 'plain_text', text: 'Zürich' }, value: 'zh' }] });
  });
}

async function authorize({ isEnterpriseInstall, teamId, enterpriseId }) {
  return { botToken: isEnterpriseInstall ? 'xoxb-org' : 'xoxb-one', botId: 'B0LAN0Z90', botUserId: 'U0LAN0Z89', teamId, enterpriseId };
}

/** By Bolt's AwsLambdaReceiver. */
async function byLambda({ raw, contentType }) {
  const called = [];
  const receiver = new bolt.AwsLambdaReceiver({ signingSecret: SECRET, logger: quiet });
  listeners(new bolt.App({ authorize, receiver, clientOptions: slack.clientOptions, logger: quiet }), called);
  const { headers } = signed(raw, contentType);
  const answer = await receiver.toHandler()({ body: raw, headers, isBase64Encoded: false, path: '/slack/events' }, {});
  return { called, status: answer.statusCode, answer: answer.body };
}

/** By Bolt's HTTPReceiver, over a socket, answering when the listeners have ended. */
async function byHttp({ raw, contentType }) {
  const called = [];
  const app = new bolt.App({
    authorize, signingSecret: SECRET, processBeforeResponse: true, clientOptions: slack.clientOptions, logger: quiet,
  });
  listeners(app, called);
  const server = await app.start({ port: 0, host: '127.0.0.1' });
  try {
    // Bolt answers 404 to what nobody acknowledges, but only after three seconds.
    const response = await fetch(`http://127.0.0.1:${server.address().port}/slack/events`, { method: 'POST', body: raw, ...signed(raw, contentType) });
    return { called, status: response.status, answer: await response.text() };
  } finally {
    server.closeAllConnections();
    await app.stop();
  }
}

function signed(raw, contentType) {
  const time = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', SECRET).update(`v0:${time}:${raw}`).digest('hex');
  return { headers: { 'Content-Type': contentType, 'X-Slack-Request-Timestamp': time, 'X-Slack-Signature': `v0=${signature}` } };
}

/** By the queue. What only our listeners are told is taken out of their context. */
async function byQueue({ body }) {
  const called = [];
  const { app, run, lines } = behindTheQueue(slack, { app: { authorize } });
  listeners(app, called);
  const left = await run(record(body, { eventId: 'the-id' }));
  for (const { context } of called) {
    assert.equal(context.slackIngressEventId, 'the-id');
    delete context.slackIngressEventId;
  }
  return { called, left, outcome: lines.at(-1).outcome, warnings: lines.filter((line) => line.level === 'WARN' && !/guard/.test(line.message)) };
}

/** The calls that Slack saw meanwhile. Listeners of one message run at the same time, so the order may differ. */
async function seen(work) {
  slack.calls.length = 0;
  const result = await work();
  return { ...result, calls: slack.calls.map((call) => JSON.stringify(call)).sort() };
}

const byName = (called) => [...called].sort((a, b) => (a.name < b.name ? -1 : 1)).map((call) => JSON.parse(JSON.stringify(call)));

for (const name of [...EVENTS, ...FORMS, ...OLD].filter((each) => !ANSWERED_AT_ONCE.includes(each))) {
  test(`${name} reaches the listeners that Bolt itself would have called`, async () => {
    const delivery = fixture(name, slack.url);
    const theirs = await seen(() => byLambda(delivery));
    const ours = await seen(() => byQueue(delivery));
    assert.deepEqual(byName(ours.called), byName(theirs.called));
    assert.deepEqual(ours.left, []);

    // What their answer would have shown in Slack is, with ours, one more call to the response URL.
    const shows = /^slash_command|^interactive_message/.test(name);
    const shown = shows ? [JSON.stringify({
      to: 'response_url', path: new URL(JSON.parse(delivery.body).response_url).pathname,
      body: theirs.answer.startsWith('{') ? JSON.parse(theirs.answer) : { text: theirs.answer },
    })] : [];
    assert.deepEqual(ours.calls, [...theirs.calls, ...shown].sort());
    assert.equal(ours.warnings.length, name === 'block_suggestion' ? 1 : 0);

    // 404 is Bolt's own word for "nobody listens", but for an event, which it acknowledges itself.
    assert.equal(ours.outcome, theirs.status === 404 ? 'nobody_listens' : 'done');
    if (theirs.called.length > 0) assert.equal(theirs.status, 200);
  });
}

for (const name of ['app_mention', 'function_executed', 'slash_command', 'view_submission', 'message_action']) {
  test(`${name} is the same over HTTP`, async () => {
    const delivery = fixture(name, slack.url);
    const theirs = await seen(() => byHttp(delivery));
    const ours = await seen(() => byQueue(delivery));
    assert.ok(theirs.called.length > 0);
    assert.deepEqual(byName(ours.called), byName(theirs.called));
    assert.deepEqual(ours.calls.filter((call) => !call.includes('looking up')), theirs.calls);
  });
}

// The comparison would be content with an app that hears nothing.
test('the payloads reach every listener of the app, but for what this version of Bolt knows no more', async () => {
  const names = new Set();
  for (const name of [...EVENTS, ...FORMS, ...OLD].filter((each) => !ANSWERED_AT_ONCE.includes(each))) {
    for (const each of (await byQueue(fixture(name, slack.url))).called) names.add(each.name);
  }
  assert.deepEqual([...names].sort(), [
    'app_mention', 'every event', 'app_home_opened', 'every message', 'app_uninstalled', 'function', '/weather', '/deploy', 'approve', 'finish',
    'old button', 'dialog', 'global shortcut', 'message shortcut', 'submission', 'closed', 'options',
    // Bolt 5 has dropped the steps of the old workflows. No version has dialogs that were cancelled.
    ...(process.env.BOLT === '4' ? ['workflow step'] : []),
  ].sort());
});

test('a modal that asks for a channel can be answered there, by its response URL', async () => {
  const { called, calls } = await seen(() => byQueue(fixture('view_submission_with_response_url', slack.url)));
  assert.deepEqual(called.map(({ name, utilities }) => [name, utilities.respond]), [['submission', true]]);
  assert.ok(calls.some((call) => call.includes('"/app/T061EG9R6/1/abc"')), calls.join());
});
