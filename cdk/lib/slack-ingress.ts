import {
  Annotations,
  CfnDeletionPolicy,
  type CfnResource,
  Duration,
  Fn,
  RemovalPolicy,
  Stack,
  Validations,
} from 'aws-cdk-lib';
import type * as apigatewayv2 from 'aws-cdk-lib/aws-apigatewayv2';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { Alarms } from './alarms.ts';
import { IngressDashboard } from './dashboard.ts';
import { IngressHttpApi, PATHS } from './http-api.ts';
import { IngressMetrics } from './metrics.ts';
import { PARKED_INDEX, Redrive } from './redrive.ts';

/**
 * A little above Slack's 3 s and the ack budget, so that the function answers and is not killed; and no
 * more, for a lease ends 2 s after it, and until then Slack's retries are put off.
 */
export const FUNCTION_TIMEOUT = Duration.seconds(5);

/** Slack's last retry comes about six minutes after the first attempt, and can be replayed for five more. */
const LAST_RETRY_AFTER = Duration.seconds(690);

/** What can be set about an ingress. */
export interface SlackIngressProps {
  /** The function: a directory or zip with `bootstrap`, built for `architecture`. See `functionCode`. */
  readonly code: lambda.Code;

  /** The function that sends what is parked (`redrive`), of the same version as `code`. */
  readonly redriveCode: lambda.Code;

  /**
   * What `code` and `redriveCode` were built for.
   * @default ARM_64: cheaper by the millisecond, and as fast
   */
  readonly architecture?: lambda.Architecture;

  /**
   * Megabytes, and with them the share of a core.
   * @default 256
   */
  readonly memorySize?: number;

  /**
   * So many at once and no more; the rest is turned away with 429 or 500, and Slack asks again. It also sets
   * them aside, out of the account's pool.
   * @default the account's pool
   */
  readonly reservedConcurrentExecutions?: number;

  /**
   * What Slack posts to. A Function URL costs nothing of its own; it has no throttle (set
   * `reservedConcurrentExecutions`), no access log, and takes any path.
   * @default 'http-api'
   */
  readonly frontDoor?: 'http-api' | 'function-url';

  /**
   * Requests a second for the HTTP API, forged ones included; what is over it gets 429, and Slack asks again.
   * Slack itself sends at most 30,000 an hour for each workspace.
   * @default rate 200, burst 400
   */
  readonly throttle?: apigatewayv2.ThrottleSettings;

  /**
   * A topic in place of the queue; then there is no queue, and what subscribes to it has its own dead letters and
   * alarms. `code` and `redriveCode` must be built with the cargo feature `sns`. A FIFO topic's name ends in `.fifo`.
   * @default a queue
   */
  readonly topic?: sns.ITopic;

  /**
   * FIFO: the turns of one conversation keep their order, and a message that is sent twice within five minutes is
   * dropped by the queue (high-throughput mode). Standard: fair between workspaces, and the consumer must
   * de-duplicate. Changing it replaces the queue; the old one stays behind with what is on it.
   * @default 'fifo'
   */
  readonly queueType?: 'fifo' | 'standard';

  /**
   * How long a consumer has an event for itself. One that works longer extends it as it goes
   * (`ChangeMessageVisibility`, up to 12 hours from receipt).
   * @default 30 minutes: twice what a Lambda consumer can run
   */
  readonly visibilityTimeout?: Duration;

  /**
   * Receives before an event goes to the dead-letter queue.
   * @default 3: a run of an agent is expensive
   */
  readonly maxReceiveCount?: number;

  /**
   * Alarm when the oldest event on the queue, those at work included, is older than this.
   * @default 1 hour
   */
  readonly maxMessageAge?: Duration;

  /**
   * A secret whose text is Slack's signing secret, or, for several apps, a JSON object from app id to signing secret. If it has a key of its own, import it with that key, and see
   * that the key's policy leaves the rest to IAM.
   * @default one is created, with a random value for you to replace (docs/slack-app.md)
   */
  readonly signingSecret?: secretsmanager.ISecret;

