// The dispatcher: the function that hands each event on the queue to the agent.

import { Duration, type RemovalPolicy, Validations } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** The ids of the dispatcher's records in the ingress's table begin with this. */
export const RECORD_PREFIX = 'dispatch#';

/**
 * The id that the dispatcher's first call to the table names. There is no such record: the call only opens the
 * connection.
 */
export const WARM_UP_KEY = 'warm-up';

/** The default time within which the agent must accept an event. */
export const AGENT_TIMEOUT = Duration.seconds(45);

/** The time that an invocation needs besides the agent's: for the records, and for putting off an event. */
const RESERVE = Duration.seconds(10);

/**
 * How often an event may be received before SQS moves it to the dead-letter queue, on a queue that feeds a dispatcher.
 * An event that is put off stays on the queue; with a back-off of up to 15 minutes, these are receives for more than a
 * day.
 */
export const MAX_RECEIVE_COUNT = 100;

/**
 * The events that control a conversation, for a queue that feeds a dispatcher. A deletion is among them, so that it
 * reaches the agent while the agent still works on the deleted message. Other consumers want it after the message.
 */
export const CONTROL_EVENTS = ['agent_session_stopped', 'message_deleted'];

/** The longest time that SQS can keep a message. */
const MAX_RETENTION = Duration.days(14);

/** Returns the dispatcher's time-out: a minute, or more if the agent may take longer than a minute allows. */
export function dispatchTimeout(agentTimeout = AGENT_TIMEOUT): Duration {
  return Duration.seconds(Math.max(60, agentTimeout.toSeconds() + RESERVE.toSeconds()));
}

/**
 * Returns the visibility timeout that Lambda recommends for a queue that feeds a function: six times the function's
 * time-out.
 */
export function dispatchVisibility(agentTimeout?: Duration): Duration {
  return Duration.seconds(6 * dispatchTimeout(agentTimeout).toSeconds());
}

/** An agent: its runtime, and the endpoint that the dispatcher calls. */
export interface AgentTarget {
  readonly runtimeArn: string;
  /** The endpoint's name. */
  readonly qualifier: string;
  readonly endpointArn: string;
}

export interface AgentDispatchProps {
  /** The code of `agent-dispatch`, built for `architecture`. */
  readonly code: lambda.Code;
  /** @default ARM_64 */
  readonly architecture?: lambda.Architecture;
  /** The agent that receives the events. */
  readonly agent: AgentTarget;
  /**
   * The queue whose events are dispatched. Its visibility timeout must be at least the function's time-out;
   * `dispatchVisibility` is the recommended one.
   */
  readonly queue: sqs.IQueue;
  /** The queue's dead-letter queue. The dispatcher sends the events there that it gives up. */
  readonly deadLetterQueue: sqs.IQueue;
  /** The ingress's table. The dispatcher keeps its records there too, under ids that begin with `RECORD_PREFIX`. */
  readonly table: dynamodb.ITable;
  /** The time within which the agent must accept an event, at most 890 s. @default 45 seconds */
  readonly agentTimeout?: Duration;
  /**
   * The function's time-out, at least 10 s longer than `agentTimeout`.
   * @default a minute, or more if `agentTimeout` needs it
   */
  readonly timeout?: Duration;
  /**
   * How long the record of a dispatched event is kept.
   * @default a day longer than the queue keeps a message
   */
  readonly dedupTtl?: Duration;
  /** The number of receives, 1 to 100, after which a failure of the agent is final. @default 8, a quarter of an hour */
  readonly maxAttempts?: number;
  /**
   * The number of events in one invocation.
   * @default 1 from a FIFO queue, so that an event that waits behind one that fails is not received with it, and its
   * receives count its own attempts only; 10 from a standard queue, the number that the dispatcher serves at the same
   * time
   */
  readonly batchSize?: number;
  /**
   * The number of invocations, 2 to 1000, that the queue may start at the same time.
   * @default no limit but the account's
   */
  readonly maxConcurrency?: number;
  /** The function's `RUST_LOG`. @default 'info' */
  readonly logLevel?: string;
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
}

