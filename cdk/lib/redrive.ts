import { Duration, type RemovalPolicy, Validations } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

/** The table's index of what is parked. */
export const PARKED_INDEX = 'parked';

/** A run begins nothing that it might not finish, so that it ends by itself; two that overlap do no harm. */
export const REDRIVE_TIMEOUT = Duration.seconds(60);

/** How often it runs; the event of an outage that is over waits as long. */
const EVERY = Duration.minutes(1);

export interface RedriveProps {
  /** The function `redrive`, built for `architecture`. */
  readonly code: lambda.Code;
  readonly architecture: lambda.Architecture;
  readonly table: dynamodb.ITable;
  /** What may be called to send, and where: an action and an ARN. */
  readonly send: { readonly action: string; readonly arn: string };
  /** What it shares with the ingress: `DEDUP_STORE`, `EVENT_SINK` … */
  readonly environment: Record<string, string>;
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
}

/** Each minute, what is parked goes to the queue: a function of its own, which nobody outside can call. */
export class Redrive extends Construct {
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, props: RedriveProps) {
    super(scope, id);
    const { table, send } = props;
    const logGroup = new logs.LogGroup(this, 'Log', {
      retention: props.logRetention,
      removalPolicy: props.removalPolicy,
    });
    const role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what the redrive function may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const grant = (actions: string[], resource: string) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource] }));
    // No right to read items: taking an event, an update, returns it.
    grant(['dynamodb:Query'], `${table.tableArn}/index/${PARKED_INDEX}`);
    grant(['dynamodb:UpdateItem'], table.tableArn);
    grant([send.action], send.arn);
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);

    this.function = new lambda.Function(this, 'Function', {
      description: 'slack-ingress: puts on the queue what is parked in the table',
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: props.architecture,
      handler: 'bootstrap',
      code: props.code,
      memorySize: 256,
      timeout: REDRIVE_TIMEOUT,
      role,
      logGroup,
      tracing: lambda.Tracing.ACTIVE,
      environment: props.environment,
      // The next run comes in a minute: one that failed or came late is not worth repeating.
      retryAttempts: 0,
      maxEventAge: EVERY,
    });
    new events.Rule(this, 'Schedule', {
      description: 'slack-ingress: runs the redrive function',
      schedule: events.Schedule.rate(EVERY),
      targets: [new targets.LambdaFunction(this.function, { retryAttempts: 0 })],
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'X-Ray: PutTraceSegments and PutTelemetryRecords know no resources.',
    });
  }
}
