/**
 * One line of JSON for each message, which is also its metric: CloudWatch reads it from the log (Embedded Metric Format), so
 * that nobody waits for a call to CloudWatch. No line holds a text of a message, a token or a `response_url`.
 */
import type { Shown } from './response-url';

export type Outcome =
  | 'done' | 'nobody_listens' | 'duplicate' | 'in_flight' | 'failed' | 'held_back' | 'malformed';

/** The outcomes after which a message leaves the queue. */
export const isFinished = (outcome: Outcome): boolean =>
  outcome === 'done' || outcome === 'nobody_listens' || outcome === 'duplicate';

export interface MessageLine {
  event_id: string;
  kind: string | undefined;
  type: string | undefined;
  outcome: Outcome;
  duration_ms: number;
  /** How often SQS has given out the message. */
  receive_count: number | undefined;
  error?: string | undefined;
  /** What became of what a listener gave to `ack()`; absent if that was nothing. `too_late`: Slack needed it at once. */
  ack?: Shown | 'too_late' | undefined;
}

const NAMESPACE = 'SlackIngressBolt';

const METRICS: Record<Outcome, string> = {
  done: 'Done', nobody_listens: 'NobodyListens', duplicate: 'Duplicate', in_flight: 'InFlight', failed: 'Failed',
  held_back: 'HeldBack', malformed: 'Malformed',
};

const LEVELS: Partial<Record<Outcome, string>> = { failed: 'ERROR', malformed: 'ERROR', held_back: 'WARN' };

// Not `console.log`: Lambda would put a time stamp in front, and the line would be no JSON.
const toStandardOutput = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

export interface LogSettings {
  /** Whether a line is a metric as well. */
  metrics: boolean;
  /** Where a line goes, without its line feed. */
  write?: ((line: string) => void) | undefined;
}

export class Log {
  readonly #write: (line: string) => void;
  readonly #metrics: boolean;
  readonly #said = new Set<string>();

  constructor(settings: LogSettings) {
    this.#write = settings.write ?? toStandardOutput;
    this.#metrics = settings.metrics;
  }

  message(line: MessageLine): void {
    const fields = { level: LEVELS[line.outcome] ?? 'INFO', ...line };
    this.#write(JSON.stringify(this.#metrics ? { ...fields, ...metrics(line) } : fields));
  }

  warn(message: string, fields: Record<string, unknown> = {}): void {
    this.#write(JSON.stringify({ level: 'WARN', message, ...fields }));
  }

  info(message: string, fields: Record<string, unknown> = {}): void {
    this.#write(JSON.stringify({ level: 'INFO', message, ...fields }));
  }

  /** For what is true of the whole process, and need not be said for every message. */
  warnOnce(message: string): void {
    if (this.#said.has(message)) return;
    this.#said.add(message);
    this.warn(message);
  }
}

function metrics(line: MessageLine): Record<string, unknown> {
  const counts = [METRICS[line.outcome], ...(line.ack === undefined || line.ack === 'sent' ? [] : ['AckLost'])];
  return {
    _aws: {
      Timestamp: Date.now(),
      CloudWatchMetrics: [{
        Namespace: NAMESPACE,
        Dimensions: [['FunctionName']],
        Metrics: [...counts.map((Name) => ({ Name, Unit: 'Count' })), { Name: 'Duration', Unit: 'Milliseconds' }],
      }],
    },
    FunctionName: process.env.AWS_LAMBDA_FUNCTION_NAME ?? 'slack-ingress-bolt',
    ...Object.fromEntries(counts.map((name) => [name, 1])),
    Duration: line.duration_ms,
  };
}
