// The ingress as a construct: the resources between Slack and the consumer of the queue.

import {
  Annotations,
  CfnDeletionPolicy,
  type CfnResource,
  Duration,
  Fn,
  type RemovalPolicy,
  Validations,
} from 'aws-cdk-lib';
import type * as apigatewayv2 from 'aws-cdk-lib/aws-apigatewayv2';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { AGENT_CONTROL_EVENTS, AGENT_RECEIVES, AGENT_RETENTION, dispatchVisibility } from '../common/agent-queue';
import { checkCode } from '../common/bootstrap';
import { KEY_USE, allowLogs, throughService } from '../common/key';
import {
  ACK_BUDGET_MS,
  DEDUP_TTL_SECONDS,
  MEMORY_MB,
  RECEIVE_COUNT,
  RESERVED_CONCURRENCY,
  RETENTION_SECONDS,
  THROTTLE_LIMITS,
  VISIBILITY_SECONDS,
  WARM_WRITE_UNITS,
  checkChoice,
  checkWithin,
} from '../common/limits';
import { packagedCode } from '../common/packaged';
import { KEPT } from '../common/removal';
import { arnForPolicy } from '../common/secret';
import { type Tracing, tracingOf } from '../common/tracing';
import { Alarms } from './alarms';
import { Canary } from './canary';
import { IngressDashboard } from './dashboard';
import { FastPath, type FastPathProps } from './fast-path';
import { type FrontDoorMetrics, functionUrlMetrics } from './front-door';
import { INSTALL_PATHS, IngressHttpApi, type InstallPagesProps, PATHS } from './http-api';
import { GRADUAL, type Gradual, Live } from './live';
import { IngressMetrics } from './metrics';
import { PARKED_INDEX, Redrive } from './redrive';
import { TwoRegions, type TwoRegionsProps } from './two-regions';

/**
 * The function's time-out. It is longer than the 3 s that Slack waits, so that the function answers before Lambda kills
 * it. It is not much longer, because the lease of an invocation that was killed ends 2 s after the time-out, and until
 * then Slack's retries of that event get a 503.
 */
export const FUNCTION_TIMEOUT = Duration.seconds(5);

/**
 * The shortest `dedupTtl` that guards against every copy of an event. Slack sends its last retry six and a half minutes
 * after the first attempt, and anybody who recorded that request can replay it for five more minutes.
 */
const MIN_SAFE_DEDUP_TTL = Duration.seconds(690);

/** The requests per second that the HTTP API lets through, unless others are set. */
export const THROTTLE = { rateLimit: 200, burstLimit: 400 };

/**
 * The alarms for which a gradual deployment goes back: what a new version can do wrong. *Rejections* is none of them: a tenth of the
 * requests never makes half of them, and anybody can raise it by a few requests that nobody has signed.
 */
const ROLLS_BACK = ['Failures', 'SlowAnswers', 'Malformed', 'Lost'];

/** The properties of an ingress. */
export interface SlackIngressProps {
  /**
   * The code of `slack-ingress`: a directory or zip with `bootstrap`, built for `architecture`.
   * @default the function that comes with this package
   */
  readonly code?: lambda.Code;

  /**
   * The code of `redrive`, which sends parked events. Give both or none: they must be of the same version.
   * @default the function that comes with this package
   */
  readonly redriveCode?: lambda.Code;

  /**
   * The architecture of the functions, and what `code` and `redriveCode` were built for.
   * @default ARM_64, which costs less per millisecond and is as fast
   */
  readonly architecture?: lambda.Architecture;

  /**
   * The function's memory in megabytes. Lambda gives a function a share of a core in proportion to its memory.
   * @default 256
   */
  readonly memorySize?: number;

  /**
   * The number of invocations that may run at the same time. Requests above it get 429 or 500, and Slack sends them
   * again. This number is also reserved: other functions of the account cannot use it.
   * @default no limit but the account's
   */
  readonly reservedConcurrentExecutions?: number;