  /**
   * How long an event id is remembered. With Slack's Delayed Events: 25 hours.
   * @default 1 hour
   */
  readonly dedupTtl?: Duration;

  /**
   * `event_id`, or `message`: one message under several event ids is one event.
   * @default 'event_id'
   */
  readonly dedupKey?: 'event_id' | 'message';

  /**
   * Other bots' messages, and one's own: `drop` all, `own` only drops this app's, `forward` all.
   * @default 'drop'
   */
  readonly botEvents?: 'drop' | 'own' | 'forward';

  /**
   * After this much of an invocation the answer is 503. At most 3 s, where Slack gives up.
   * @default 2.5 seconds
   */
  readonly ackBudget?: Duration;

  /**
   * `RUST_LOG`, such as `warn`.
   * @default 'info'
   */
  readonly logLevel?: string;

  /**
   * How long the function's log and the access log are kept.
   * @default one month
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * Where alarms are sent.
   * @default nowhere
   */
  readonly alarmTopic?: sns.ITopic;

  /**
   * Whether there is a dashboard.
   * @default true
   */
  readonly dashboard?: boolean;

  /**
   * What becomes of table, queues, secret and logs when they leave the stack. With DESTROY events that wait on
   * the queue or are parked in the table are lost with it. (A queue or table that an update replaces always stays.)
   * @default DESTROY
   */
  readonly removalPolicy?: RemovalPolicy;
}

/**
 * Slack's events, each once, on a queue: HTTP API or Function URL, the function, the table of event ids and parked
 * events, the function that redrives these, the queue with its dead-letter queue, the signing secret, alarms and a
 * dashboard.
 */
export class SlackIngress extends Construct {
  /** `https://…`: Slack's request URL for events. */
  readonly eventsUrl: string;
  /** Slack's request URL for slash commands. */
  readonly commandsUrl: string;
  /** Slack's request URL for interactivity. */
  readonly interactionsUrl: string;
  readonly function: lambda.Function;
  /** Sends what is parked, each minute. */
  readonly redrive: lambda.Function;
  /** Event ids, for `dedupTtl`; and events that the queue did not take, until it does. */
  readonly table: dynamodb.Table;
  /** What the consumer reads, unless there is a topic. Give it `queue.grantConsumeMessages(consumer)`. */
  readonly queue?: sqs.Queue;
  readonly deadLetterQueue?: sqs.Queue;
  readonly signingSecret: secretsmanager.ISecret;
  readonly metrics: IngressMetrics;
  readonly alarms: cloudwatch.Alarm[];
  readonly dashboard?: cloudwatch.Dashboard;

  constructor(scope: Construct, id: string, props: SlackIngressProps) {
    super(scope, id);
    const ackBudget = props.ackBudget ?? Duration.millis(2500);
    const dedupTtl = props.dedupTtl ?? Duration.hours(1);
    const maxMessageAge = props.maxMessageAge ?? Duration.hours(1);
    const logRetention = props.logRetention ?? logs.RetentionDays.ONE_MONTH;
    const removalPolicy = props.removalPolicy ?? RemovalPolicy.DESTROY;

    check(ackBudget.toMilliseconds() >= 100 && ackBudget.toMilliseconds() <= 3000, 'ackBudget is not from 100 ms to 3 s');
    if (dedupTtl.toSeconds() < LAST_RETRY_AFTER.toSeconds()) {
      Annotations.of(this).addWarningV2(
        'slack-ingress:dedupTtl',
        "dedupTtl ends before Slack's last retry and the five minutes that it is good for: events may be put on the queue twice",
      );
    }

    // ── event ids, and parked events ───────────────────────────────────────────────────────────────────
    this.table = new dynamodb.Table(this, 'Table', {
      partitionKey: { name: 'event_id', type: dynamodb.AttributeType.STRING },
      timeToLiveAttribute: 'expires_at',
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      // DynamoDB's own key, which costs nothing. A parked event is a message at rest: it is encrypted as it would be
      // on the queue, by a key of AWS's.
      encryption: dynamodb.TableEncryption.DEFAULT,
      // An hour of ids is not worth restoring: by then Slack no longer asks. Nor is what is parked: it is gone within
      // minutes of the outage, and backups would keep its text for 35 days after it was sent.
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: false },
      removalPolicy,
    });
    this.table.addGlobalSecondaryIndex({
      // Only parked items have the attribute `parked`, so the index holds these alone, the oldest first.
      indexName: PARKED_INDEX,
      partitionKey: { name: 'parked', type: dynamodb.AttributeType.STRING },
      sortKey: { name: 'received_at', type: dynamodb.AttributeType.NUMBER },
      // Not the message: it would be written, stored and paid for twice.
      projectionType: dynamodb.ProjectionType.KEYS_ONLY,
    });
    replacedOneStays(this.table);
    Validations.of(this.table).acknowledge({
      id: 'AwsSolutions-DDB3',
      reason:
        'Records live for an hour; restored later, they would guard against nothing. A parked event is sent within minutes, and its text is to be kept no longer.',
    });

