import type { App, Receiver } from '@slack/bolt';
import { askAgain } from './authorization';
import { atMost, groups, inOrder } from './batch';
import { Dispatch, type Lease, type Result } from './dispatch';
import { DynamoDbGuard } from './dynamodb';
import { SlackIngressBoltError } from './errors';
import { type Guard, NO_GUARD, TOLERATED_SKEW_MS } from './guard';
import { type Installer, installerOf } from './installer';
import { watch } from './listeners';
import { isFinished, Log } from './log';
import { type Settings, settingsOf, type SqsReceiverOptions } from './settings';
import type { LambdaContext, SqsBatchResponse, SqsEvent, SqsHandler, SqsRecord } from './sqs';
import { Worker } from './worker';

/** Lambda's longest time, for a caller that gives no context. */
const LONGEST_INVOCATION_MS = 900_000;

export interface StartOptions {
  /** The queue that is polled. */
  queueUrl?: string;
}

/** With less time left than this, an invocation begins no further message: it would be broken off. */
const LEAST_TIME_MS = 2_000;

/** A receiver for Bolt that takes its messages from the queue of slack-ingress. */
export class SqsReceiver implements Receiver {
  /** For an app with OAuth: Bolt finds the installation of each message by it. */
  readonly installer: Installer | undefined;
  readonly #settings: Settings;
  readonly #options: SqsReceiverOptions;
  readonly #log: Log;
  readonly #guard: Guard;
  #dispatch: Dispatch | undefined;
  #worker: Worker | undefined;

  constructor(options: SqsReceiverOptions = {}) {
    this.#options = options;
    this.#settings = settingsOf(options);
    this.#log = new Log({ metrics: this.#settings.metrics, write: options.writeLog });
    this.installer = installerOf(options);
    if (this.#settings.table === undefined) {
      this.#guard = NO_GUARD;
      this.#log.warnOnce(
        'there is no guard, because no table is given (BOLT_TABLE): a message that SQS delivers again runs its listeners again',
      );
    } else {
      this.#guard = new DynamoDbGuard(this.#settings.table);
    }
  }

  /** Bolt calls it for the app that has this receiver. Call it yourself for an app that has another one. */
  init(app: App): void {
    watch(app);
    // An app has one receiver, but `sqsHandler` may give it another one.
    if (receiverOf(app) === undefined) askAgain(app);
    attach(app, this);
    this.#dispatch = new Dispatch(app, this.#guard, this.#log, {
      origins: this.#settings.origins,
      customProperties: this.#options.customPropertiesExtractor ?? (() => ({})),
    });
  }

  /** The handler for a Lambda function whose event source is the queue, with `ReportBatchItemFailures`. */
  toHandler(): SqsHandler {
    // Of two parameters: Lambda refuses handlers with a callback.
    return async (event: SqsEvent, context?: LambdaContext): Promise<SqsBatchResponse> => {
      if (!Array.isArray(event?.Records)) throw new SlackIngressBoltError('this is no event of an SQS queue: it has no Records');
      const other = event.Records.find((record) => (record.eventSource ?? 'aws:sqs') !== 'aws:sqs');
      if (other !== undefined) throw new SlackIngressBoltError(`this is no event of an SQS queue, but of ${other.eventSource}`);
      const dispatch = this.#ready();
      // Lambda ends all that runs here at its deadline, so the lease is never needed for longer.
      const deadline = Date.now() + (context?.getRemainingTimeInMillis?.() ?? LONGEST_INVOCATION_MS);
      const lease: Lease = { until: () => deadline + TOLERATED_SKEW_MS };
      const batchItemFailures: SqsBatchResponse['batchItemFailures'] = [];
      const run = async (record: SqsRecord): Promise<Result> =>
        deadline - Date.now() < LEAST_TIME_MS ? dispatch.holdBack(record) : dispatch.run(record, lease);
      await atMost(this.#settings.concurrency, groups(event.Records).map((group) => async () => {
        const results = await inOrder(group, run, (record) => dispatch.holdBack(record));
        results.forEach((result, index) => {
          if (!isFinished(result.outcome)) batchItemFailures.push({ itemIdentifier: group[index]!.messageId });
        });
      }));
      return { batchItemFailures };
    };
  }

  /**
   * With a queue's URL, polls that queue until `stop`. Resolves to the handler, as Bolt's `AwsLambdaReceiver` does.
   *
   * @throws SlackIngressBoltError if the queue cannot be asked for the first time, which is a fault of the set-up
   */
  async start(options: StartOptions = {}): Promise<SqsHandler> {
    const queueUrl = options.queueUrl ?? this.#options.queueUrl;
    if (queueUrl !== undefined) {
      if (this.#worker !== undefined) throw new SlackIngressBoltError('the worker is running already');
      this.#worker = new Worker(queueUrl, this.#ready(), this.#log, this.#settings);
      try {
        await this.#worker.start();
      } catch (error) {
        this.#worker = undefined;
        throw error;
      }
    }
    return this.toHandler();
  }

  /** Takes no new message, and resolves when the listeners that run have ended. */
  async stop(): Promise<void> {
    await this.#worker?.stop();
    this.#worker = undefined;
  }

  #ready(): Dispatch {
    if (this.#dispatch === undefined) throw new SlackIngressBoltError('the receiver has no app: give it to new App({ receiver })');
    return this.#dispatch;
  }
}

// By a name that another copy of this package, such as that of the command line, knows too.
const RECEIVER = Symbol.for('slack-ingress-bolt.receiver');

function attach(app: App, receiver: SqsReceiver): void {
  Object.defineProperty(app, RECEIVER, { value: receiver, configurable: true });
}

/** The `SqsReceiver` of an app, if it has one. */
export function receiverOf(app: App): SqsReceiver | undefined {
  return (app as unknown as Record<symbol, SqsReceiver | undefined>)[RECEIVER];
}

/** A handler for an app as it is, whatever receiver it was made with. */
export function sqsHandler(app: App, options: SqsReceiverOptions = {}): SqsHandler {
  const receiver = new SqsReceiver(options);
  receiver.init(app);
  return receiver.toHandler();
}
