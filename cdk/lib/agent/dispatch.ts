// The dispatcher: the function that hands each question on the queue to the agent.

import { Duration } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { type Limits, checkWithin } from '../common/limits';
import { type AgentFunctionProps, agentFunction } from './function';

/**
 * `work`: the agent claims a question and answers through agent-settle. `plain`: the agent knows nothing of that, and
 * what it answers to the call is the answer.
 */
export type AgentProtocol = 'work' | 'plain';

/** The times of a call of the agent, in seconds, by its protocol. With `plain` a call lasts as long as the agent thinks. */
const CALL = {
  // The default; the longest; and what the function needs besides, for the records and, with `plain`, for agent-settle.
  work: { timeout: 45, longest: 885, reserve: 11 },
  plain: { timeout: 840, longest: 840, reserve: 42 },
} as const;

/** The longest time of a call in seconds, by its protocol. */
export const LONGEST_CALL = { work: CALL.work.longest, plain: CALL.plain.longest };

/** How often a question may be tried. */
export const MAX_ATTEMPTS: Limits = { least: 1, most: 100 };

/** When a question may be given up at the latest: a day before the queue would delete it. */
export const GIVE_UP_SECONDS: Limits = { least: 1, most: 13 * 86_400 };

/** What Lambda takes of an event source mapping. Larger batches would need a window in which they are gathered. */
export const DISPATCH_CONCURRENCY: Limits = { least: 2, most: 1000 };
export const BATCH_SIZE: Limits = { least: 1, most: 10 };

/**
 * How often a message may be received before SQS moves it to the dead-letter queue, on a queue that feeds a dispatcher:
 * the most that SQS allows. A question that waits for its turn, or for AgentCore, is received again and again, and only
 * the dispatcher decides when it is given up.
 */
export const MAX_RECEIVE_COUNT = 1000;

/** How long a queue that feeds a dispatcher keeps a message: the longest that SQS allows. */
export const RETENTION = Duration.days(14);

/**
 * The events that control a conversation, for a queue that feeds a dispatcher: a stop, and a deletion, which ends what
 * was asked by the message that is gone. Neither waits behind the question that it ends.
 */
export const CONTROL_EVENTS = ['agent_session_stopped', 'message_deleted'];

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
   * The function's time-out, at least 11 s longer than `agentTimeout`, with `plain` 42 s.
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

/** An agent: its runtime, and the endpoint that the dispatcher calls. */
export interface AgentTarget {
  readonly runtimeArn: string;
  /** The endpoint's name. */
  readonly qualifier: string;
  readonly endpointArn: string;
}

export interface AgentDispatchProps extends AgentFunctionProps, AgentCall {
  /** The agent that receives the questions. */
  readonly agent: AgentTarget;
  /** The function `agent-settle`, which the dispatcher invokes. */
  readonly settle: lambda.IFunction;
  /**
   * The queue whose messages are dispatched. Its visibility timeout must be at least the function's time-out
   * (`dispatchVisibility` is the recommended one), and it must not give a message up by itself (`MAX_RECEIVE_COUNT`).
   */
  readonly queue: sqs.IQueue;
  /** The queue's dead-letter queue. The dispatcher sends the messages there that it gives up. */
  readonly deadLetterQueue: sqs.IQueue;
  /** The ingress's table. The work records are there too, under ids that begin with `RECORD_PREFIX`. */
  readonly table: dynamodb.ITable;
  /** What the conversation of a direct message is: the ingress's value. @default 'channel' */
  readonly dmConversation?: 'channel' | 'thread';
  /** `questions`: the agent is called for what asks something. `all`: for every message. @default 'questions' */
  readonly agentEvents?: 'questions' | 'all';
  /** How often a question is tried, 1 to 100. Only an agent that claimed it has tried. @default 3 */
  readonly maxAttempts?: number;
  /** How long after its first receive a question is tried, or its answer posted, at most 13 days. @default 24 hours */
  readonly giveUpAfter?: Duration;
  /**
   * The number of messages in one invocation, 1 to 10.
   * @default 1: Lambda deletes what is done only when the whole batch is, so a stop, or a question that is none, would
   * wait for an agent that starts
   */
  readonly batchSize?: number;
  /**
   * The number of invocations, 2 to 1000, that the queue may start at the same time. A stop needs one too, and waits for
   * it when all are busy.
   * @default no limit but the account's
   */
  readonly maxConcurrency?: number;
}