  /**
   * What Slack posts to: an API Gateway HTTP API or a Lambda Function URL. A Function URL has no price of its own, but
   * it has no throttle (set `reservedConcurrentExecutions`) and no access log, and it accepts any path.
   * @default 'http-api'
   */
  readonly frontDoor?: 'http-api' | 'function-url';

  /**
   * The requests per second that the HTTP API lets through, forged ones included. Requests above it get 429, and Slack
   * sends them again. Slack itself sends at most 30,000 events an hour for each workspace.
   * @default rate 200, burst 400
   */
  readonly throttle?: apigatewayv2.ThrottleSettings;

  /**
   * The function with Bolt's pages for installing an app, behind two GET routes of the HTTP API: `/slack/install` and
   * `/slack/oauth_redirect` (docs/deploy.md). Their requests count against the same throttle.
   * @default none: the API has only the routes that Slack posts to
   */
  readonly installPages?: InstallPagesProps;

  /**
   * Has this ingress be one of two, in two regions, of which one receives what Slack sends (docs/two-regions.md). It needs an
   * HTTP API.
   * @default one region
   */
  readonly twoRegions?: TwoRegionsProps;

  /**
   * A topic to which events are published. The construct then creates no queue, no dead-letter queue and no alarms on
   * them: these are up to the subscribers. Code of your own must be built with the cargo feature `sns`. The name of a FIFO
   * topic ends in `.fifo`. If the topic is encrypted with a KMS key of yours, import it together with that key.
   * @default none: a queue is created
   */
  readonly topic?: sns.ITopic;

  /**
   * Whether the queue feeds a `SlackAgent`. The defaults of `visibilityTimeout`, `maxReceiveCount`, `retention`,
   * `maxMessageAge`, `controlEvents` and `dmConversation` are then those that it needs.
   * @default false
   */
  readonly forAgent?: boolean;

  /**
   * A FIFO queue (in high-throughput mode) keeps the messages of a conversation in order and drops a message that is
   * sent twice within five minutes. A standard queue is fair between workspaces, and its consumer must de-duplicate.
   * Changing this replaces the queue; the old queue remains, with the messages that are on it.
   * @default 'fifo'
   */
  readonly queueType?: 'fifo' | 'standard';

  /**
   * The queue's visibility timeout: for this long after a consumer has received an event, no other consumer receives
   * it. A consumer that needs longer extends it while it works (`ChangeMessageVisibility`, up to 12 hours from
   * receipt).
   * @default 30 minutes, twice the longest time that a Lambda function can run; for an agent 6 minutes
   */
  readonly visibilityTimeout?: Duration;

  /**
   * How often an event may be received before SQS moves it to the dead-letter queue.
   * @default 3, because each run of an agent costs money; for an agent 1000: the dispatcher gives up, and not the queue
   */
  readonly maxReceiveCount?: number;

  /**
   * How long the queue keeps an event, at most 14 days. The dead-letter queue keeps it for 14 days.
   * @default 4 days, long enough for a consumer that is down over a long weekend; for an agent 14 days
   */
  readonly retention?: Duration;

  /**
   * An alarm is raised when the oldest event on the queue is older than this. Events that a consumer works on count
   * too. `'no alarm'` is for a consumer with an alarm of its own, such as `SlackAgent`.
   * @default 1 hour; for an agent 'no alarm'
   */
  readonly maxMessageAge?: Duration | 'no alarm';

  /**
   * A secret whose text is Slack's signing secret or, for several apps, a JSON object from app id to signing secret. If
   * the secret is encrypted with a KMS key of yours, import it together with that key, and the key's policy must let
   * IAM policies grant the use of the key.
   * @default a secret is created, with a random value that you replace (docs/zero-to-slack.md)
   */
  readonly signingSecret?: secretsmanager.ISecret;

