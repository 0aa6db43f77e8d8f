import { MalformedMessage } from './errors';
import type { SqsRecord } from './sqs';

export type Kind = 'event' | 'command' | 'interaction';

/** What is known of a message before Bolt sees it. `docs/reference.md` of slack-ingress describes the attributes. */
export interface Request {
  /** The id under which the ingress recorded the event. Undefined if a message comes from somewhere else. */
  eventId: string | undefined;
  kind: Kind;
  /** The type of an event or an interaction, or the command. */
  type: string;
  /** What Bolt would have parsed from Slack's HTTP request. */
  // It is what Slack sends, and Bolt's own type of it is the same
  body: Record<string, any>;
  retryNum: number | undefined;
  retryReason: string | undefined;
  /** When the ingress got the request, in milliseconds since the Unix epoch. */
  receivedAt: number | undefined;
}

const KINDS: readonly string[] = ['event', 'command', 'interaction'] satisfies Kind[];

/** Throws a `MalformedMessage` if the message is none of the ingress's. */
export function readRequest(record: SqsRecord): Request {
  const kind = attribute(record, 'kind');
  if (kind === undefined || !KINDS.includes(kind)) throw new MalformedMessage('the attribute "kind" is unknown or missing');
  return {
    eventId: attribute(record, 'event_id'),
    kind: kind as Kind,
    type: attribute(record, 'type') ?? 'unknown',
    body: parseBody(record.body),
    retryNum: whole(attribute(record, 'retry_num')),
    retryReason: attribute(record, 'retry_reason'),
    receivedAt: whole(attribute(record, 'received_at')),
  };
}

/** An attribute that the ingress put on the message. An empty one is none. */
export function attribute(record: SqsRecord, name: string): string | undefined {
  return record.messageAttributes?.[name]?.stringValue || undefined;
}

/** Whether Bolt itself acknowledges it before any listener is asked. */
export function isAcknowledgedByBolt(request: Request): boolean {
  return request.body.event !== undefined && request.body.event?.type !== 'function_executed';
}

function whole(text: string | undefined): number | undefined {
  const number = Number.parseInt(text ?? '', 10);
  return Number.isNaN(number) ? undefined : number;
}

function parseBody(text: string): Record<string, unknown> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // The parser's message would quote the body.
    throw new MalformedMessage('the body is not JSON');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new MalformedMessage('the body is not a JSON object');
  }
  return body as Record<string, unknown>;
}
