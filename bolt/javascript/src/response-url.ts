import { setTimeout as sleep } from 'node:timers/promises';
import { describe } from './errors';

/** Where Slack's `response_url`s are, of Slack and of GovSlack. A message can name no other place. */
export const SLACK_ORIGINS: readonly string[] = ['https://hooks.slack.com', 'https://hooks.slack-gov.com'];

const TIMEOUT_MS = 5_000;

/** Between one attempt and the next, where another one cannot show the text twice. The listener waits meanwhile. */
const PAUSES_MS = [500, 1_500];

/** Codes of Node.js for a connection that was never there. */
const NOT_REACHED = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'];

/** Slack's limit is 30 minutes. One less, for the way there and for a clock that is slow. */
export const VALID_FOR_MS = 29 * 60 * 1_000;

/** What became of a text. `refused`: certainly nothing was shown. `unknown`: nobody knows. */
export type Shown = 'sent' | 'refused' | 'unknown' | 'expired' | 'foreign_host';

export const isOfSlack = (url: unknown, origins: readonly string[]): url is string =>
  typeof url === 'string' && URL.canParse(url) && origins.includes(new URL(url).origin);

/** Posts to a `response_url`, once: it is tried again only if Slack certainly has not taken it. */
export async function postToResponseUrl(url: string, message: object): Promise<{ shown: Shown; why?: string }> {
  for (let attempt = 0; ; attempt += 1) {
    const result = await post(url, message);
    const pause = PAUSES_MS[attempt];
    if (!result.again || pause === undefined) return result;
    await sleep(pause);
  }
}

async function post(url: string, message: object): Promise<{ shown: Shown; why?: string; again?: boolean }> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: JSON.stringify(message),
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.arrayBuffer();
    const { status } = response;
    if (response.ok) return { shown: 'sent' };
    // A fault of Slack's may have come after the text was shown.
    return { shown: status >= 500 ? 'unknown' : 'refused', why: `status ${status}`, again: status === 429 };
  } catch (error) {
    const notReached = NOT_REACHED.includes((error as { cause?: { code?: string } }).cause?.code ?? '');
    return { shown: notReached ? 'refused' : 'unknown', why: describe(error), again: notReached };
  }
}
