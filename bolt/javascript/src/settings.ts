import { SlackIngressBoltError } from './errors';
import type { OAuthOptions } from './installer';
import { SLACK_ORIGINS } from './response-url';
import type { SqsRecord } from './sqs';

export interface SqsReceiverOptions extends OAuthOptions {
  /** The guard's DynamoDB table. Without it (or `BOLT_TABLE`) there is no guard, and every redelivery runs the listeners. */
  table?: string;
  /** Whether the lines of the log are metrics as well (`BOLT_METRICS=off`). On if absent. */
  metrics?: boolean;
  /** How many messages are worked on at once (`BOLT_CONCURRENCY`). 10 if absent. */
  concurrency?: number;
  /** Only for the worker: the queue's URL. `start` then polls it. `start({ queueUrl })` does the same. */
  queueUrl?: string;
  /**
   * Only for the worker: for how many seconds it has a message (`BOLT_LEASE_SECONDS`). It makes that longer at every third of
   * it; when the process is killed, the message comes again after it. 90 if absent, from 3 to 36000.
   */
  leaseSeconds?: number;
  /** What goes into the listeners' `context`, as in Bolt's own receivers. */
  // As in Bolt's own receivers
  customPropertiesExtractor?: (record: SqsRecord) => Record<string, any>;
  /** Where a line of the log goes. To standard output if absent. */
  writeLog?: (line: string) => void;
  /** Where a `response_url` may be, for a test with a stand-in of Slack. Slack's and GovSlack's if absent. */
  responseUrlOrigins?: readonly string[];
}

export interface Settings {
  table: string | undefined;
  metrics: boolean;
  concurrency: number;
  leaseSeconds: number;
  origins: readonly string[];
}

/** From options, environment variables and defaults. An option counts before a variable, and an empty variable is none. */
export function settingsOf(options: SqsReceiverOptions, environment: NodeJS.ProcessEnv = process.env): Settings {
  const variable = (name: string): string | undefined => environment[name] || undefined;
  const metrics = variable('BOLT_METRICS');
  if (metrics !== undefined && metrics !== 'on' && metrics !== 'off') {
    throw new SlackIngressBoltError('BOLT_METRICS is neither "on" nor "off"');
  }
  return {
    table: options.table || variable('BOLT_TABLE'),
    metrics: options.metrics ?? metrics !== 'off',
    concurrency: whole('concurrency (BOLT_CONCURRENCY)', options.concurrency ?? variable('BOLT_CONCURRENCY') ?? 10, 1, 1000),
    leaseSeconds: whole('leaseSeconds (BOLT_LEASE_SECONDS)', options.leaseSeconds ?? variable('BOLT_LEASE_SECONDS') ?? 90, 3, 36_000),
    origins: options.responseUrlOrigins ?? SLACK_ORIGINS,
  };
}

function whole(name: string, value: number | string, least: number, most: number): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < least || number > most) {
    throw new SlackIngressBoltError(`${name} is not a whole number from ${least} to ${most}`);
  }
  return number;
}