  /**
   * A KMS key of yours that the queues, the table, the signing secret that is created, and the logs are encrypted with; and what a
   * `SlackAgent` creates, too. Its policy must let IAM policies grant the use of the key (a new key's does), and CloudWatch Logs
   * use it: of a key that is imported docs/deploy.md has the statement.
   * @default keys of AWS's
   */
  readonly encryptionKey?: kms.IKey;

  /**
   * How long the record of an event is kept. With Slack's Delayed Events it should be 25 hours.
   * @default 1 hour
   */
  readonly dedupTtl?: Duration;

  /**
   * What identifies an event: its `event_id`, or with `message` the Slack message that it is about. Slack may send one
   * message under several event ids, and `message` makes them one event.
   * @default 'event_id'
   */
  readonly dedupKey?: 'event_id' | 'message';

  /**
   * Which messages of bots are ignored: `drop` ignores all of them, `own` only this app's, `forward` none.
   * @default 'drop'
   */
  readonly botEvents?: 'drop' | 'own' | 'forward';

  /**
   * What the conversation of a direct message is: with `channel` the whole direct channel, with `thread` the root
   * message and its replies. `thread` is for apps with `agent_view`, where each root message starts a conversation.
   * @default 'channel'; for an agent 'thread'
   */
  readonly dmConversation?: 'channel' | 'thread';

  /**
   * The types of events that control a conversation, such as "stop": on a FIFO queue they do not wait behind the
   * conversation's other events. The subtype of a `message` counts as a type. With an empty list every event waits.
   * @default ['agent_session_stopped']; for an agent 'message_deleted' as well
   */
  readonly controlEvents?: string[];

  /**
   * The write units per second that the table and its index of parked events take at once, at least 4,000. It decides
   * how many events per second are parked while the queue is down: an event needs about ten (docs/deploy.md has the
   * arithmetic). AWS charges once for each raise and does not lower the value again; above 40,000 the account needs a
   * higher quota.
   * @default not set: DynamoDB starts a new table with 4,000, and raises it as the traffic grows
   */
  readonly warmWriteUnits?: number;

  /**
   * The time after which an invocation that is not finished answers 503. At most 3 s, the time that Slack waits.
   * @default 2.5 seconds
   */
  readonly ackBudget?: Duration;

  /**
   * What Slack is answered at once, by rules: a command's text, a modal, a menu's options (docs/fast-path.md).
   * @default none
   */
  readonly fastPath?: FastPathProps;

  /**
   * How requests get to a new version of the ingress. `none`: the function is replaced at once. With any other value each
   * deployment publishes a version, requests go to the alias `live`, and the versions before it stay. `all-at-once`: the alias is
   * moved at once. The others are CodeDeploy's ways, which move it a part of the requests at a time, and back when an alarm is
   * raised meanwhile: `canary10percent5minutes` (`10minutes`, `15minutes`, `30minutes`), `linear10percentevery1minute`
   * (`2minutes`, `3minutes`, `10minutes`). Changing between `none` and another value replaces the URL of a Function URL.
   * @default 'none'
   */
  readonly gradualDeployment?: Gradual;

  /**
   * The functions' `RUST_LOG`, such as `warn`.
   * @default 'info'
   */
  readonly logLevel?: string;

  /**
   * Whether X-Ray traces the two functions.
   * @default 'active'
   */
  readonly tracing?: Tracing;

  /**
   * How long the functions' logs and the access log are kept.
   * @default one month
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * The topic that the alarms notify.
   * @default none
   */
  readonly alarmTopic?: sns.ITopic;

  /**
   * Whether a function asks the front door from outside, every five minutes, and an alarm is raised when it gets no answer.
   * @default false
   */
  readonly canary?: boolean;

  /**
   * Whether a dashboard is created.
   * @default true
   */
  readonly dashboard?: boolean;

  /**
   * What happens to the table, the queues, the secret and the logs when they are removed from the stack. With DESTROY,
   * events that wait on the queue or are parked in the table are lost. A queue or table that an update replaces is
   * always kept.
   * @default RETAIN_ON_UPDATE_OR_DELETE: they are kept, unless the deployment that creates them fails
   */
  readonly removalPolicy?: RemovalPolicy;
}

