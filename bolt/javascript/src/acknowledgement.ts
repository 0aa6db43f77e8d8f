import { ReceiverMultipleAckError } from '@slack/bolt';
import type { Log } from './log';
import type { Request } from './request';
import { isOfSlack, postToResponseUrl, type Shown, VALID_FOR_MS } from './response-url';

export interface AcknowledgementSettings {
  /** Where a `response_url` may be. */
  origins: readonly string[];
  /** Whether a delivery before has shown its text, or may have. It is not shown again: a `response_url` is good for five posts. */
  wasShown: boolean;
}

/**
 * What a listener's `ack(…)` means behind a queue, where the ingress has answered Slack long ago.
 *
 * A text or a message that Slack would have shown (of a command or an old-style button) goes to the `response_url`, at once,
 * as Slack would have shown it before the rest of the listener runs. What Slack would have needed in its answer (options, a
 * modal's next view or errors) is too late, and a warning says so. Everything else is nothing, as it is for Slack.
 */
export class Acknowledgement {
  /** Whether anybody called `ack`. */
  called = false;
  /** What became of what was given to `ack`. Undefined if that was nothing. */
  fate: Shown | 'too_late' | undefined;
  readonly #request: Request;
  readonly #eventId: string;
  readonly #log: Log;
  readonly #settings: AcknowledgementSettings;
  #showing: Promise<void> = Promise.resolve();

  constructor(request: Request, eventId: string, log: Log, settings: AcknowledgementSettings) {
    this.#request = request;
    this.#eventId = eventId;
    this.#log = log;
    this.#settings = settings;
  }

  /** Bolt's `ack`. As with Bolt's own HTTP receivers, a second call throws. */
  // What it takes depends on the listener; so it is in Bolt's types.
  readonly ack = async (response?: any): Promise<void> => {
    if (this.called) throw new ReceiverMultipleAckError();
    this.called = true;
    const needed = neededAtOnce(this.#request, response);
    if (needed !== undefined) {
      this.fate = 'too_late';
      this.#warn(
        `ack() was called with ${needed.what}, which Slack needed within 3 seconds. The message came through a queue, so Slack `
        + 'was answered before, and nobody will see this. Give this answer by a rule of the ingress\'s fast path (FAST_PATH, '
        + `docs/fast-path.md) with ${listed(needed.fields)}.`,
      );
      return;
    }
    const message = shownMessage(this.#request, response);
    if (message === undefined || this.#settings.wasShown) return;
    this.#showing = this.#show(message);
    await this.#showing;
  };

  /** Resolves when what was to be shown has been sent, or could not be. It never rejects. */
  async settled(): Promise<void> {
    await this.#showing;
  }

  /** Whether the text was shown, by this delivery of the message or one before, or may have been. */
  get isShown(): boolean {
    return this.#settings.wasShown || this.fate === 'sent' || this.fate === 'unknown';
  }

  /** The text is a courtesy and the listener has work to do, so a failure is a warning and does not end the listener. */
  async #show(message: object): Promise<void> {
    const url: unknown = this.#request.body.response_url;
    const { receivedAt } = this.#request;
    let why: string | undefined;
    if (!isOfSlack(url, this.#settings.origins)) this.fate = 'foreign_host';
    else if (receivedAt !== undefined && Date.now() - receivedAt > VALID_FOR_MS) this.fate = 'expired';
    else ({ shown: this.fate, why } = await postToResponseUrl(url, message));
    if (this.fate !== 'sent') this.#warn('what a listener gave to ack() could not be shown', { ack: this.fate, error: why });
  }

  /** Never with the URL: whoever has it may post to it. */
  #warn(message: string, fields: Record<string, unknown> = {}): void {
    this.#log.warn(message, { event_id: this.#eventId, kind: this.#request.kind, type: this.#request.type, ...fields });
  }
}

/** What Slack needs in its answer, and the fields by which a rule of the ingress's fast path gives such an answer. */
const NEEDED_AT_ONCE: Record<string, readonly string[]> = {
  response_action: ['answer', 'checks', 'function'],
  options: ['options', 'source', 'function'],
  option_groups: ['source', 'function'],
  errors: ['function'],
};

interface Needed {
  what: string;
  fields: readonly string[];
}

function listed(fields: readonly string[]): string {
  const quoted = fields.map((field) => `"${field}"`);
  const last = quoted.pop();
  return quoted.length > 0 ? `${quoted.join(', ')} or ${last}` : `${last}`;
}

/** What of a response Slack would have needed in its answer, if anything. */
function neededAtOnce(request: Request, response: unknown): Needed | undefined {
  if (typeof response !== 'object' || response === null) return undefined;
  const needed = Object.entries(NEEDED_AT_ONCE).find(([key]) => key in response);
  if (needed !== undefined) return { what: `"${needed[0]}"`, fields: needed[1] };
  // In an answer without a text it makes Slack show the command itself to everybody in the channel.
  const publishes = request.kind === 'command' && 'response_type' in response && response.response_type === 'in_channel';
  return publishes && !showsSomething(response) ? { what: '"response_type" and no text', fields: ['answer'] } : undefined;
}

/** The message that Slack would have shown, as a `response_url` takes it, if Slack would have shown one. */
function shownMessage(request: Request, response: unknown): object | undefined {
  const isOldButton = request.body.type === 'interactive_message';
  if (request.kind !== 'command' && !isOldButton) return undefined;
  const message = typeof response === 'string' ? { text: response } : response;
  if (typeof message !== 'object' || message === null || !showsSomething(message)) return undefined;
  const saysWhere = ['replace_original', 'delete_original', 'response_type'].some((key) => key in message);
  // In the answer to a click a message replaces the one that was clicked. At a response_url one has to say so.
  return isOldButton && !saysWhere ? { ...message, replace_original: true } : message;
}

function showsSomething(message: object): boolean {
  return Object.entries(message).some(([key, value]) => ['text', 'blocks', 'attachments', 'delete_original'].includes(key) && value);
}
