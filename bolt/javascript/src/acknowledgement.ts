import { ReceiverMultipleAckError } from '@slack/bolt';
import type { Log } from './log';
import type { Request } from './request';
import { postToResponseUrl } from './response-url';

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
  readonly #request: Request;
  readonly #eventId: string;
  readonly #log: Log;
  readonly #origins: readonly string[];
  #sent: Promise<void> = Promise.resolve();

  constructor(request: Request, eventId: string, log: Log, origins: readonly string[]) {
    this.#request = request;
    this.#eventId = eventId;
    this.#log = log;
    this.#origins = origins;
  }

  /** Bolt's `ack`. As with Bolt's own HTTP receivers, a second call throws. */
  // What can be acknowledged with depends on the listener; so it is in Bolt's types
  readonly ack = async (response?: any): Promise<void> => {
    if (this.called) throw new ReceiverMultipleAckError();
    this.called = true;
    const needed = neededAtOnce(response);
    if (needed !== undefined) {
      this.#log.warn(
        `ack() was called with "${needed}", which Slack needed within 3 seconds. The message came through a queue, so Slack `
        + 'was answered before, and nobody will see this. Let the fast path of the ingress (FAST_PATH) answer it: by a rule, '
        + 'or by handing the request to a function with this listener.',
        { event_id: this.#eventId, kind: this.#request.kind, type: this.#request.type },
      );
      return;
    }
    const message = shownMessage(this.#request, response);
    if (message !== undefined) {
      this.#sent = this.#show(message);
      await this.#sent;
    }
  };

  /** Resolves when what was to be shown has been sent, or could not be. It never rejects. */
  sent(): Promise<void> {
    return this.#sent;
  }

  /** The text is a courtesy and the listener has work to do, so a failure is a warning and does not end the listener. */
  async #show(message: object): Promise<void> {
    const problem = await postToResponseUrl(this.#request.body.response_url, message, this.#origins);
    if (problem !== undefined) {
      this.#log.warn('what a listener gave to ack() could not be shown', {
        event_id: this.#eventId, kind: this.#request.kind, type: this.#request.type, error: problem,
      });
    }
  }
}

/** The key of what Slack would have needed in its answer, if there is one. */
function neededAtOnce(response: unknown): string | undefined {
  if (typeof response !== 'object' || response === null) return undefined;
  return ['response_action', 'options', 'option_groups', 'errors'].find((key) => key in response);
}

/** The message that Slack would have shown, if it would have shown one. */
function shownMessage(request: Request, response: unknown): object | undefined {
  if (request.kind !== 'command' && request.body.type !== 'interactive_message') return undefined;
  if (typeof response === 'string') return response === '' ? undefined : { text: response };
  if (typeof response !== 'object' || response === null || Object.keys(response).length === 0) return undefined;
  return response;
}