/**
 * Puts each of Slack's events on a queue once. Creates an HTTP API or Function URL, the ingress function, the table of
 * records and parked events, the function that redrives parked events, the queue with its dead-letter queue, the
 * signing secret, alarms and a dashboard.
 */
export class SlackIngress extends Construct {
  /** Slack's request URL for events, `https://…`. */
  readonly eventsUrl: string;
  /** The same in this region, whichever receives what Slack sends; absent with one region. */
  readonly regionalEventsUrl?: string;
  /** Slack's request URL for slash commands. */
  readonly commandsUrl: string;
  /** Slack's request URL for interactivity. */
  readonly interactionsUrl: string;
  /** Where people begin to install the app; absent without `installPages`. */
  readonly installUrl?: string;
  /** The redirect URL for the Slack app (*OAuth & Permissions*); absent without `installPages`. */
  readonly oauthRedirectUrl?: string;
  readonly function: lambda.Function;
  /** The function that sends parked events, once a minute. */
  readonly redrive: lambda.Function;
  /** The function that asks the front door from outside; absent without `canary`. */
  readonly canary?: lambda.Function;
  /** The records of events, kept for `dedupTtl`, and the events that are parked until the queue accepts them. */
  readonly table: dynamodb.Table;
  /**
   * The queue that the consumer reads; absent with a topic. Grant a consumer its use with
   * `queue.grantConsumeMessages(consumer)`.
   */
  readonly queue?: sqs.Queue;
  readonly deadLetterQueue?: sqs.Queue;
  readonly signingSecret: secretsmanager.ISecret;
  /**
   * Where consumers of two regions keep what they have done, so that no event is worked on twice. Its key is `event_id`, and it
   * has no TTL. Absent with one region.
   */
  readonly guardTable?: dynamodb.ITable;
  /**
   * The two regions; absent with one.
   * @internal
   */
  readonly _twoRegions?: TwoRegions;
  /** The KMS key of yours that all of it is encrypted with, if there is one. */
  readonly encryptionKey?: kms.IKey;
  /** What the conversation of a direct message is. */
  readonly dmConversation: 'channel' | 'thread';
  readonly metrics: IngressMetrics;
  readonly alarms: cloudwatch.Alarm[];
  readonly dashboard?: cloudwatch.Dashboard;

