/** This package cannot do what it is asked to: a setting or something in the app is not as it should be. */
export class SlackIngressBoltError extends Error {
  override readonly name = 'SlackIngressBoltError';
}

/** The message is none of the ingress's, so nothing runs and it stays on the queue until that gives it up. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

/**
 * An error in a line of the log: its class and its message, cut to 500 characters. The stack is in the line that Bolt or the
 * app's own error handler writes.
 */
export function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : `not an Error: ${typeof error}`;
  return text.length > 500 ? `${text.slice(0, 500)}…` : text;
}
