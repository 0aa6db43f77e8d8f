import type { App } from '@slack/bolt';
import { Acknowledgement } from './acknowledgement';
import { describe, MalformedMessage } from './errors';
import type { Claim, Guard } from './guard';
import { watch } from './listeners';
import type { Log, MessageLine, Outcome } from './log';
import { attribute, isAcknowledgedByBolt, readRequest, type Request } from './request';
import type { SqsRecord } from './sqs';

/** How long this consumer has a message. */
export interface Lease {
  /** When it is over, in milliseconds since the Unix epoch. */
  until(): number;
  /** Called when a claim was made, by who makes the lease longer while listeners run. What it returns ends that. */
  hold?(claim: Claim, id: string): () => void;
}

export interface Result {
  outcome: Outcome;
  error?: unknown;
  /** What became of what a listener gave to `ack()`. */
  ack?: MessageLine['ack'];
  /** Another consumer's lease, if the message is `in_flight`: milliseconds since the Unix epoch. */
  leaseUntil?: number;
}

export interface DispatchSettings {
  /** Where a `response_url` may be. */
  origins: readonly string[];
  // The type is Bolt's own, in each of its receivers
  customProperties: (record: SqsRecord) => Record<string, any>;
}

/** What is done with one message, from the queue to its outcome. It never rejects. */
export class Dispatch {
  readonly #app: App;
  readonly #guard: Guard;
  readonly #log: Log;
  readonly #settings: DispatchSettings;

  constructor(app: App, guard: Guard, log: Log, settings: DispatchSettings) {
    this.#app = app;
    this.#guard = guard;
    this.#log = log;
    this.#settings = settings;
  }

  async run(record: SqsRecord, lease: Lease): Promise<Result> {
    const started = Date.now();
    let result: Result;
    try {
      result = await this.#guarded(record, readRequest(record), lease);
    } catch (error) {
      result = { outcome: error instanceof MalformedMessage ? 'malformed' : 'failed', error };
    }
    this.#say(record, result, Date.now() - started);
    return result;
  }

  /** For a message that has to wait because one before it in its group is not done. */
  holdBack(record: SqsRecord): Result {
    const result: Result = { outcome: 'held_back' };
    this.#say(record, result, 0);
    return result;
  }

  #say(record: SqsRecord, result: Result, duration: number): void {
    this.#log.message({
      event_id: attribute(record, 'event_id') ?? record.messageId,
      kind: attribute(record, 'kind'),
      type: attribute(record, 'type'),
      outcome: result.outcome,
      duration_ms: duration,
      receive_count: Number(record.attributes?.ApproximateReceiveCount) || undefined,
      error: result.error === undefined ? undefined : describe(result.error),
      ack: result.ack,
    });
  }

  async #guarded(record: SqsRecord, request: Request, lease: Lease): Promise<Result> {
    const id = request.eventId ?? record.messageId;
    if (request.eventId === undefined) {
      this.#log.warnOnce('a message has no attribute "event_id": its SQS message id is used, and a second copy of it would run');
    }
    const begin = await this.#guard.begin(id, lease.until());
    if (begin.found === 'done') return { outcome: 'duplicate' };
    if (begin.found === 'running') return { outcome: 'in_flight', leaseUntil: begin.leaseUntil };
    const release = lease.hold?.(begin.claim, id);
    const acknowledgement = new Acknowledgement(request, id, this.#log, {
      origins: this.#settings.origins, wasShown: begin.claim.ackWasShown,
    });
    let result: Result;
    try {
      result = await this.#listeners(record, request, acknowledgement);
    } finally {
      release?.();
    }
    await this.#record(begin.claim, result.outcome, acknowledgement.isShown, id);
    return { ...result, ack: acknowledgement.fate };
  }

  /** Hands the message to Bolt, and sees what becomes of it. */
  async #listeners(record: SqsRecord, request: Request, acknowledgement: Acknowledgement): Promise<Result> {
    const attempt = watch(this.#app).begin(request.body);
    try {
      await this.#app.processEvent({
        body: request.body,
        ack: acknowledgement.ack,
        customProperties: {
          ...this.#settings.customProperties(record),
          ...(request.eventId === undefined ? {} : { slackIngressEventId: request.eventId }),
        },
        ...(request.retryNum === undefined ? {} : { retryNum: request.retryNum }),
        ...(request.retryReason === undefined ? {} : { retryReason: request.retryReason }),
      });
    } catch (error) {
      attempt.failures.push(error);
    }
    while (attempt.running.size > 0) await Promise.allSettled(attempt.running);
    await acknowledgement.settled();
    if (attempt.failures.length > 0) return { outcome: 'failed', error: attempt.failures[0] };
    const acknowledgedByApp = acknowledgement.called && !(isAcknowledgedByBolt(request) && attempt.reachedListeners);
    return { outcome: attempt.listened || acknowledgedByApp ? 'done' : 'nobody_listens' };
  }

  /**
   * Writes down how it ended. A write that fails changes nothing of the outcome: what has finished is done, so keeping its
   * message could only run it again; and what has failed comes again, at the end of the lease if not before.
   */
  async #record(claim: Claim, outcome: Outcome, ackShown: boolean, id: string): Promise<void> {
    try {
      if (outcome === 'failed') await claim.failed(ackShown);
      else if (!(await claim.done())) this.#log.warn('the lease was lost: listeners may have run twice', { event_id: id });
    } catch (error) {
      this.#log.warn(`the guard could not record the outcome ${outcome}`, { event_id: id, error: describe(error) });
    }
  }
}