  constructor(scope: Construct, id: string, given: SlackIngressProps = {}) {
    super(scope, id);
    const props = { ...(given.forAgent ? forAgent(given) : {}), ...withoutUndefined(given) };
    checkChoices(props);
    const ackBudget = props.ackBudget ?? Duration.millis(2500);
    const dedupTtl = props.dedupTtl ?? Duration.hours(1);
    const maxMessageAge = props.maxMessageAge ?? Duration.hours(1);
    const logRetention = props.logRetention ?? logs.RetentionDays.ONE_MONTH;
    const removalPolicy = props.removalPolicy ?? KEPT;

    checkWithin('SlackIngress: ackBudget, in milliseconds,', ackBudget.toMilliseconds(), ACK_BUDGET_MS);
    checkWithin('SlackIngress: dedupTtl, in seconds,', dedupTtl.toSeconds(), DEDUP_TTL_SECONDS);
    checkWithin('SlackIngress: memorySize', props.memorySize, MEMORY_MB);
    checkWithin('SlackIngress: reservedConcurrentExecutions', props.reservedConcurrentExecutions, RESERVED_CONCURRENCY);
    checkWithin('SlackIngress: throttle.rateLimit', props.throttle?.rateLimit, THROTTLE_LIMITS);
    checkWithin('SlackIngress: throttle.burstLimit', props.throttle?.burstLimit, THROTTLE_LIMITS);
    const { controlEvents = ['agent_session_stopped'], warmWriteUnits } = props;
    this.dmConversation = props.dmConversation ?? 'channel';
    check(
      controlEvents.every((type) => /^[a-z_]+$/.test(type)),
      `controlEvents must be types of events, such as agent_session_stopped, and is: ${controlEvents.join(', ')}`,
    );
    checkWithin('SlackIngress: warmWriteUnits', warmWriteUnits, WARM_WRITE_UNITS);
    if (dedupTtl.toSeconds() < MIN_SAFE_DEDUP_TTL.toSeconds()) {
      Annotations.of(this).addWarningV2(
        'slack-ingress:dedupTtl',
        "dedupTtl ends before Slack's last retry and the five minutes that it is good for: events may be put on the queue twice",
      );
    }

    this.encryptionKey = props.encryptionKey;
    const { encryptionKey } = this;
    if (encryptionKey) allowLogs(this, encryptionKey);

    // ── the table of records and parked events ─────────────────────────────────────────────────────────
    // The index gets as much as the table. Its entries have 32 partition keys, and DynamoDB serves 1,000 write units from
    // a partition: with few partitions, several keys would share one.
    const warmThroughput = warmWriteUnits === undefined ? undefined : { writeUnitsPerSecond: warmWriteUnits };
    this.table = new dynamodb.Table(this, 'Table', {
      partitionKey: { name: 'event_id', type: dynamodb.AttributeType.STRING },
      timeToLiveAttribute: 'expires_at',
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      warmThroughput,
      // Without a key of one's own, one that AWS owns and that costs nothing. A parked event is encrypted as it would be on the
      // queue.
      encryption: encryptionKey ? dynamodb.TableEncryption.CUSTOMER_MANAGED : dynamodb.TableEncryption.DEFAULT,
      encryptionKey,
      // No backups. By the time that records were restored, Slack would have sent its last retry. A parked event is
      // sent within minutes after the outage, and a backup would keep its text for 35 days after that.
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: false },
      removalPolicy,
    });
    this.table.addGlobalSecondaryIndex({
      // Only items that hold an event have the attribute `parked`, so the index contains no other items. Its value is one of
      // 32, by the event's conversation: one partition takes 1,000 writes a second. For each value the oldest comes first.
      indexName: PARKED_INDEX,
      partitionKey: { name: 'parked', type: dynamodb.AttributeType.STRING },
      sortKey: { name: 'received_at', type: dynamodb.AttributeType.NUMBER },
      // The message is not copied into the index: it would be written, stored and paid for twice.
      projectionType: dynamodb.ProjectionType.KEYS_ONLY,
      warmThroughput,
    });
    keepWhenReplaced(this.table);
    Validations.of(this.table).acknowledge({
      id: 'AwsSolutions-DDB3',
      reason:
        'Records are kept for an hour; restored later, they would guard against nothing. ' +
        'A parked event is sent within minutes, and its text should be kept no longer.',
    });

    // ── the queue ──────────────────────────────────────────────────────────────────────────────────────
    if (props.topic) {
      check(
        props.queueType === undefined && props.visibilityTimeout === undefined && props.retention === undefined,
        'queueType, visibilityTimeout and retention need a queue, and with a topic there is none',
      );
    } else {
      [this.queue, this.deadLetterQueue] = this.createQueues(props, removalPolicy);
    }

    // ── the signing secret ─────────────────────────────────────────────────────────────────────────────
    this.signingSecret = props.signingSecret ?? this.createSecret(removalPolicy);

