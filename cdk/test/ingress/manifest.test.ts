// The manifest of the Slack app.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { deploymentIn, slackAppManifest } from '../../lib/ingress/manifest';
import { REPOSITORY, temporaryDirectory } from '../support';

const requestUrl = 'https://abc123.execute-api.us-east-1.amazonaws.com/slack/events';

test('the manifest subscribes the URL to mentions and direct messages', () => {
  const manifest = slackAppManifest({ requestUrl, name: 'Helper: "the" one' });
  assert.match(manifest, /^ {2}name: "Helper: \\"the\\" one"$/m);
  assert.match(manifest, /^ {2}event_subscriptions:\n {4}request_url: https:\/\/abc123\S+\/slack\/events\n {4}bot_events:\n {6}- app_mention\n {6}- message\.im\n {2}interactivity:\n {4}is_enabled: true\n {4}request_url: https:\/\/abc123\S+\/slack\/interactions\n {2}org_deploy_enabled: false$/m);
});

test('the scopes are those of the subscribed events and of posting, and no others', () => {
  const scopes = slackAppManifest({ requestUrl }).match(/scopes:\n {4}bot:\n((?: {6}- .*\n)+)/)?.[1];
  assert.deepEqual(scopes?.match(/[a-z_]+:[a-z]+/g), ['app_mentions:read', 'chat:write', 'im:history']);
});

test('a slash command gets its URL and its scope', () => {
  const manifest = slackAppManifest({ requestUrl, command: '/agent' });
  assert.match(manifest, /^ {2}slash_commands:\n {4}- command: \/agent\n {6}url: https:\/\/abc123\S+\/slack\/commands\n/m);
  assert.match(manifest, /^ {6}- chat:write\n {6}- commands\n {6}- im:history$/m);
  assert.throws(() => slackAppManifest({ requestUrl, command: 'agent' }), /not a slash command/);
});

test('without a URL the manifest subscribes to no events', () => {
  const manifest = slackAppManifest({});
  assert.doesNotMatch(manifest, /request_url|bot_events/);
  assert.match(manifest, /settings:\n {2}org_deploy_enabled/);
});

test('a URL that is not a request URL is refused', () => {
  for (const url of ['', 'outputs', 'https://example.com/', 'https://example.com/slack/events\nx: y']) {
    assert.throws(() => slackAppManifest({ requestUrl: url }), /not a request URL/);
  }
});

test('the request URL is found in the outputs of a deployment, and whether an agent answers', () => {
  const ingress = { SlackIngress: { RequestUrl: requestUrl } };
  const found = (more: object) => deploymentIn(JSON.stringify({ Other: { X: 'y' }, ...ingress, ...more }));
  const no = { suggestsPrompts: false, rotatesTokens: false, readsFiles: false, asksUserGroups: false };
  assert.deepEqual(found({}), { requestUrl, answers: undefined, ...no });
  const agent = (AgentView: string, SuggestsPrompts: string, ReadsFiles = 'false') =>
    found({ SlackIngressAgent: { AgentView, SuggestsPrompts, ReadsFiles } });
  assert.deepEqual(agent('true', 'false'), { requestUrl, answers: 'agent', ...no });
  assert.deepEqual(agent('true', 'true'), { requestUrl, answers: 'agent', ...no, suggestsPrompts: true });
  assert.deepEqual(agent('true', 'false', 'true'), { requestUrl, answers: 'agent', ...no, readsFiles: true });
  assert.deepEqual(agent('false', 'false'), { requestUrl, answers: 'app', ...no });
  assert.equal(found({ SlackIngressAgent: { AgentView: 'true', RotatesTokens: 'true' } }).rotatesTokens, true);
  assert.equal(found({ SlackIngressAgent: { AgentView: 'true', AsksUserGroups: 'true' } }).asksUserGroups, true);
  assert.throws(() => deploymentIn('{"A":{}}'), /0 request URLs/);
});

test('an app whose tokens expire says so, and has the redirect URL of slack-dev install', () => {
  const manifest = slackAppManifest({ requestUrl, rotatesTokens: true });
  assert.match(manifest, /^ {2}token_rotation_enabled: true$/m);
  const [, url] = manifest.match(/^oauth_config:\n {2}redirect_urls:\n {4}- (\S+)\n {2}scopes:$/m)!;
  const tool = readFileSync(join(REPOSITORY, 'slack-dev/src/install/mod.rs'), 'utf8');
  assert.ok(tool.includes(`const REDIRECT_URL: &str = "${url}";`));
  assert.match(slackAppManifest({ requestUrl }), /^oauth_config:\n {2}scopes:$[^]*^ {2}token_rotation_enabled: false$/m);
});

const listed = (manifest: string, name: string) =>
  manifest.match(new RegExp(`${name}:\\n((?: {6}- .*\\n)+)`))?.[1]!.match(/[a-z][a-z_.:]+/g);
const READING = ['channels:history', 'groups:history', 'im:history', 'mpim:history'];
const TOOLS = ['canvases:read', 'canvases:write', 'reactions:write', 'users:read'];

