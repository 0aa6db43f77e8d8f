import { describe } from './errors';

/** Where Slack's `response_url`s are, of Slack and of GovSlack. A message can name no other place. */
export const SLACK_ORIGINS: readonly string[] = ['https://hooks.slack.com', 'https://hooks.slack-gov.com'];

const TIMEOUT_MS = 3_000;

/**
 * Posts to a `response_url`, once: a second attempt after an answer that was lost would show the text twice.
 * @returns what went wrong, without the URL, which anybody who has it may post to
 */
export async function postToResponseUrl(url: unknown, message: object, origins: readonly string[]): Promise<string | undefined> {
  if (typeof url !== 'string' || !URL.canParse(url)) return 'the message has no response_url';
  if (!origins.includes(new URL(url).origin)) return 'the response_url is not at Slack';
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: JSON.stringify(message),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.arrayBuffer();
    return response.ok ? undefined : `Slack answered with status ${response.status}`;
  } catch (error) {
    return describe(error);
  }
}