    // ── the queue ──────────────────────────────────────────────────────────────────────────────────────
    if (props.topic) {
      check(props.queueType === undefined && props.visibilityTimeout === undefined, 'a topic and a queue: one of them');
    } else {
      [this.queue, this.deadLetterQueue] = this.createQueues(props, removalPolicy);
    }

    // ── the signing secret ─────────────────────────────────────────────────────────────────────────────
    this.signingSecret = props.signingSecret ?? this.createSecret(removalPolicy);

    // ── the function ───────────────────────────────────────────────────────────────────────────────────
    const logGroup = new logs.LogGroup(this, 'Log', { retention: logRetention, removalPolicy });
    const role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what the function may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const grant = (actions: string[], resource: string, conditions?: iam.Conditions) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource], conditions }));
    // Not the L2 grants, which give more than the function calls.
    grant(['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'], this.table.tableArn);
    const send = props.topic
      ? { action: 'sns:Publish', look: 'sns:GetTopicAttributes', arn: props.topic.topicArn }
      : { action: 'sqs:SendMessage', look: 'sqs:GetQueueAttributes', arn: this.queue!.queueArn };
    // The look is the call that opens the connection at init.
    grant([send.look, send.action], send.arn);
    grant(['secretsmanager:GetSecretValue'], arnForPolicy(this.signingSecret));
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);
    const key = this.signingSecret.encryptionKey;
    if (key) {
      const service = `secretsmanager.${Stack.of(this).region}.amazonaws.com`;
      grant(['kms:Decrypt'], key.keyArn, { StringEquals: { 'kms:ViaService': service } });
    }

    const architecture = props.architecture ?? lambda.Architecture.ARM_64;
    const shared = {
      DEDUP_STORE: `dynamodb:${this.table.tableName}`,
      EVENT_SINK: props.topic?.topicArn ?? this.queue!.queueUrl,
      DEDUP_TTL_SECONDS: String(dedupTtl.toSeconds()),
      RUST_LOG: props.logLevel ?? 'info',
    };
    this.function = new lambda.Function(this, 'Function', {
      description: "slack-ingress: verifies Slack's events and puts each on the queue, once",
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture,
      handler: 'bootstrap',
      code: props.code,
      memorySize: props.memorySize ?? 256,
      timeout: FUNCTION_TIMEOUT,
      reservedConcurrentExecutions: props.reservedConcurrentExecutions,
      role,
      logGroup,
      tracing: lambda.Tracing.ACTIVE,
      environment: {
        ...shared,
        SLACK_SIGNING_SECRET_ARN: this.signingSecret.secretArn,
        DEDUP_KEY: props.dedupKey ?? 'event_id',
        BOT_EVENTS: props.botEvents ?? 'drop',
        ACK_BUDGET_MS: String(ackBudget.toMilliseconds()),
      },
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'X-Ray: PutTraceSegments and PutTelemetryRecords know no resources.',
    });

    // ── what is parked ─────────────────────────────────────────────────────────────────────────────────
    this.redrive = new Redrive(this, 'Redrive', {
      code: props.redriveCode,
      architecture,
      table: this.table,
      send,
      environment: shared,
      logRetention,
      removalPolicy,
    }).function;

    // ── the front door ─────────────────────────────────────────────────────────────────────────────────
    let url: string;
    if ((props.frontDoor ?? 'http-api') === 'http-api') {
      url = new IngressHttpApi(this, 'HttpApi', {
        function: this.function,
        throttle: props.throttle ?? { rateLimit: 200, burstLimit: 400 },
        logRetention,
        removalPolicy,
      }).url;
    } else {
      check(!props.throttle, 'a Function URL has no throttle: set reservedConcurrentExecutions');
      // Slack signs, and the function verifies; AWS's signature is not Slack's to make.
      const functionUrl = this.function.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.NONE });
      // It ends in a slash, and is known only when it is deployed.
      url = `https://${Fn.select(2, Fn.split('/', functionUrl.url))}`;
    }
    [this.eventsUrl, this.commandsUrl, this.interactionsUrl] = PATHS.map((path) => url + path) as [string, string, string];

    // ── seeing it ──────────────────────────────────────────────────────────────────────────────────────
    this.metrics = new IngressMetrics(this.function, this.redrive);
    const seen = { metrics: this.metrics, queue: this.queue, deadLetterQueue: this.deadLetterQueue };
    this.alarms = new Alarms(this, 'Alarms', { ...seen, topic: props.alarmTopic, maxMessageAge }).all;
    if (props.dashboard ?? true) {
      this.dashboard = new IngressDashboard(this, 'Dashboard', { ...seen, alarms: this.alarms, ackBudget }).dashboard;
    }
  }

  private createQueues(props: SlackIngressProps, removalPolicy: RemovalPolicy): [sqs.Queue, sqs.Queue] {
    const visibilityTimeout = props.visibilityTimeout ?? Duration.minutes(30);
    check(visibilityTimeout.toSeconds() <= 12 * 3600, 'visibilityTimeout is over 12 hours, the most that SQS has');
    const common: sqs.QueueProps = {
      ...((props.queueType ?? 'fifo') === 'fifo' && {
        fifo: true,
        // High throughput. An event's id is always of one conversation, so a scope of the group is enough.
        deduplicationScope: sqs.DeduplicationScope.MESSAGE_GROUP,
        fifoThroughputLimit: sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
      }),
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      removalPolicy,
    };
    const deadLetterQueue = new sqs.Queue(this, 'DeadLetterQueue', {
      ...common,
      // The longest there is. On a standard queue the clock runs on from the first send.
      retentionPeriod: Duration.days(14),
    });
    const queue = new sqs.Queue(this, 'Queue', {
      ...common,
      visibilityTimeout,
      // A long weekend of a consumer that is down.
      retentionPeriod: Duration.days(4),
      deadLetterQueue: { queue: deadLetterQueue, maxReceiveCount: props.maxReceiveCount ?? 3 },
    });
    replacedOneStays(queue);
    replacedOneStays(deadLetterQueue);
    return [queue, deadLetterQueue];
  }

  /** With a value that nobody knows, so that the door is shut until the real one is put there. */
  private createSecret(removalPolicy: RemovalPolicy): secretsmanager.Secret {
    const secret = new secretsmanager.Secret(this, 'SigningSecret', {
      description: "slack-ingress: the Slack app's signing secret, as text",
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
      removalPolicy,
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'Slack makes this secret and has no API to rotate it; docs/rotate-secret.md.',
    });
    return secret;
  }
}

/** A 200 was a promise: an update that needs another queue or table leaves the old one, with the events in it. */
function replacedOneStays({ node }: Construct): void {
  (node.defaultChild as CfnResource).cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
}

function check(holds: boolean, problem: string): void {
  if (!holds) throw new Error(`SlackIngress: ${problem}`);
}

/** A secret that is known by its name lacks the six characters that end its ARN. */
export function arnForPolicy(secret: secretsmanager.ISecret): string {
  return secret.secretFullArn ?? `${secret.secretArn}-??????`;
}
