/**
 * What SQS gives, as far as it is read here. The types of `@types/aws-lambda` fit these, so nobody needs that package.
 */

export interface SqsAttribute {
  stringValue?: string | undefined;
}

/** What SQS says about a message. The first two are read. */
export interface SqsSystemAttributes {
  MessageGroupId?: string | undefined;
  ApproximateReceiveCount?: string | undefined;
  ApproximateFirstReceiveTimestamp?: string | undefined;
  AWSTraceHeader?: string | undefined;
  MessageDeduplicationId?: string | undefined;
  SenderId?: string | undefined;
  SentTimestamp?: string | undefined;
  SequenceNumber?: string | undefined;
}

/** One message, as Lambda hands it to a function. */
export interface SqsRecord {
  messageId: string;
  body: string;
  attributes: SqsSystemAttributes;
  /** What the ingress says about the event. */
  messageAttributes: Record<string, SqsAttribute>;
  /** `aws:sqs`, where Lambda hands it out. */
  eventSource?: string | undefined;
  /** The queue's ARN. The name of a FIFO queue ends with `.fifo`. */
  eventSourceARN: string;
}

export interface SqsEvent {
  Records: SqsRecord[];
}

/** The part of Lambda's context that is used. A call without it counts as one that may take Lambda's longest time. */
export interface LambdaContext {
  getRemainingTimeInMillis(): number;
}

/** A partial batch response: the messages that stay on the queue. */
export interface SqsBatchResponse {
  batchItemFailures: { itemIdentifier: string }[];
}

export type SqsHandler = (event: SqsEvent, context?: LambdaContext) => Promise<SqsBatchResponse>;
