import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatch, Lease, Result } from './dispatch';
import { describe, SlackIngressBoltError } from './errors';
import { type Claim, TOLERATED_SKEW_MS } from './guard';
import { isFinished, type Log } from './log';
import { Queue, type Received } from './queue';
import type { Settings } from './settings';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const FIRST_BACK_OFF_SECONDS = 10;
const LONGEST_BACK_OFF_SECONDS = 900;

/**
 * Polls a queue and runs what it receives, for a process that stays: in a container, or on a laptop.
 *
 * A message is hidden from other consumers for a little longer than the lease of its record, so that the lease is over when the
 * message comes again. While its listeners run, both are made longer. So a listener may take as long as SQS lets a message be
 * hidden, which is 12 hours; and if the process is killed, the message comes again soon.
 *
 * Of a FIFO queue it takes one message at a time. SQS gives out up to ten messages of one group together, and counts a receive
 * for each of them, also for those that have to wait: a first one that fails again and again would take the others to the
 * dead-letter queue with it, although none of them has run. And SQS gives out nothing of a group while a message of it is out.
 * Where messages wait, a receive is as short as the way to SQS and back, so one after the other keeps the worker busy.
 */
export class Worker {
  readonly #url: string;
  readonly #queue: Queue;
  readonly #isFifo: boolean;
  readonly #dispatch: Dispatch;
  readonly #log: Log;
  readonly #settings: Pick<Settings, 'concurrency' | 'leaseSeconds'>;
  /** For how many seconds a message is hidden. */
  readonly #hidden: number;
  readonly #stopping = new AbortController();
  readonly #atWork = new Set<Promise<void>>();
  #polling: Promise<void> | undefined;

  constructor(queueUrl: string, dispatch: Dispatch, log: Log, settings: Pick<Settings, 'concurrency' | 'leaseSeconds'>) {
    this.#url = queueUrl;
    this.#queue = new Queue(queueUrl);
    this.#isFifo = queueUrl.endsWith('.fifo');
    this.#dispatch = dispatch;
    this.#log = log;
    this.#settings = settings;
    this.#hidden = settings.leaseSeconds + TOLERATED_SKEW_MS / 1000;
  }

  /**
   * Resolves when the queue has been asked for the first time.
   *
   * @throws SlackIngressBoltError if it could not be. That is a wrong URL or a right that is missing, and a worker that went on
   *   would look healthy and do nothing
   */
  async start(): Promise<void> {
    const first = this.#receive(0);
    this.#polling = first.then(() => this.#poll(), () => {});
    try {
      await first;
    } catch (error) {
      const why = error instanceof Error ? error.message : '';
      throw new SlackIngressBoltError(`the queue ${this.#url} could not be asked: ${describe(error)}: ${why}`, { cause: error });
    }
    this.#log.info('the worker polls its queue', { concurrency: this.#settings.concurrency });
  }

  /** Gives back what has not begun, and resolves when what runs has ended; not before the receive that is under way has. */
  async stop(): Promise<void> {
    if (!this.#stopping.signal.aborted) this.#log.info('the worker stops', { running: this.#atWork.size });
    this.#stopping.abort();
    await this.#polling;
  }

  async #poll(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!this.#stopping.signal.aborted) {
      if (this.#atWork.size >= this.#settings.concurrency) {
        await Promise.race(this.#atWork);
        continue;
      }
      try {
        await this.#receive();
        pause = FIRST_PAUSE_MS;
      } catch (error) {
        this.#log.warn('the queue could not be asked', { error: describe(error) });
        await sleep(pause, undefined, { signal: this.#stopping.signal }).catch(() => {});
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
    while (this.#atWork.size > 0) await Promise.all(this.#atWork);
  }

  /** @param waitSeconds for how long a message is waited for */
  async #receive(waitSeconds?: number): Promise<void> {
    const free = this.#settings.concurrency - this.#atWork.size;
    const messages = await this.#queue.receive(this.#isFifo ? 1 : free, this.#hidden, waitSeconds);
    for (const message of messages) this.#begin(message);
  }

  #begin(message: Received): void {
    const work = this.#work(message).finally(() => this.#atWork.delete(work));
    this.#atWork.add(work);
  }

  async #work(message: Received): Promise<void> {
    const { lease, release } = this.#hold(message);
    // What the last receive has brought goes back to the queue.
    const result = this.#stopping.signal.aborted ? this.#dispatch.holdBack(message) : await this.#dispatch.run(message, lease);
    release();
    if (isFinished(result.outcome)) {
      await this.#quietly('a message that is done could not be deleted', message, () => this.#queue.delete(message));
    } else {
      await this.#quietly('a message could not be given back', message, () => this.#queue.hide(message, waitSeconds(result, message)));
    }
  }

  /** Keeps a message hidden, and its record's lease alive, until it is released. */
  #hold(message: Received): { lease: Lease; release: () => void } {
    const { leaseSeconds } = this.#settings;
    let claimed: { claim: Claim; id: string } | undefined;
    const hide = (): Promise<void> =>
      this.#quietly('a message could not be kept hidden', message, () => this.#queue.hide(message, this.#hidden));
    const extend = async (): Promise<void> => {
      if (claimed === undefined) return;
      const { claim, id } = claimed;
      await this.#quietly('a lease could not be made longer', message, async () => {
        if (!(await claim.extend(Date.now() + leaseSeconds * 1000)) && claimed?.claim === claim) {
          claimed = undefined;
          this.#log.warn('the lease was lost: another consumer may run this message', { event_id: id });
        }
      });
    };
    // At the same time, so that neither waits for a service that does not answer to the other.
    const timer = setInterval(() => Promise.all([hide(), extend()]), (leaseSeconds * 1000) / 3);
    return {
      lease: {
        until: () => Date.now() + leaseSeconds * 1000,
        hold: (claim, id) => {
          claimed = { claim, id };
          return () => {
            claimed = undefined;
          };
        },
      },
      release: () => clearInterval(timer),
    };
  }

  async #quietly(problem: string, message: Received, call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      this.#log.warn(problem, { message_id: message.messageId, error: describe(error) });
    }
  }
}

/** For how long a message that is not done stays hidden. */
function waitSeconds(result: Result, message: Received): number {
  if (result.outcome === 'held_back') return 0;
  if (result.leaseUntil !== undefined) {
    return Math.min(Math.max(Math.ceil((result.leaseUntil - Date.now()) / 1000), 1), LONGEST_BACK_OFF_SECONDS);
  }
  const receives = Number(message.attributes.ApproximateReceiveCount ?? 1);
  return Math.min(FIRST_BACK_OFF_SECONDS * 3 ** (receives - 1), LONGEST_BACK_OFF_SECONDS);
}