/** A function that hands each question on the queue to the agent. Only the queue invokes it. */
export class AgentDispatch extends Construct {
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, props: AgentDispatchProps) {
    super(scope, id);
    const { agent, settle, queue, deadLetterQueue, table, agentProtocol = 'work' } = props;
    const { longest, reserve, timeout: usual } = CALL[agentProtocol];
    const agentTimeout = props.agentTimeout ?? Duration.seconds(usual);
    const timeout = dispatchTimeout(props);
    const maxAttempts = props.maxAttempts ?? 3;
    const giveUpAfter = props.giveUpAfter ?? Duration.days(1);
    const known = resourceOf(queue);

    check(
      agentTimeout.toSeconds() >= 1 && agentTimeout.toSeconds() <= longest,
      `agentTimeout must be from 1 s to ${longest} s with the protocol "${agentProtocol}"`,
    );
    check(
      timeout.toSeconds() >= agentTimeout.toSeconds() + reserve,
      `timeout must be ${reserve} s longer than agentTimeout, or Lambda kills an invocation while the agent may still answer`,
    );
    check(
      !known || (known.visibilityTimeout ?? 30) >= timeout.toSeconds(),
      "the queue's visibility timeout is shorter than the function's time-out: Lambda refuses that",
    );
    checkWithin('AgentDispatch: maxAttempts', maxAttempts, MAX_ATTEMPTS);
    checkWithin('AgentDispatch: giveUpAfter, in seconds,', giveUpAfter.toSeconds(), GIVE_UP_SECONDS);
    checkWithin('AgentDispatch: maxConcurrency', props.maxConcurrency, DISPATCH_CONCURRENCY);
    checkWithin('AgentDispatch: batchSize', props.batchSize, BATCH_SIZE);
    check(
      !known || (known.messageRetentionPeriod ?? 4 * 86400) > giveUpAfter.toSeconds(),
      'the queue deletes a message before the dispatcher gives it up (giveUpAfter): give the queue a longer retention',
    );
    const receives = (queue as Partial<sqs.Queue>).deadLetterQueue?.maxReceiveCount;
    check(
      receives === undefined || receives >= MAX_RECEIVE_COUNT,
      `the queue gives a message up after ${receives} receives, and a question that only waits is received too: ` +
        `maxReceiveCount must be ${MAX_RECEIVE_COUNT}`,
    );
    check(queue.fifo === deadLetterQueue.fifo, 'the queue and its dead-letter queue must be of the same type');

    const own = agentFunction(this, props, {
      binary: 'agent-dispatch',
      name: 'the dispatcher',
      description: 'slack-ingress: hands each question on the queue to the agent',
      timeout,
      environment: {
        AGENT_RUNTIME_ARN: agent.runtimeArn,
        AGENT_RUNTIME_QUALIFIER: agent.qualifier,
        AGENT_PROTOCOL: agentProtocol,
        AGENT_EVENTS: props.agentEvents ?? 'questions',
        AGENT_TIMEOUT_SECONDS: String(agentTimeout.toSeconds()),
        SETTLE_FUNCTION: settle.functionArn,
        DEDUP_STORE: `dynamodb:${table.tableName}`,
        EVENT_QUEUE: queue.queueUrl,
        DEAD_LETTER_QUEUE: deadLetterQueue.queueUrl,
        DM_CONVERSATION: props.dmConversation ?? 'channel',
        MAX_ATTEMPTS: String(maxAttempts),
        GIVE_UP_AFTER_SECONDS: String(giveUpAfter.toSeconds()),
      },
    });
    this.function = own.function;
    own.grantRecords(table);
    // Lambda receives and deletes messages with this role. The function itself only changes their visibility.
    own.grant(
      ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ChangeMessageVisibility'],
      [queue.queueArn],
    );
    own.grant(['sqs:GetQueueAttributes', 'sqs:SendMessage'], [deadLetterQueue.queueArn]);
    // IAM checks a call with a qualifier against both ARNs.
    own.grant(['bedrock-agentcore:InvokeAgentRuntime'], [agent.runtimeArn, agent.endpointArn]);
    own.grant(['lambda:InvokeFunction'], [settle.functionArn]);
    // The CDK's SqsEventSource would grant more than Lambda calls.
    new lambda.EventSourceMapping(this, 'EventSource', {
      target: this.function,
      eventSourceArn: queue.queueArn,
      batchSize: props.batchSize ?? 1,
      maxConcurrency: props.maxConcurrency,
      // With partial batch responses, a message that stays on the queue keeps its own visibility, and an error of the
      // function is an error of the program and never comes of a message.
      reportBatchItemFailures: true,
    });
  }
}

/** Returns the queue's CloudFormation resource, or nothing for an imported queue, whose properties are unknown. */
function resourceOf(queue: sqs.IQueue): sqs.CfnQueue | undefined {
  const { defaultChild } = queue.node;
  return defaultChild instanceof sqs.CfnQueue ? defaultChild : undefined;
}

function check(holds: boolean, problem: string): void {
  if (!holds) throw new Error(`AgentDispatch: ${problem}`);
}
