/** This package cannot do what it is asked to: a setting or something in the app is not as it should be. */
export class SlackIngressBoltError extends Error {
  override readonly name = 'SlackIngressBoltError';
}

/** The message is none of the ingress's, so nothing runs and it stays on the queue until that gives it up. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

/**
 * An error in a line of the log: its class, and the codes that Slack, Bolt, Node.js or AWS gave it. Not its message, which may
 * quote what somebody wrote; that is in the line of Bolt's own logger, or where the app's error handler puts it.
 */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return `not an Error: ${typeof error}`;
  if (error instanceof MalformedMessage || error instanceof SlackIngressBoltError) return `${error.name}: ${error.message}`;
  const { code, data, cause } = error as { code?: unknown; data?: { error?: unknown }; cause?: { code?: unknown } };
  return [error.name, code, data?.error, cause?.code].filter((part) => typeof part === 'string').join(' ');
}
