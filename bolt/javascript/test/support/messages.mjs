// The project's fixtures, as messages that the ingress would put on the queue.
import { readdirSync, readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FIXTURES = fileURLToPath(new URL('../../../../tests/fixtures', import.meta.url));
const OWN = fileURLToPath(new URL('../payloads', import.meta.url));

// Slack escapes the slashes of its JSON, and a form is encoded on top of that.
const HOOKS = ['https://hooks.slack.com', 'https:\\/\\/hooks.slack.com'];
const replaced = (text, url) => HOOKS.reduce(
  (changed, hooks) => changed.replaceAll(hooks, url).replaceAll(encodeURIComponent(hooks), encodeURIComponent(url)), text,
);

const names = (directory, extension) => readdirSync(directory).filter((name) => name.endsWith(extension)).map((name) => name.slice(0, -extension.length));

export const EVENTS = names(join(FIXTURES, 'events'), '.json');
export const FORMS = names(join(FIXTURES, 'forms'), '.json');
/** Old kinds of interactions, of which the project has no fixture. */
export const OLD = names(OWN, '.json');

/** What Slack posts (`raw`, `contentType`) and what the ingress puts on the queue (`body`), with its response URL at `url`. */
export function fixture(name, url) {
  const read = (...path) => replaced(readFileSync(join(...path), 'utf8'), url);
  if (EVENTS.includes(name)) {
    const body = read(FIXTURES, 'events', `${name}.json`);
    return { body, raw: body, contentType: 'application/json' };
  }
  const contentType = 'application/x-www-form-urlencoded';
  if (FORMS.includes(name)) {
    return { body: read(FIXTURES, 'forms', `${name}.json`), raw: read(FIXTURES, 'forms', `${name}.txt`), contentType };
  }
  const body = JSON.stringify(JSON.parse(read(OWN, `${name}.json`)));
  return { body, raw: new URLSearchParams({ payload: body }).toString(), contentType };
}

/** A message of the queue, as Lambda hands it out. */
export function record(body, { eventId = `Ev${randomBytes(5).toString('hex')}`, group = 'T1:C1:1', fifo = true, retry, attributes = {} } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const parsed = typeof body === 'string' ? safely(body) : body;
  const kind = parsed.command ? 'command' : parsed.event ? 'event' : 'interaction';
  const values = {
    kind, type: parsed.command ?? parsed.event?.type ?? parsed.type ?? 'unknown', event_id: eventId,
    ...(retry ? { retry_num: String(retry), retry_reason: 'http_timeout' } : {}), ...attributes,
  };
  return {
    messageId: `m-${randomBytes(8).toString('hex')}`,
    body: text,
    attributes: { MessageGroupId: group, ApproximateReceiveCount: '1' },
    messageAttributes: Object.fromEntries(
      Object.entries(values).filter(([, value]) => value !== undefined).map(([name, stringValue]) => [name, { stringValue, dataType: 'String' }]),
    ),
    eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:events${fifo ? '.fifo' : ''}`,
  };
}

const safely = (text) => {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
};

/** A mention that says `text`. */
export const mention = (text) => ({
  type: 'event_callback', team_id: 'T061EG9R6', api_app_id: 'A0F7YS25R', event_id: 'Ev0', event_time: 1,
  event: { type: 'app_mention', user: 'U061F7AUR', text, ts: '1515449522.000016', channel: 'C0LAN2Q65', event_ts: '1515449522.000016' },
  authorizations: [{ enterprise_id: null, team_id: 'T061EG9R6', user_id: 'U0LAN0Z89', is_bot: true, is_enterprise_install: false }],
});

/** The body of a command, with its response URL at `url`. */
export const command = (url, name = '/deploy') => ({
  command: name, text: 'main', team_id: 'T061EG9R6', channel_id: 'C0LAN2Q65', user_id: 'U061F7AUR', api_app_id: 'A0F7YS25R',
  is_enterprise_install: 'false', trigger_id: '1.2.3', response_url: `${url}/commands/1`,
});