    // ── the function ───────────────────────────────────────────────────────────────────────────────────
    const logGroup = new logs.LogGroup(this, 'Log', { retention: logRetention, removalPolicy, encryptionKey });
    const role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what the function may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const grant = (actions: string[], resource: string) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource] }));
    // The CDK's own grant methods would allow more than the function calls.
    grant(['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'], this.table.tableArn);
    const send = props.topic
      ? { action: 'sns:Publish', look: 'sns:GetTopicAttributes', arn: props.topic.topicArn }
      : { action: 'sqs:SendMessage', look: 'sqs:GetQueueAttributes', arn: this.queue!.queueArn };
    // The function calls the `look` action at init, to open the connection.
    grant([send.look, send.action], send.arn);
    grant(['secretsmanager:GetSecretValue'], arnForPolicy(this.signingSecret));
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);
    const fastPath = props.fastPath && new FastPath(this, 'FastPath', props.fastPath);
    if (props.fastPath?.botToken) grant(['secretsmanager:GetSecretValue'], arnForPolicy(props.fastPath.botToken));
    for (const arn of fastPath?.functions ?? []) grant(['lambda:InvokeFunction'], arn);
    // Both functions send, and both read and write the table.
    const useOfKeys: iam.PolicyStatement[] = [];
    const sendsWith = props.topic ? props.topic.masterKey : encryptionKey;
    if (sendsWith) useOfKeys.push(throughService(this, props.topic ? 'sns' : 'sqs', KEY_USE.write, sendsWith));
    if (encryptionKey) useOfKeys.push(throughService(this, 'dynamodb', KEY_USE.read, encryptionKey));
    for (const statement of useOfKeys) role.addToPolicy(statement);
    const secretKeys = new Map(
      [this.signingSecret, props.fastPath?.botToken].flatMap((it) => (it?.encryptionKey ? [[it.encryptionKey.keyArn, it.encryptionKey]] : [])),
    );
    for (const key of secretKeys.values()) role.addToPolicy(throughService(this, 'secretsmanager', KEY_USE.read, key));

    const architecture = props.architecture ?? lambda.Architecture.ARM_64;
    const needed = { architecture, features: props.topic ? ['sns'] : [] };
    check((props.code === undefined) === (props.redriveCode === undefined), 'code and redriveCode must be given together');
    const code = props.code ?? packagedCode({ ...needed, binary: 'slack-ingress' });
    const redriveCode = props.redriveCode ?? packagedCode({ ...needed, binary: 'redrive' });
    checkCode(code, { ...needed, binary: 'slack-ingress' });
    checkCode(redriveCode, { ...needed, binary: 'redrive' });
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
      code,
      memorySize: props.memorySize ?? 256,
      timeout: FUNCTION_TIMEOUT,
      reservedConcurrentExecutions: props.reservedConcurrentExecutions,
      role,
      logGroup,
      layers: fastPath && [fastPath.layer],
      tracing: tracingOf(role, props.tracing),
      environment: {
        ...shared,
        ...fastPath?.environment,
        SLACK_SIGNING_SECRET_ARN: this.signingSecret.secretArn,
        DEDUP_KEY: props.dedupKey ?? 'event_id',
        BOT_EVENTS: props.botEvents ?? 'drop',
        DM_CONVERSATION: this.dmConversation,
        CONTROL_EVENTS: controlEvents.join(','),
        ACK_BUDGET_MS: String(ackBudget.toMilliseconds()),
      },
    });

    const gradual = props.gradualDeployment ?? 'none';
    const live = gradual === 'none' ? undefined : new Live(this, 'Live', this.function, this.queue ? `fifo: ${this.queue.fifo}` : '');

    // ── the redrive of parked events ───────────────────────────────────────────────────────────────────
    this.redrive = new Redrive(this, 'Redrive', {
      code: redriveCode,
      architecture,
      table: this.table,
      send,
      encryptionKey,
      useOfKeys,
      environment: shared,
      tracing: props.tracing,
      logRetention,
      removalPolicy,
    }).function;

    // ── the HTTP API or the Function URL ───────────────────────────────────────────────────────────────
    this.metrics = new IngressMetrics(this.function, this.redrive);
    let url: string;
    let frontDoor: FrontDoorMetrics;
    if ((props.frontDoor ?? 'http-api') === 'http-api') {
      const { url: own, api, stage, metrics } = new IngressHttpApi(this, 'HttpApi', {
        function: live?.alias ?? this.function,
        throttle: props.throttle ?? THROTTLE,
        installPages: props.installPages,
        logRetention,
        removalPolicy,
        encryptionKey,
      });
      [url, frontDoor] = [own, metrics];
      if (props.twoRegions) {
        this._twoRegions = new TwoRegions(this, 'TwoRegions', { ...props.twoRegions, api, stage, removalPolicy });
        this.guardTable = this._twoRegions.guardTable;
        this.regionalEventsUrl = own + PATHS[0];
        url = this._twoRegions.url;
      }
    } else {
      check(!props.twoRegions, 'a Function URL cannot have a host of yours, and two regions need one: use the HTTP API');
      check(!props.installPages, 'a Function URL has no routes, and the pages for installing need two: use the HTTP API');
      check(!props.throttle, 'a Function URL has no throttle: use reservedConcurrentExecutions');
      // Slack cannot sign requests for AWS's authorizer. The function verifies the signature that Slack does make.
      const functionUrl = (live?.alias ?? this.function).addFunctionUrl({ authType: lambda.FunctionUrlAuthType.NONE });
      // The URL ends in a slash and is unknown until the deployment, so a function of CloudFormation's cuts it.
      url = `https://${Fn.select(2, Fn.split('/', functionUrl.url))}`;
      frontDoor = functionUrlMetrics(this.function, this.metrics);
    }
    [this.eventsUrl, this.commandsUrl, this.interactionsUrl] = PATHS.map((path) => url + path) as [string, string, string];

    if (props.installPages) [this.installUrl, this.oauthRedirectUrl] = [url + INSTALL_PATHS.install, url + INSTALL_PATHS.redirect];

    // ── what asks from outside ─────────────────────────────────────────────────────────────────────────
    let canary: Canary | undefined;
    if (props.canary) {
      const { signingSecret } = this;
      // Of two regions its own, also while DNS leads to the other one.
      const url = this.regionalEventsUrl ?? this.eventsUrl;
      canary = new Canary(this, 'Canary', { url, signingSecret, architecture, logRetention, removalPolicy, encryptionKey });
      this.canary = canary.function;
    }

    // ── alarms and the dashboard ───────────────────────────────────────────────────────────────────────
    const observed = {
      metrics: this.metrics,
      frontDoor,
      hasFastPath: fastPath !== undefined,
      canary: canary?.metrics,
      queue: this.queue,
      deadLetterQueue: this.deadLetterQueue,
    };
    this.alarms = new Alarms(this, 'Alarms', { ...observed, topic: props.alarmTopic, maxMessageAge }).all;
    if (live && gradual !== 'none' && gradual !== 'all-at-once') {
      live.moveGradually(gradual, this.alarms.filter((it) => ROLLS_BACK.includes(it.node.id)), props.alarmTopic);
    }
    if (props.dashboard ?? true) {
      this.dashboard = new IngressDashboard(this, 'Dashboard', { ...observed, alarms: this.alarms, ackBudget }).dashboard;
    }
  }

  private createQueues(props: SlackIngressProps, removalPolicy: RemovalPolicy): [sqs.Queue, sqs.Queue] {
    const visibilityTimeout = props.visibilityTimeout ?? Duration.minutes(30);
    const retention = props.retention ?? Duration.days(4);
    checkWithin('SlackIngress: visibilityTimeout, in seconds,', visibilityTimeout.toSeconds(), VISIBILITY_SECONDS);
    checkWithin('SlackIngress: retention, in seconds,', retention.toSeconds(), RETENTION_SECONDS);
    checkWithin('SlackIngress: maxReceiveCount', props.maxReceiveCount, RECEIVE_COUNT);
    const common: sqs.QueueProps = {
      ...((props.queueType ?? 'fifo') === 'fifo' && {
        fifo: true,
        // High-throughput mode: a message is compared only with those of its own group. That is enough, because an
        // event always belongs to the same conversation, and so to the same group.
        deduplicationScope: sqs.DeduplicationScope.MESSAGE_GROUP,
        fifoThroughputLimit: sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
      }),
      ...(this.encryptionKey
        ? { encryption: sqs.QueueEncryption.KMS, encryptionMasterKey: this.encryptionKey }
        : { encryption: sqs.QueueEncryption.SQS_MANAGED }),
      enforceSSL: true,
      removalPolicy,
    };
    const deadLetterQueue = new sqs.Queue(this, 'DeadLetterQueue', {
      ...common,
      // The longest that SQS allows. On a standard queue the time counts from the first send to the main queue.
      retentionPeriod: Duration.days(14),
    });
    const queue = new sqs.Queue(this, 'Queue', {
      ...common,
      visibilityTimeout,
      retentionPeriod: retention,
      deadLetterQueue: { queue: deadLetterQueue, maxReceiveCount: props.maxReceiveCount ?? 3 },
    });
    for (const it of [queue, deadLetterQueue]) {
      keepWhenReplaced(it);
      // SQS takes one kind of encryption at a time. An update that gives a queue a key takes the other kind off in the same call.
      if (this.encryptionKey) (it.node.defaultChild as sqs.CfnQueue).sqsManagedSseEnabled = false;
    }
    return [queue, deadLetterQueue];
  }

  /**
   * Creates the signing secret with a random value: no request is accepted until somebody stores the real secret there.
   */
  private createSecret(removalPolicy: RemovalPolicy): secretsmanager.Secret {
    const secret = new secretsmanager.Secret(this, 'SigningSecret', {
      description: "slack-ingress: the Slack app's signing secret, as text",
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
      encryptionKey: this.encryptionKey,
      removalPolicy,
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'Slack creates this secret and has no API to rotate it; see docs/rotate-secret.md.',
    });
    return secret;
  }
}

