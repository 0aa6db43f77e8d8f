import type { App } from '@slack/bolt';
import { Acknowledgement } from './acknowledgement';
import { describe, MalformedMessage } from './errors';
import type { Claim, Guard } from './guard';
import { watch } from './listeners';
import type { Log, Outcome } from './log';
import { eventId, isAcknowledgedByBolt, readRequest, type Request } from './request';
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
    let request: Request | undefined;
    let result: Result & { error?: unknown };
    try {
      request = readRequest(record);
      result = await this.#guarded(record, request, lease);
    } catch (error) {
      result = { outcome: error instanceof MalformedMessage ? 'malformed' : 'failed', error };
    }
    this.#log.message({
      event_id: eventId(record) ?? record.messageId,
      kind: request?.kind,
      type: request?.type,
      outcome: result.outcome,
      duration_ms: Date.now() - started,
      error: result.error === undefined ? undefined : describe(result.error),
    });
    return result;
  }

  /** For a message that has to wait because one before it in its group is not done. */
  holdBack(record: SqsRecord): Result {
    const of = (name: string): string | undefined => record.messageAttributes?.[name]?.stringValue;
    this.#log.message({
      event_id: eventId(record) ?? record.messageId, kind: of('kind'), type: of('type'), outcome: 'held_back', duration_ms: 0,
    });
    return { outcome: 'held_back' };
  }

  async #guarded(record: SqsRecord, request: Request, lease: Lease): Promise<Result & { error?: unknown }> {
    const id = request.eventId ?? record.messageId;
    if (request.eventId === undefined) {
      this.#log.warnOnce('a message has no attribute "event_id": its SQS message id is used, and a second copy of it would run');
    }
    const begin = await this.#guard.begin(id, lease.until());
    if (begin.found === 'done') return { outcome: 'duplicate' };
    if (begin.found === 'running') return { outcome: 'in_flight', leaseUntil: begin.leaseUntil };
    const release = lease.hold?.(begin.claim, id);
    let result: Result & { error?: unknown };
    try {
      result = await this.#listeners(record, request, id);
    } finally {
      release?.();
    }
    await this.#record(begin.claim, result.outcome, id);
    return result;
  }

  /** Hands the message to Bolt, and sees what becomes of it. */
  async #listeners(record: SqsRecord, request: Request, id: string): Promise<Result & { error?: unknown }> {
    const attempt = watch(this.#app).begin(request.body);
    const acknowledgement = new Acknowledgement(request, id, this.#log, this.#settings.origins);
    try {
      await this.#app.processEvent({
        body: request.body,
        ack: acknowledgement.ack,
        customProperties: this.#settings.customProperties(record),
        ...(request.retryNum === undefined ? {} : { retryNum: request.retryNum }),
        ...(request.retryReason === undefined ? {} : { retryReason: request.retryReason }),
      });
    } catch (error) {
      attempt.failures.push(error);
    }
    while (attempt.running.size > 0) await Promise.allSettled(attempt.running);
    await acknowledgement.sent();
    if (attempt.failures.length > 0) return { outcome: 'failed', error: attempt.failures[0] };
    const acknowledgedByApp = acknowledgement.called && !(isAcknowledgedByBolt(request) && attempt.reachedListeners);
    return { outcome: attempt.listened || acknowledgedByApp ? 'done' : 'nobody_listens' };
  }

  /**
   * Writes down how it ended. A write that fails changes nothing of the outcome: what has finished is done, so keeping its
   * message could only run it again; and what has failed comes again, at the end of the lease if not before.
   */
  async #record(claim: Claim, outcome: Outcome, id: string): Promise<void> {
    try {
      if (outcome === 'failed') await claim.failed();
      else if (!(await claim.done())) this.#log.warn('the lease was lost: listeners may have run twice', { event_id: id });
    } catch (error) {
      this.#log.warn(`the guard could not record the outcome ${outcome}`, { event_id: id, error: describe(error) });
    }
  }
}