test('an app that is an agent says so, hears of a stop, and may read to find its own answers', () => {
  const manifest = slackAppManifest({ requestUrl, answers: 'agent' });
  const description = manifest.match(/^features:\n(?: {2}.*\n)* {2}agent_view:\n {4}agent_description: "(.+)"\n/m)?.[1];
  assert.ok(description && Buffer.byteLength(description) <= 300, description);
  assert.deepEqual(listed(manifest, 'bot'), ['app_mentions:read', 'assistant:write', 'chat:write', ...READING, ...TOOLS].sort());
  assert.deepEqual(listed(manifest, 'bot_events'), ['agent_session_stopped', 'app_mention', 'message.im']);
});

test('an agent that suggests prompts hears when its pane is opened, and nobody else does', () => {
  const events = (props: object) => listed(slackAppManifest({ requestUrl, ...props }), 'bot_events');
  const opened = ['agent_session_stopped', 'app_home_opened', 'app_mention', 'message.im'];
  assert.deepEqual(events({ answers: 'agent', suggestsPrompts: true }), opened);
  for (const answers of ['app', undefined]) assert.ok(!events({ answers, suggestsPrompts: true })!.includes('app_home_opened'));
  // A click under an answer needs the request URL of interactions, which every manifest with a URL has.
  assert.match(slackAppManifest({ requestUrl, answers: 'agent' }), /interactivity:\n {4}is_enabled: true/);
});

test('an app whose files are read has the scope for it, and nobody else has', () => {
  const scopes = (props: object) => listed(slackAppManifest({ requestUrl, ...props }), 'bot')!;
  for (const answers of ['agent', 'app']) {
    assert.deepEqual(scopes({ answers, readsFiles: true }), [...scopes({ answers }), 'files:read'].sort());
    assert.ok(!scopes({ answers }).includes('files:read'));
  }
  // A consumer of one's own adds the scopes that it needs.
  assert.ok(!scopes({ readsFiles: true }).includes('files:read'));
});

test('an app in which members of a user group decide has the scope to find out who they are, and nobody else has', () => {
  const scopes = (props: object) => listed(slackAppManifest({ requestUrl, ...props }), 'bot')!;
  for (const answers of ['agent', 'app']) {
    assert.deepEqual(scopes({ answers, asksUserGroups: true }), [...scopes({ answers }), 'usergroups:read'].sort());
    assert.ok(!scopes({ answers }).includes('usergroups:read'));
  }
  assert.ok(!scopes({ asksUserGroups: true }).includes('usergroups:read'));
});

test('an app of the agent\'s stack that is no agent may read too, and has no stop', () => {
  const manifest = slackAppManifest({ requestUrl, answers: 'app', command: '/ask' });
  assert.doesNotMatch(manifest, /agent_view|assistant:write|agent_session/);
  assert.deepEqual(listed(manifest, 'bot'), ['app_mentions:read', 'chat:write', 'commands', ...READING, ...TOOLS].sort());
});

test('no manifest subscribes to all messages of a channel: an app with app_mention would get each mention twice', () => {
  for (const answers of ['agent', 'app', undefined] as const) {
    assert.doesNotMatch(slackAppManifest({ requestUrl, answers }), /message\.(channels|groups|mpim)/);
  }
});

test('every scope of every manifest is explained in docs/slack-app.md', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/slack-app.md'), 'utf8');
  const scopes = (['agent', 'app', undefined] as const).flatMap((answers) => listed(slackAppManifest({ answers, command: '/a', readsFiles: true, asksUserGroups: true }), 'bot')!);
  for (const scope of scopes) assert.match(guide, new RegExp(`^\\| \`${scope}\``, 'm'));
});

test('the command prints what a deployment needs, and refuses what it does not know', () => {
  const outputs = join(temporaryDirectory(), 'outputs.json');
  writeFileSync(outputs, JSON.stringify({ A: { RequestUrl: requestUrl }, B: { AgentView: 'true' } }));
  const print = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', 'bin/manifest.ts', ...args], { cwd: join(REPOSITORY, 'cdk'), encoding: 'utf8' });
  const name = 'My agent';
  assert.equal(print(outputs, name).stdout, slackAppManifest({ requestUrl, name, answers: 'agent' }));
  assert.equal(print('', name, '--answers=app').stdout, slackAppManifest({ name, answers: 'app' }));
  const withPrompts = slackAppManifest({ requestUrl, name, answers: 'agent', suggestsPrompts: true });
  assert.equal(print(requestUrl, name, '--answers=agent', '--prompts').stdout, withPrompts);
  const withFiles = slackAppManifest({ requestUrl, name, answers: 'app', readsFiles: true });
  assert.equal(print(requestUrl, name, '--answers=app', '--files').stdout, withFiles);
  const withGroups = slackAppManifest({ requestUrl, name, answers: 'agent', asksUserGroups: true });
  assert.equal(print(requestUrl, name, '--answers=agent', '--groups').stdout, withGroups);
  assert.equal(print('').stdout, slackAppManifest({}));
  assert.match(print('', '--answers=yes').stderr, /--answers must be agent or app/);
});
