// The dispatcher: the function that hands each question on the queue to the agent.

import { Duration } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { AGENT_RECEIVES, type AgentCall, CALL, dispatchTimeout } from '../common/agent-queue';
import { type Bounds, checkWithin } from '../common/limits';
import { type AgentFunctionProps, agentFunction } from './function';
import type { SlackAgentProps } from './props';

/** How often a question may be tried. */
export const MAX_ATTEMPTS: Bounds = { least: 1, most: 100 };

/** When a question may be given up at the latest: a day before the queue would delete it. */
export const GIVE_UP_SECONDS: Bounds = { least: 1, most: 13 * 86_400 };

/** What Lambda takes of an event source mapping. Larger batches would need a window in which they are gathered. */
export const DISPATCH_CONCURRENCY: Bounds = { least: 2, most: 1000 };
export const BATCH_SIZE: Bounds = { least: 1, most: 10 };

/** The value of WHO_MAY_ASK: members, and whoever else may ask. */
export function whoMayAsk(alsoAnswers: readonly string[] = []): string {
  return ['members', ...alsoAnswers].join(',');
}

/** An agent: its runtime, and the endpoint that the dispatcher calls. */
export interface AgentTarget {
  readonly runtimeArn: string;
  /** The endpoint's name. */
  readonly qualifier: string;
  readonly endpointArn: string;
}

export interface AgentDispatchProps
  extends AgentFunctionProps,
    AgentCall,
    Pick<SlackAgentProps, 'agentEvents' | 'alsoAnswers' | 'maxAttempts' | 'giveUpAfter' | 'batchSize' | 'maxConcurrency'> {
  /** The agent that receives the questions. */
  readonly agent: AgentTarget;
  /** The function `agent-settle`, which the dispatcher invokes. */
  readonly settle: lambda.IFunction;
  /**
   * The queue whose messages are dispatched. Its visibility timeout must be at least the function's time-out
   * (`dispatchVisibility` is the recommended one), and it must not give a message up by itself (`AGENT_RECEIVES`).
   */
  readonly queue: sqs.IQueue;
  /** The queue's dead-letter queue. The dispatcher sends the messages there that it gives up. */
  readonly deadLetterQueue: sqs.IQueue;
  /** The table of the work records, whose ids begin with `RECORD_PREFIX`: the ingress's, or that of two regions. */
  readonly table: dynamodb.ITable;
  /** What the conversation of a direct message is: the ingress's value. @default 'channel' */
  readonly dmConversation?: 'channel' | 'thread';
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
    const isHarness = agent.runtimeArn.includes(':harness/');
    check(!isHarness || agentProtocol === 'plain', 'a harness knows nothing of work records: agentProtocol must be plain');
    check(!isHarness || props.agentEvents !== 'all', 'a harness is told the words of a question: agentEvents must be questions');

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
      receives === undefined || receives >= AGENT_RECEIVES,
      `the queue gives a message up after ${receives} receives, and a question that only waits is received too: ` +
        `maxReceiveCount must be ${AGENT_RECEIVES}`,
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
        WHO_MAY_ASK: whoMayAsk(props.alsoAnswers),
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
    own.grantMessages();
    // IAM checks a call with a qualifier against both ARNs. A harness is called without one, and needs both actions.
    if (isHarness) own.grant(['bedrock-agentcore:InvokeHarness', 'bedrock-agentcore:InvokeAgentRuntime'], [agent.runtimeArn]);
    else own.grant(['bedrock-agentcore:InvokeAgentRuntime'], [agent.runtimeArn, agent.endpointArn]);
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
