import { Duration, type RemovalPolicy, Validations } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** What the dispatcher's records are called in the ingress's table. */
export const RECORD_PREFIX = 'dispatch#';

/** What its first call names, of which there is no record: it opens the connection and changes nothing. */
export const WARM_UP_KEY = 'warm-up';

/** How long the agent may take to take an event, unless told otherwise. */
export const AGENT_TIMEOUT = Duration.seconds(45);

/** What an invocation needs beside that: the records, and putting off what was not taken. */
const RESERVE = Duration.seconds(10);

/** What is put off stays on the queue for this many receives: a day and more of back-off that ends at 15 minutes. */
export const MAX_RECEIVE_COUNT = 100;

/** The longest that SQS keeps a message. */
const LONGEST_RETENTION = Duration.days(14);

/** The dispatcher's time-out: a minute, unless the agent may take longer than that allows. */
export function dispatchTimeout(agentTimeout = AGENT_TIMEOUT): Duration {
  return Duration.seconds(Math.max(60, agentTimeout.toSeconds() + RESERVE.toSeconds()));
}

/** What Lambda asks of a queue that feeds a function: six times the function's time-out. */
export function dispatchVisibility(agentTimeout?: Duration): Duration {
  return Duration.seconds(6 * dispatchTimeout(agentTimeout).toSeconds());
}

/** An agent's runtime, and the endpoint of it that is called. */
export interface AgentTarget {
  readonly runtimeArn: string;
  /** The endpoint's name. */
  readonly qualifier: string;
  readonly endpointArn: string;
}

export interface AgentDispatchProps {
  /** The function `agent-dispatch`, built for `architecture`. */
  readonly code: lambda.Code;
  /** @default ARM_64 */
  readonly architecture?: lambda.Architecture;
  /** What it hands events to. */
  readonly agent: AgentTarget;
  /** What feeds it. Its visibility time-out must be at least the function's time-out; `dispatchVisibility` is better. */
  readonly queue: sqs.IQueue;
  /** The queue's dead-letter queue: where the dispatcher puts what it gives up. */
  readonly deadLetterQueue: sqs.IQueue;
  /** The ingress's table: the dispatcher's records are beside the ingress's, under ids of their own. */
  readonly table: dynamodb.ITable;
  /** How long the agent may take to take an event, up to 890 s. @default 45 seconds */
  readonly agentTimeout?: Duration;
  /** At least 10 s more than `agentTimeout`. @default a minute, or as much more as `agentTimeout` asks for */
  readonly timeout?: Duration;
  /**
   * How long a dispatched event is remembered.
   * @default a day longer than the queue keeps a message
   */
  readonly dedupTtl?: Duration;
  /** Receives after which a failure of the agent is final, 1 to 100. @default 8: a quarter of an hour */
  readonly maxAttempts?: number;
  /**
   * Events for one invocation.
   * @default 1 from a FIFO queue: what waits behind a message that fails is not received with it, so that its receives
   * are its own attempts. 10 from a standard one: as many as the dispatcher serves side by side
   */
  readonly batchSize?: number;
  /** Invocations at once that the queue starts, 2 to 1000. @default the account's pool */
  readonly maxConcurrency?: number;
  /** `RUST_LOG`. @default 'info' */
  readonly logLevel?: string;
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
}

/** Hands each event on the queue to the agent, once: a function of its own, which only the queue calls. */
export class AgentDispatch extends Construct {
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, props: AgentDispatchProps) {
    super(scope, id);
    const { agent, queue, deadLetterQueue, table } = props;
    const agentTimeout = props.agentTimeout ?? AGENT_TIMEOUT;
    const timeout = props.timeout ?? dispatchTimeout(agentTimeout);
    const maxAttempts = props.maxAttempts ?? 8;
    const known = knownOf(queue);
    const retention = known ? Duration.seconds(known.messageRetentionPeriod ?? 4 * 86400) : LONGEST_RETENTION;
    const dedupTtl = props.dedupTtl ?? retention.plus(Duration.days(1));

    check(agentTimeout.toSeconds() >= 1 && agentTimeout.toSeconds() <= 890, 'agentTimeout is not from 1 s to 890 s');
    check(
      timeout.toSeconds() >= agentTimeout.toSeconds() + RESERVE.toSeconds(),
      'timeout is not 10 s longer than agentTimeout: an invocation would be killed while the agent may yet answer',
    );
    check(
      !known || (known.visibilityTimeout ?? 30) >= timeout.toSeconds(),
      "the queue's visibility time-out is shorter than the function's time-out: Lambda refuses that",
    );
    check(maxAttempts >= 1 && maxAttempts <= 100, 'maxAttempts is not from 1 to 100');
    const receives = (queue as Partial<sqs.Queue>).deadLetterQueue?.maxReceiveCount;
    check(
      receives === undefined || receives > maxAttempts,
      `the queue gives a message up after ${receives} receives, before the dispatcher would (maxAttempts ${maxAttempts})`,
    );
    check(queue.fifo === deadLetterQueue.fifo, 'the queue and its dead-letter queue are not of one type');

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
    // Its own records: those of the ingress, and what is parked, it can neither read nor change.
    grant(['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'], [table.tableArn], {
      'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [`${RECORD_PREFIX}*`, WARM_UP_KEY] },
    });
    // The first three are Lambda's, which receives and deletes with this role; putting off is the function's.
    grant(
      ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ChangeMessageVisibility'],
      [queue.queueArn],
    );
    grant(['sqs:GetQueueAttributes', 'sqs:SendMessage'], [deadLetterQueue.queueArn]);
    // A call with a qualifier is one on both.
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
    // Not the L2 event source, which grants more than is called.
    new lambda.EventSourceMapping(this, 'EventSource', {
      target: this.function,
      eventSourceArn: queue.queueArn,
      batchSize: props.batchSize ?? (queue.fifo ? 1 : 10),
      maxConcurrency: props.maxConcurrency,
      // One event that is put off does not bring back the others of its batch.
      reportBatchItemFailures: true,
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'X-Ray: PutTraceSegments and PutTelemetryRecords know no resources.',
    });
  }
}

/** What is known of a queue at synthesis: nothing, if it is imported. */
function knownOf(queue: sqs.IQueue): sqs.CfnQueue | undefined {
  const { defaultChild } = queue.node;
  return defaultChild instanceof sqs.CfnQueue ? defaultChild : undefined;
}

function check(holds: boolean, problem: string): void {
  if (!holds) throw new Error(`AgentDispatch: ${problem}`);
}