/** The props that an agent needs of its queue, where no others are given. With a topic there is no queue, and no agent. */
function forAgent({ topic }: SlackIngressProps): SlackIngressProps {
  check(!topic, 'an agent needs the queue, and with a topic there is none');
  return {
    visibilityTimeout: dispatchVisibility(),
    maxReceiveCount: AGENT_RECEIVES,
    retention: AGENT_RETENTION,
    // SQS's age of the oldest message counts questions at work, and leaves out what was received often: the agent has an alarm
    // on what the functions see.
    maxMessageAge: 'no alarm',
    controlEvents: AGENT_CONTROL_EVENTS,
    dmConversation: 'thread',
  };
}

function withoutUndefined(props: SlackIngressProps): SlackIngressProps {
  return Object.fromEntries(Object.entries(props).filter(([, value]) => value !== undefined));
}

function checkChoices(props: SlackIngressProps): void {
  const { frontDoor, queueType, dedupKey, botEvents, dmConversation, tracing, maxMessageAge, gradualDeployment } = props;
  checkChoice('SlackIngress: frontDoor', frontDoor, ['http-api', 'function-url']);
  checkChoice('SlackIngress: queueType', queueType, ['fifo', 'standard']);
  checkChoice('SlackIngress: dedupKey', dedupKey, ['event_id', 'message']);
  checkChoice('SlackIngress: botEvents', botEvents, ['drop', 'own', 'forward']);
  checkChoice('SlackIngress: dmConversation', dmConversation, ['channel', 'thread']);
  checkChoice('SlackIngress: gradualDeployment', gradualDeployment, GRADUAL);
  checkChoice('SlackIngress: tracing', tracing, ['active', 'off']);
  if (typeof maxMessageAge === 'string') checkChoice('SlackIngress: maxMessageAge', maxMessageAge, ['no alarm']);
}

/**
 * Keeps the old queue or table when an update replaces it. The events in it were answered with 200, which promises that
 * they are not lost.
 */
function keepWhenReplaced({ node }: Construct): void {
  (node.defaultChild as CfnResource).cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
}

function check(holds: boolean, problem: string): void {
  if (!holds) throw new Error(`SlackIngress: ${problem}`);
}
