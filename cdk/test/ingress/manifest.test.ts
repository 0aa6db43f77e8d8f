// The manifest of the Slack app.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestUrlIn, slackAppManifest } from '../../lib/ingress/manifest.ts';

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

test('the request URL is found in the outputs of a deployment', () => {
  assert.equal(requestUrlIn(JSON.stringify({ Other: { X: 'y' }, SlackIngress: { RequestUrl: requestUrl } })), requestUrl);
  assert.throws(() => requestUrlIn('{"A":{}}'), /0 request URLs/);
});
