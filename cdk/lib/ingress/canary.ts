// The canary: a function that asks the front door from outside, on a schedule, and the metrics that it sends.

import { resolve } from 'node:path';
import { Duration, type RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { KEY_USE, throughService } from '../common/key';
import { arnForPolicy } from '../common/secret';

/** The directory with the function's program. */
const PROGRAM = resolve(__dirname, '../../canary');

/** How often the front door is asked. */
export const CANARY_EVERY = Duration.minutes(5);

/** The metrics that the function sends with every run: whether it failed (0 or 1), and how long the answer took. */
export interface CanaryMetrics {
  readonly failed: cloudwatch.Metric;
  /** In milliseconds. */
  readonly time: cloudwatch.Metric;
}

export interface CanaryProps {
  /** Slack's request URL for events. */
  readonly url: string;
  readonly signingSecret: secretsmanager.ISecret;
  readonly architecture: lambda.Architecture;
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
  /** The key that its log is encrypted with. @default one of CloudWatch's own */
  readonly encryptionKey?: kms.IKey;
}

/** A function that asks the front door for a challenge, signed as Slack signs, every five minutes. Only the schedule may invoke it. */
export class Canary extends Construct {
  readonly function: lambda.Function;
  readonly metrics: CanaryMetrics;

  constructor(scope: Construct, id: string, props: CanaryProps) {
    super(scope, id);
    const { signingSecret, removalPolicy, encryptionKey } = props;
    const logGroup = new logs.LogGroup(this, 'Log', { retention: props.logRetention, removalPolicy, encryptionKey });
    const role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what the canary may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const grant = (actions: string[], resource: string) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource] }));
    // It reaches the front door as anybody does, and no right leads to the function, the table or the queue.
    grant(['secretsmanager:GetSecretValue'], arnForPolicy(signingSecret));
    if (signingSecret.encryptionKey) {
      role.addToPolicy(throughService(this, 'secretsmanager', KEY_USE.read, signingSecret.encryptionKey));
    }
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);

    this.function = new lambda.Function(this, 'Function', {
      description: 'slack-ingress: asks the front door from outside whether it answers',
      runtime: lambda.Runtime.PYTHON_3_13,
      architecture: props.architecture,
      handler: 'canary.handler',
      code: lambda.Code.fromAsset(PROGRAM, { exclude: ['__pycache__', '*.pyc'] }),
      // With less of a core the handshake takes longer than the answer.
      memorySize: 256,
      // Secrets Manager, then three seconds for the answer.
      timeout: Duration.seconds(30),
      role,
      logGroup,
      environment: { REQUEST_URL: props.url, SIGNING_SECRET_ARN: signingSecret.secretArn },
      // The next run comes in five minutes anyway.
      retryAttempts: 0,
      maxEventAge: Duration.minutes(1),
    });
    Validations.of(this.function).acknowledge({
      id: 'AwsSolutions-L1',
      reason: 'The newest runtime that the CDK knows is not in every partition. The program uses nothing of a newer Python.',
    });
    new events.Rule(this, 'Schedule', {
      description: 'slack-ingress: runs the canary',
      schedule: events.Schedule.rate(CANARY_EVERY),
      targets: [new targets.LambdaFunction(this.function, { retryAttempts: 0 })],
    });
    const metric = (metricName: string) =>
      new cloudwatch.Metric({
        namespace: 'SlackIngress',
        metricName,
        dimensionsMap: { FunctionName: this.function.functionName },
        statistic: 'Maximum',
        period: CANARY_EVERY,
      });
    this.metrics = { failed: metric('CanaryFailed'), time: metric('CanaryTime') };
  }
}