/** A function that hands each event on the queue to the agent once. Only the queue invokes it. */
export class AgentDispatch extends Construct {
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, props: AgentDispatchProps) {
    super(scope, id);
    const { agent, queue, deadLetterQueue, table } = props;
    const agentTimeout = props.agentTimeout ?? AGENT_TIMEOUT;
    const timeout = props.timeout ?? dispatchTimeout(agentTimeout);
    const maxAttempts = props.maxAttempts ?? 8;
    const known = resourceOf(queue);
    const retention = known ? Duration.seconds(known.messageRetentionPeriod ?? 4 * 86400) : MAX_RETENTION;
    const dedupTtl = props.dedupTtl ?? retention.plus(Duration.days(1));

    check(agentTimeout.toSeconds() >= 1 && agentTimeout.toSeconds() <= 890, 'agentTimeout must be from 1 s to 890 s');
    check(
      timeout.toSeconds() >= agentTimeout.toSeconds() + RESERVE.toSeconds(),
      'timeout must be 10 s longer than agentTimeout, or Lambda kills an invocation while the agent may still answer',
    );
    check(
      !known || (known.visibilityTimeout ?? 30) >= timeout.toSeconds(),
      "the queue's visibility timeout is shorter than the function's time-out: Lambda refuses that",
    );
    check(maxAttempts >= 1 && maxAttempts <= 100, 'maxAttempts must be from 1 to 100');
    const receives = (queue as Partial<sqs.Queue>).deadLetterQueue?.maxReceiveCount;
    check(
      receives === undefined || receives > maxAttempts,
      `the queue gives a message up after ${receives} receives, before the dispatcher would (maxAttempts ${maxAttempts})`,
    );
    check(queue.fifo === deadLetterQueue.fifo, 'the queue and its dead-letter queue must be of the same type');

    const logGroup = new logs.LogGroup(this, 'Log', {
      retention: props.logRetention,
      removalPolicy: props.removalPolicy,
    });
    const role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what the dispatcher may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const grant = (actions: string[], resources: string[], conditions?: iam.Conditions) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
    // The dispatcher's own records only: it can neither read nor change the ingress's records and parked events.
    grant(['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'], [table.tableArn], {
      'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [`${RECORD_PREFIX}*`, WARM_UP_KEY] },
    });
    // Lambda receives and deletes messages with this role. The function itself only changes their visibility.
    grant(
      ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ChangeMessageVisibility'],
      [queue.queueArn],
    );
    grant(['sqs:GetQueueAttributes', 'sqs:SendMessage'], [deadLetterQueue.queueArn]);
    // IAM checks a call with a qualifier against both ARNs.
    grant(['bedrock-agentcore:InvokeAgentRuntime'], [agent.runtimeArn, agent.endpointArn]);
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]);

    this.function = new lambda.Function(this, 'Function', {
      description: 'slack-ingress: hands the events on the queue to the agent, each once',
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: props.architecture ?? lambda.Architecture.ARM_64,
      handler: 'bootstrap',
      code: props.code,
      memorySize: 256,
      timeout,
      role,
      logGroup,
      tracing: lambda.Tracing.ACTIVE,
      environment: {
        AGENT_RUNTIME_ARN: agent.runtimeArn,
        AGENT_RUNTIME_QUALIFIER: agent.qualifier,
        AGENT_TIMEOUT_SECONDS: String(agentTimeout.toSeconds()),
        DEDUP_STORE: `dynamodb:${table.tableName}`,
        DEDUP_TTL_SECONDS: String(dedupTtl.toSeconds()),
        EVENT_QUEUE: queue.queueUrl,
        DEAD_LETTER_QUEUE: deadLetterQueue.queueUrl,
        MAX_ATTEMPTS: String(maxAttempts),
        RUST_LOG: props.logLevel ?? 'info',
      },
    });
    // The CDK's SqsEventSource would grant more than Lambda calls.
    new lambda.EventSourceMapping(this, 'EventSource', {
      target: this.function,
      eventSourceArn: queue.queueArn,
      batchSize: props.batchSize ?? (queue.fifo ? 1 : 10),
      maxConcurrency: props.maxConcurrency,
      // With partial batch responses, an event that is put off does not bring back the other events of its batch.
      reportBatchItemFailures: true,
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'X-Ray: PutTraceSegments and PutTelemetryRecords cannot be limited to resources.',
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
