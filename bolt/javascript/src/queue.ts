import type * as Sdk from '@aws-sdk/client-sqs';
import { answersWithin, sdk } from './aws';
import type { SqsRecord } from './sqs';

/** A message that was received, until it is deleted or its visibility time-out is over. */
export interface Received extends SqsRecord {
  receiptHandle: string;
}

/**
 * How long a receive waits for a message. SQS allows 20 seconds; but a worker that stops has to wait for its receive, because SQS
 * hands messages also to one that was broken off, and those would be hidden from everybody until their time-out.
 */
const LONG_POLL_SECONDS = 5;

/** One queue, as the worker uses it. */
export class Queue {
  readonly #url: string;
  readonly #sdk: typeof Sdk;
  readonly #client: Sdk.SQSClient;

  constructor(url: string) {
    this.#url = url;
    this.#sdk = sdk('@aws-sdk/client-sqs') as typeof Sdk;
    // Longer than a receive that waits.
    this.#client = new this.#sdk.SQSClient({ maxAttempts: 3, requestHandler: answersWithin((LONG_POLL_SECONDS + 5) * 1_000) });
  }

  async receive(most: number, visibilitySeconds: number, waitSeconds = LONG_POLL_SECONDS): Promise<Received[]> {
    const { Messages } = await this.#client.send(new this.#sdk.ReceiveMessageCommand({
      QueueUrl: this.#url,
      MaxNumberOfMessages: Math.min(most, 10),
      VisibilityTimeout: visibilitySeconds,
      WaitTimeSeconds: waitSeconds,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    }));
    return (Messages ?? []).map((message) => this.#asRecord(message));
  }

  async delete(message: Received): Promise<void> {
    await this.#client.send(new this.#sdk.DeleteMessageCommand({ QueueUrl: this.#url, ReceiptHandle: message.receiptHandle }));
  }

  /** Hides a message for so many seconds from now; 0 gives it back at once. */
  async hide(message: Received, seconds: number): Promise<void> {
    await this.#client.send(new this.#sdk.ChangeMessageVisibilityCommand({
      QueueUrl: this.#url, ReceiptHandle: message.receiptHandle, VisibilityTimeout: seconds,
    }));
  }

  /** The form in which Lambda hands out the same message. */
  #asRecord(message: Sdk.Message): Received {
    return {
      messageId: message.MessageId ?? '',
      receiptHandle: message.ReceiptHandle ?? '',
      body: message.Body ?? '',
      attributes: message.Attributes ?? {},
      messageAttributes: Object.fromEntries(
        Object.entries(message.MessageAttributes ?? {}).map(([name, value]) => [name, { stringValue: value.StringValue }]),
      ),
      // The ARN itself is not told. All that is read of it is whether the name ends with `.fifo`.
      eventSourceARN: this.#url,
    };
  }
}
