// Plays Slack's Web API and its response URLs on a free port of the loopback interface. It knows which token is which
// workspace's, refuses all others, and writes down every call. It checks no scopes and no arguments.
import { createServer } from 'node:http';

export const WORKSPACES = {
  // What a function's own token is in the fixture.
  'xwfp-example': { team_id: 'T061EG9R6', user_id: 'U0LAN0Z89', bot_id: 'B0LAN0Z90' },
  'xoxb-one': { team_id: 'T061EG9R6', user_id: 'U0LAN0Z89', bot_id: 'B0LAN0Z90' },
  'xoxb-two': { team_id: 'T0SECOND00', user_id: 'U0SECOND00', bot_id: 'B0SECOND00' },
  'xoxb-org': { enterprise_id: 'E0ORG12345', is_enterprise_install: true, user_id: 'U0ORGBOT00', bot_id: 'B0ORGBOT00' },
};

/** What Slack gives for a code, when somebody has installed the app in the second workspace. */
const INSTALLED = {
  ok: true, access_token: 'xoxb-two', token_type: 'bot', scope: 'chat:write', bot_user_id: 'U0SECOND00', app_id: 'A0F7YS25R',
  team: { id: 'T0SECOND00', name: 'Second' }, enterprise: null, authed_user: { id: 'U061F7AUR' }, is_enterprise_install: false,
};

export async function startSlack() {
  // `failing`: how many calls of a method fail from now on.
  const slack = { calls: [], status: 200, failing: {} };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const path = request.url;
    if (!path.startsWith('/api/')) {
      slack.calls.push({ to: 'response_url', path, body: JSON.parse(text) });
      response.writeHead(slack.status, slack.status === 302 ? { location: slack.url } : {}).end('ok');
      return;
    }
    const args = Object.fromEntries(new URLSearchParams(text));
    const token = (request.headers.authorization ?? '').replace('Bearer ', '') || args.token;
    delete args.token;
    const method = path.slice('/api/'.length);
    const workspace = WORKSPACES[token];
    if (method !== 'auth.test') slack.calls.push({ to: method, token, args });
    const fails = slack.failing[method] > 0;
    if (fails) slack.failing[method] -= 1;
    const answer = fails ? { ok: false, error: 'internal_error' }
      : method === 'oauth.v2.access' ? INSTALLED
      : workspace === undefined ? { ok: false, error: 'invalid_auth' }
      : method === 'auth.test' ? { ok: true, ...workspace } : { ok: true, ts: '1700000000.000100', channel: args.channel, view: { id: 'V1' } };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  slack.url = `http://127.0.0.1:${port}`;
  slack.clientOptions = { slackApiUrl: `${slack.url}/api/`, retryConfig: { retries: 0 } };
  /** How often a method was called, or a response URL. */
  slack.count = (to) => slack.calls.filter((call) => call.to === to).length;
  slack.stop = () => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(resolve);
  });
  return slack;
}
