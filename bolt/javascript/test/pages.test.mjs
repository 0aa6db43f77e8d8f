// Bolt's pages for installing, by what an HTTP API sends to their function; what is installed there is found behind the queue.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { bolt, installPages, SlackIngressBoltError } from './support/consumer.mjs';
import { behindTheQueue, quiet } from './support/harness.mjs';
import { mention, record } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';

let slack;
before(async () => { slack = await startSlack(); });
beforeEach(() => { slack.calls.length = 0; });
after(() => slack.stop());

const oauth = (installationStore, installerOptions = {}) => ({
  clientId: '1.2', clientSecret: 'secret', stateSecret: 'state', scopes: ['chat:write'], installationStore, logger: quiet,
  installerOptions: { clientOptions: slack.clientOptions, ...installerOptions },
});

/** As an HTTP API sends it, with payload format 2.0. */
const get = (rawPath, rawQueryString = '', { cookies, method = 'GET' } = {}) => ({
  version: '2.0', routeKey: `${method} ${rawPath}`, rawPath, rawQueryString, isBase64Encoded: false,
  headers: { host: 'a1.execute-api.eu-central-1.amazonaws.com', accept: 'text/html', 'content-length': '0' },
  ...(cookies ? { cookies } : {}),
  requestContext: { http: { method, path: rawPath, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'a browser' }, stage: '$default' },
});

test('somebody installs the app: the page, its state in a cookie, the way back from Slack, and the token behind the queue', async () => {
  const store = new bolt.MemoryInstallationStore();
  const pages = installPages(oauth(store));
  const page = await pages(get('/slack/install'));
  assert.equal(page.statusCode, 200);
  assert.deepEqual(Object.keys(page.headers), ['content-type']);
  assert.match(page.headers['content-type'], /^text\/html/);
  const [link] = page.body.match(/https:\/\/slack\.com\/oauth\/v2\/authorize\?[^"]+/);
  const query = new URL(link.replaceAll('&amp;', '&')).searchParams;
  assert.deepEqual([query.get('client_id'), query.get('scope')], ['1.2', 'chat:write']);
  assert.equal(page.cookies.length, 1);
  assert.match(page.cookies[0], /; Secure; HttpOnly; Path=\/; Max-Age=600$/);
  const [cookie] = page.cookies[0].split(';');
  assert.equal(cookie, `slack-app-oauth-state=${query.get('state')}`);

  const back = await pages(get('/slack/oauth_redirect', `code=a-code&state=${query.get('state')}`, { cookies: ['other=1', cookie] }));
  assert.equal(back.statusCode, 200, back.body);
  assert.match(back.body, /Thank you!/);
  // The state is used up.
  assert.match(back.cookies[0], /^slack-app-oauth-state=deleted; /);
  const [{ to, args }] = slack.calls;
  assert.deepEqual([to, args.code], ['oauth.v2.access', 'a-code']);

  const { app, run } = behindTheQueue(slack, { receiver: oauth(store) });
  app.event('app_mention', async ({ say }) => { await say('x'); });
  const body = mention('x');
  const there = { ...body, team_id: 'T0SECOND00', authorizations: [{ ...body.authorizations[0], team_id: 'T0SECOND00' }] };
  assert.deepEqual(await run(record(there)), []);
  assert.equal(slack.calls.at(-1).token, 'xoxb-two');
});

test('the state of another browser is refused, and nothing is installed', async () => {
  const store = new bolt.MemoryInstallationStore();
  const pages = installPages(oauth(store));
  const { cookies: [cookie] } = await pages(get('/slack/install'));
  const state = cookie.split(';')[0].split('=')[1];
  const back = await pages(get('/slack/oauth_redirect', `code=a-code&state=${state}`));
  assert.equal(back.statusCode, 400);
  assert.match(back.body, /slack_oauth_invalid_state/);
  assert.deepEqual(slack.calls, []);
  assert.equal(await store.fetchInstallation({ teamId: 'T0SECOND00' }, quiet), undefined);
});

test('options for the pages are Bolt\'s: paths, a redirect instead of the page, pages of the app\'s own', async () => {
  const pages = installPages(oauth(new bolt.MemoryInstallationStore(), {
    installPath: '/install', redirectUriPath: '/back', directInstall: true, userScopes: ['search:read'], stateVerification: false,
    callbackOptions: { success: (installation, options, req, res) => { res.end(`welcome ${installation.team.id}, for ${options.scopes}`); } },
  }));
  const page = await pages(get('/install'));
  assert.deepEqual([page.statusCode, page.body], [302, '']);
  assert.match(page.headers.location, /^https:\/\/slack\.com\/oauth\/v2\/authorize\?.*user_scope=search%3Aread/);
  // Without a state there is nothing but the options to say what was asked for.
  assert.equal((await pages(get('/back', 'code=a-code'))).body, 'welcome T0SECOND00, for chat:write');
  assert.equal((await pages(get('/slack/install'))).statusCode, 404);
});

test('a page that fails is an answer, and not a time-out', async () => {
  const failing = { generateStateParam: async () => { throw new Error('of the state store'); }, verifyStateParam: async () => ({ scopes: [] }) };
  const page = await installPages(oauth(new bolt.MemoryInstallationStore(), { stateStore: failing }))(get('/slack/install'));
  assert.deepEqual([page.statusCode, page.body], [500, 'This page could not be made.']);

  const down = { storeInstallation: async () => { throw new Error('of the store'); }, fetchInstallation: async () => { throw new Error('x'); } };
  const back = await installPages(oauth(down, { stateVerification: false }))(get('/slack/oauth_redirect', 'code=a-code'));
  assert.equal(back.statusCode, 500);
  assert.match(back.body, /Something Went Wrong/);
});

test('nothing else is answered: no other path, no POST, no other kind of event', async () => {
  const pages = installPages(oauth(new bolt.MemoryInstallationStore()));
  for (const event of [get('/'), get('/slack/events'), get('/slack/events', '', { method: 'POST' }), get('/slack/install', '', { method: 'POST' })]) {
    assert.equal((await pages(event)).statusCode, 404, event.routeKey);
  }
  await assert.rejects(pages({ httpMethod: 'GET', path: '/slack/install' }), /no request of an HTTP API/);
});

test('what cannot work is refused at the start', () => {
  assert.throws(() => installPages({}), SlackIngressBoltError);
  // Bolt would keep it in the memory of this function, where the app behind the queue does not find it.
  assert.throws(() => installPages(oauth(undefined)), /need an installationStore/);
});
