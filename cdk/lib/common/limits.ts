// What AWS, and the functions themselves, take of the numbers that can be set. A number outside fails at synthesis, and not in
// the middle of a deployment or at the function's start.

import { Token } from 'aws-cdk-lib';

/** The least and the most that a number may be. */
export interface Bounds {
  readonly least: number;
  readonly most: number;
}

export const MEMORY_MB: Bounds = { least: 128, most: 10_240 };
/** With a concurrency of 0 a function never runs. */
export const RESERVED_CONCURRENCY: Bounds = { least: 1, most: Infinity };
/** With a rate or a burst of 0 no request is let through. */
export const THROTTLE_LIMITS: Bounds = { least: 1, most: Infinity };
export const VISIBILITY_SECONDS: Bounds = { least: 0, most: 12 * 3600 };
export const RETENTION_SECONDS: Bounds = { least: 60, most: 14 * 86_400 };
export const RECEIVE_COUNT: Bounds = { least: 1, most: 1000 };
/** src/config/parse.rs reads it, up to ten years. */
export const DEDUP_TTL_SECONDS: Bounds = { least: 1, most: 315_360_000 };
/** src/config/ingress.rs reads it, up to the time that Slack waits. */
export const ACK_BUDGET_MS: Bounds = { least: 100, most: 3000 };
/** With fewer write units DynamoDB starts no table. */
export const WARM_WRITE_UNITS: Bounds = { least: 4000, most: Infinity };

/** @throws Error if a number is given and outside; its name is in the message */
export function checkWithin(name: string, value: number | undefined, bounds: Bounds): void {
  const problem = value === undefined ? undefined : outside(value, bounds);
  if (problem !== undefined) throw new Error(`${name} ${problem}`);
}

/** Returns what is wrong with a number, behind its name: nothing if it is inside, or a token that is known later. */
export function outside(value: number, { least, most }: Bounds): string | undefined {
  if (Token.isUnresolved(value) || (value >= least && value <= most)) return undefined;
  return `must be ${most === Infinity ? `at least ${least}` : `from ${least} to ${most}`}, and is: ${value}`;
}

/**
 * A text that must be one of several. The compiler says so in TypeScript, and nobody in Python.
 *
 * @throws Error if a text is given and none of them; its name is in the message
 */
export function checkChoice(name: string, value: string | undefined, choices: readonly string[]): void {
  if (value === undefined || Token.isUnresolved(value) || choices.includes(value)) return;
  throw new Error(`${name} must be one of ${choices.join(', ')}, and is: ${value}`);
}
