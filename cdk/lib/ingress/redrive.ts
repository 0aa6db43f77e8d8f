// The function that sends parked events to the queue, and the schedule that runs it.

import { Duration, type RemovalPolicy } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { type Tracing, tracingOf } from '../common/tracing';

/** The name of the table's index of parked events. */
export const PARKED_INDEX = 'parked';

/**
 * The function's time-out. A run stops by itself before that: it begins no send that it might not finish. Two runs that
 * overlap do no harm.
 */
export const REDRIVE_TIMEOUT = Duration.seconds(60);

/** How often the function runs. After an outage has ended, a parked event waits for at most this long. */
const EVERY = Duration.minutes(1);

export interface RedriveProps {
  /** The function `redrive`, built for `architecture`. */
  readonly code: lambda.Code;
  readonly architecture: lambda.Architecture;
  readonly table: dynamodb.ITable;
  /** The IAM action that sends an event, and the ARN of the queue or topic that receives it. */
  readonly send: { readonly action: string; readonly arn: string };
  /** The key that the log is encrypted with. @default a key of AWS's */
  readonly encryptionKey?: kms.IKey;
  /** The rights to use keys of which the table and the queue or topic need the use. */
  readonly useOfKeys: iam.PolicyStatement[];
  /** The environment variables that this function and the ingress share: `DEDUP_STORE`, `EVENT_SINK` … */
  readonly environment: Record<string, string>;
  /** @default 'active' */
  readonly tracing?: Tracing;
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
}

/** A function that sends parked events to the queue, once a minute. Only the schedule may invoke it. */
export class Redrive extends Construct {
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, props: RedriveProps) {
    super(scope, id);
    const { table, send } = props;
    const logGroup = new logs.LogGroup(this, 'Log', {
      retention: props.logRetention,
      removalPolicy: props.removalPolicy,
      encryptionKey: props.encryptionKey,
    });
    const role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what the redrive function may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const grant = (actions: string[], resource: string) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource] }));
    // No right to read items: the update by which a run takes a parked event also returns the event.
    grant(['dynamodb:Query'], `${table.tableArn}/index/${PARKED_INDEX}`);
    grant(['dynamodb:UpdateItem'], table.tableArn);
    grant([send.action], send.arn);
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);
    for (const statement of props.useOfKeys) role.addToPolicy(statement);

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
      tracing: tracingOf(role, props.tracing),
      environment: props.environment,
      // Lambda repeats no run that failed or came late: the next one starts within a minute anyway.
      retryAttempts: 0,
      maxEventAge: EVERY,
    });
    new events.Rule(this, 'Schedule', {
      description: 'slack-ingress: runs the redrive function',
      schedule: events.Schedule.rate(EVERY),
      targets: [new targets.LambdaFunction(this.function, { retryAttempts: 0 })],
    });
  }
}
