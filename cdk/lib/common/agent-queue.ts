// What a queue must be that feeds an agent: the ingress creates it, and the dispatcher is fed by it.

import { Duration } from 'aws-cdk-lib';

/**
 * `work`: the agent claims a question and answers through agent-settle. `plain`: the agent knows nothing of that, and
 * what it answers to the call is the answer.
 */
export type AgentProtocol = 'work' | 'plain';

/** The times of a call of the agent, in seconds, by its protocol. With `plain` a call lasts as long as the agent thinks. */
export const CALL = {
  // The default; the longest; and what the function needs besides, for the records and, with `plain`, for agent-settle.
  work: { timeout: 45, longest: 885, reserve: 14 },
  plain: { timeout: 840, longest: 840, reserve: 45 },
} as const;

/** The longest time of a call in seconds, by its protocol. */
export const LONGEST_CALL = { work: CALL.work.longest, plain: CALL.plain.longest };

/**
 * How often a message may be received before SQS moves it to the dead-letter queue, on a queue that feeds a dispatcher:
 * the most that SQS allows. A question that waits for its turn, or for AgentCore, is received again and again, and only
 * the dispatcher decides when it is given up.
 */
export const AGENT_RECEIVES = 1000;

/** How long a queue that feeds a dispatcher keeps a message: the longest that SQS allows. */
export const AGENT_RETENTION = Duration.days(14);

/**
 * The events that control a conversation, for a queue that feeds a dispatcher: a stop, and a deletion, which ends what
 * was asked by the message that is gone. Neither waits behind the question that it ends.
 */
export const AGENT_CONTROL_EVENTS = ['agent_session_stopped', 'message_deleted'];

/** How the agent is called. */
export interface AgentCall {
  /** @default 'work' */
  readonly agentProtocol?: AgentProtocol;
  /**
   * The time that a call of the agent may take. With `work` it is the time within which the agent must claim the
   * question, 1 to 885 s; with `plain` the time within which it must answer, 1 to 840 s.
   * @default 45 seconds; with `plain` 14 minutes
   */
  readonly agentTimeout?: Duration;
  /**
   * The function's time-out, at least 14 s longer than `agentTimeout`, with `plain` 45 s.
   * @default a minute, or more if `agentTimeout` needs it
   */
  readonly timeout?: Duration;
}

/** Returns the dispatcher's time-out: a minute, or more if a call of the agent may take longer than a minute allows. */
export function dispatchTimeout({ agentProtocol = 'work', agentTimeout, timeout: given }: AgentCall = {}): Duration {
  if (given) return given;
  const { timeout, reserve } = CALL[agentProtocol];
  return Duration.seconds(Math.max(60, (agentTimeout?.toSeconds() ?? timeout) + reserve));
}

/**
 * Returns the visibility timeout that Lambda recommends for a queue that feeds a function: six times the function's
 * time-out. It counts only until the dispatcher sets the message's own.
 */
export function dispatchVisibility(call?: AgentCall): Duration {
  return Duration.seconds(6 * dispatchTimeout(call).toSeconds());
}
