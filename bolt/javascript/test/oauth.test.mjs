// Apps in several workspaces and organisations: Bolt finds the installation of each message, by the receiver's installer.
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { bolt, SqsReceiver } from './support/consumer.mjs';
import { behindTheQueue, quiet } from './support/harness.mjs';
import { fixture, mention, record } from './support/messages.mjs';
import { startSlack, WORKSPACES } from './support/slack.mjs';

let slack;
before(async () => { slack = await startSlack(); });
beforeEach(() => { slack.calls.length = 0; });
after(() => slack.stop());

const OAUTH = { clientId: '1.2', clientSecret: 'secret', stateSecret: 'state', scopes: ['chat:write'] };

function installation(token) {
  const { team_id, enterprise_id, user_id, bot_id } = WORKSPACES[token];
  return {
    team: team_id && { id: team_id }, enterprise: enterprise_id && { id: enterprise_id }, isEnterpriseInstall: !!enterprise_id,
    user: { token: undefined, scopes: undefined, id: 'U061F7AUR' }, tokenType: 'bot', appId: 'A0F7YS25R',
    bot: { token, scopes: ['chat:write'], id: bot_id, userId: user_id },
  };
}

async function installed(installationStore) {
  for (const token of ['xoxb-one', 'xoxb-two', 'xoxb-org']) await installationStore.storeInstallation(installation(token), quiet);
  return installationStore;
}

async function app(installationStore) {
  const behind = behindTheQueue(slack, {
    receiver: { ...OAUTH, installationStore: await installed(installationStore), installerOptions: { clientOptions: slack.clientOptions }, logger: quiet },
  });
  behind.app.event('app_mention', async ({ say, context }) => { await say(`${context.botUserId}`); });
  behind.app.view('order', async ({ ack, client, body }) => { await ack(); await client.chat.postMessage({ channel: body.user.id, text: 'x' }); });
  behind.app.command('/deploy', async ({ ack, say }) => { await ack(); await say('x'); });
  return behind;
}

const of = (team_id, enterprise_id = null, is_enterprise_install = false) => {
  const body = mention('x');
  return { ...body, team_id, authorizations: [{ ...body.authorizations[0], team_id, enterprise_id, is_enterprise_install }] };
};

const STORES = {
  MemoryInstallationStore: () => new bolt.MemoryInstallationStore(),
  FileInstallationStore: () => new bolt.FileInstallationStore({ baseDir: mkdtempSync(join(tmpdir(), 'installations-')) }),
};
for (const [name, store] of Object.entries(STORES)) {
  test(`each workspace and organisation gets its own token, by ${name}`, async () => {
    const { run, outcomes } = await app(store());
    const messages = [of('T061EG9R6'), of('T0SECOND00'), of('T0ANY00000', 'E0ORG12345', true)].map((body, n) => record(body, { group: `g${n}` }));
    assert.deepEqual(await run(...messages), []);
    assert.deepEqual(slack.calls.map((call) => call.token).sort(), ['xoxb-one', 'xoxb-org', 'xoxb-two']);
    assert.deepEqual(slack.calls.map((call) => call.args.text).sort(), ['U0LAN0Z89', 'U0ORGBOT00', 'U0SECOND00']);
    assert.deepEqual(outcomes(), ['done', 'done', 'done']);
  });
}

test('org-wide: a command and a modal\'s submission, which name the workspace differently', async () => {
  const { run } = await app(new bolt.MemoryInstallationStore());
  const names = ['slash_command_enterprise', 'view_submission_enterprise'];
  assert.deepEqual(await run(...names.map((name, n) => record(fixture(name, slack.url).body, { group: `g${n}` }))), []);
  assert.deepEqual(slack.calls.map((call) => call.token), ['xoxb-org', 'xoxb-org']);
});

test('a workspace without an installation: failed, so that nothing is lost while a store is down; the others go on', async () => {
  const { run, lines } = await app(new bolt.MemoryInstallationStore());
  const stranger = record(of('T0STRANGER'), { group: 'a' });
  assert.deepEqual(await run(stranger, record(of('T061EG9R6'), { group: 'b' })), [stranger.messageId]);
  assert.match(lines.find((line) => line.outcome === 'failed').error, /slack_bolt_authorization_error/);
});

test('app_uninstalled needs no installation, as in Bolt', async () => {
  const { app: slackApp, run, outcomes } = await app(new bolt.MemoryInstallationStore());
  slackApp.event('app_uninstalled', async () => {});
  await run(record(fixture('app_uninstalled', slack.url).body));
  assert.deepEqual(outcomes(), ['done']);
});

test('an installer is made as Bolt makes its own, or not at all', () => {
  assert.equal(new SqsReceiver({ writeLog() {} }).installer, undefined);
  const { installer } = new SqsReceiver({ ...OAUTH, writeLog() {} });
  const theirs = new bolt.HTTPReceiver({ ...OAUTH, signingSecret: 's' }).installer;
  assert.equal(installer.constructor, theirs.constructor);
  assert.throws(() => new SqsReceiver({ clientId: '1.2', clientSecret: 's', writeLog() {} }), /OAuth needs clientId, clientSecret and stateSecret/);
});

test('Bolt refuses a token beside OAuth with ours as with its own', () => {
  const receiver = new SqsReceiver({ ...OAUTH, writeLog() {} });
  assert.throws(() => new bolt.App({ token: 'xoxb-one', receiver, clientOptions: slack.clientOptions, logger: quiet }), /cannot provide a token along with/);
});

test('an authorize function of one\'s own', async () => {
  const asked = [];
  const authorize = async (source) => { asked.push(source); return { botToken: 'xoxb-two', botId: 'B', botUserId: 'U' }; };
  const behind = behindTheQueue(slack, { app: { authorize } });
  behind.app.event('app_mention', async ({ say }) => { await say('x'); });
  await behind.run(record(of('T0ANY00000', 'E0ORG12345', true)));
  assert.deepEqual([asked[0].teamId, asked[0].enterpriseId, asked[0].isEnterpriseInstall], ['T0ANY00000', 'E0ORG12345', true]);
  assert.equal(slack.calls[0].token, 'xoxb-two');
});
