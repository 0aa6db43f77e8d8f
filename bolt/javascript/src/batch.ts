/** The order of messages, for Lambda and for the worker. */
import type { Result } from './dispatch';
import { isFinished } from './log';
import type { SqsRecord } from './sqs';

/**
 * Divides messages into groups whose messages run one after the other. On a FIFO queue that is SQS's message group. On a
 * standard queue each message is on its own: its `MessageGroupId` is only for SQS's fairness.
 */
export function groups<R extends SqsRecord>(records: readonly R[]): R[][] {
  const byKey = new Map<string, R[]>();
  records.forEach((record, index) => {
    const isFifo = record.eventSourceARN?.endsWith('.fifo') === true;
    const key = isFifo ? `group ${record.attributes?.MessageGroupId ?? ''}` : `message ${index}`;
    const group = byKey.get(key);
    if (group === undefined) byKey.set(key, [record]);
    else group.push(record);
  });
  return [...byKey.values()];
}

/** Runs a group in its order. After a message that is not done, the others are held back. */
export async function inOrder<R>(
  group: readonly R[],
  run: (record: R) => Promise<Result>,
  holdBack: (record: R) => Promise<Result> | Result,
): Promise<Result[]> {
  const results: Result[] = [];
  let stopped = false;
  for (const record of group) {
    const result: Result = stopped ? await holdBack(record) : await run(record);
    stopped ||= !isFinished(result.outcome);
    results.push(result);
  }
  return results;
}

/** Runs tasks, at most so many at a time. */
export async function atMost(limit: number, tasks: readonly (() => Promise<void>)[]): Promise<void> {
  const waiting = [...tasks];
  const worker = async (): Promise<void> => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) await task();
  };
  await Promise.all(Array.from({ length: Math.min(limit, tasks.length) }, worker));
}
