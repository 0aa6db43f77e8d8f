// Bot tokens that expire: the function that gets new ones, and the schedule that runs it.

import { Duration } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { checkCode } from '../common/bootstrap';
import { KEY_USE, throughService } from '../common/key';
import { arnForPolicy } from '../common/secret';
import { tracingOf } from '../common/tracing';
import { credentialSecret } from './credential';
import type { SlackAgentProps } from './props';

/** The ids of the claims in the ingress's table begin with this. */
export const CLAIM_PREFIX = 'rotation#';

/** The function's time-out. A run that has claimed a refresh token counts as over a minute later. */
export const ROTATION_TIMEOUT = Duration.minutes(2);

/**
 * How often the function runs. A token is refreshed with six hours left, so a run that has certainly not used the refresh token is
 * followed by twenty others. One that may have used it is followed by none until the token has expired.
 */
export const ROTATION_EVERY = Duration.minutes(15);

export interface TokenRotationProps
  extends Pick<SlackAgentProps, 'architecture' | 'logLevel' | 'tracing'>,
    Required<Pick<SlackAgentProps, 'logRetention' | 'removalPolicy'>> {
  /** The function `token-rotation`, built for `architecture`. */
  readonly code: lambda.Code;
  /** The ingress's table. Who may use a refresh token is decided there. */
  readonly table: dynamodb.ITable;
  /** The key that the table is encrypted with, and what is created here. @default keys of AWS's */
  readonly encryptionKey?: kms.IKey;
  /** The secrets with the bot tokens. */
  readonly botTokens: secretsmanager.ISecret[];
}

/** A function that looks at every bot token once in a quarter of an hour, and gets a new one for each that has six hours left. */
export class TokenRotation extends Construct {
  readonly function: lambda.Function;
  /** Where the app's client id and client secret go. No other function may read it. */
  readonly appCredentials: secretsmanager.Secret;

  constructor(scope: Construct, id: string, props: TokenRotationProps) {
    super(scope, id);
    const { table, botTokens, encryptionKey, architecture = lambda.Architecture.ARM_64 } = props;
    checkCode(props.code, { binary: 'token-rotation', architecture });
    this.appCredentials = credentialSecret(this, 'AppCredentials', {
      description: 'slack-ingress: the Slack app\'s credentials, as {"client_id": "…", "client_secret": "…"}',
      key: 'client_secret',
      whyItIsNotRotated: 'Slack creates the client secret, and Secrets Manager cannot rotate it.',
      encryptionKey,
      removalPolicy: props.removalPolicy,
    });
    const logGroup = new logs.LogGroup(this, 'Log', { retention: props.logRetention, removalPolicy: props.removalPolicy, encryptionKey });
    const role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what token-rotation may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const grant = (actions: string[], resources: string[], conditions?: iam.Conditions) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]);
    grant(['dynamodb:DeleteItem', 'dynamodb:PutItem'], [table.tableArn], {
      'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [`${CLAIM_PREFIX}*`] },
    });
    grant(
      ['secretsmanager:GetSecretValue', 'secretsmanager:PutSecretValue', 'secretsmanager:UpdateSecretVersionStage'],
      botTokens.map(arnForPolicy),
    );
    grant(['secretsmanager:GetSecretValue'], [arnForPolicy(this.appCredentials)]);
    if (encryptionKey) role.addToPolicy(throughService(this, 'dynamodb', KEY_USE.read, encryptionKey));
    const keys = new Map(botTokens.flatMap((it) => (it.encryptionKey ? [[it.encryptionKey.keyArn, it.encryptionKey]] : [])));
    if (keys.size > 0) role.addToPolicy(throughService(this, 'secretsmanager', KEY_USE.write, ...keys.values()));
    // The app's credentials are read and not written.
    if (encryptionKey && !keys.has(encryptionKey.keyArn)) {
      role.addToPolicy(throughService(this, 'secretsmanager', KEY_USE.read, encryptionKey));
    }
    this.function = new lambda.Function(this, 'Function', {
      description: 'slack-ingress: gets new bot tokens before the old ones expire',
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture,
      handler: 'bootstrap',
      code: props.code,
      memorySize: 256,
      timeout: ROTATION_TIMEOUT,
      role,
      logGroup,
      tracing: tracingOf(role, props.tracing),
      environment: {
        DEDUP_STORE: `dynamodb:${table.tableName}`,
        BOT_TOKEN_SECRETS: botTokens.map((it) => it.secretArn).join(','),
        APP_CREDENTIALS_SECRET: this.appCredentials.secretArn,
        RUST_LOG: props.logLevel ?? 'info',
      },
      // Lambda repeats no run that failed or came late: the next one starts within a quarter of an hour anyway.
      retryAttempts: 0,
      maxEventAge: ROTATION_EVERY,
    });
    new events.Rule(this, 'Schedule', {
      description: 'slack-ingress: runs the function token-rotation',
      schedule: events.Schedule.rate(ROTATION_EVERY),
      targets: [new targets.LambdaFunction(this.function, { retryAttempts: 0 })],
    });
  }
}

/** Returns the command that puts the app's credentials, which it reads, into a secret. */
export function putAppCredentials(secretArn: string, region: string): string {
  return (
    `read -r CLIENT_ID; read -rs CLIENT_SECRET; aws secretsmanager put-secret-value --region ${region} --secret-id ${secretArn} ` +
    '--secret-string file:///dev/stdin <<<"{\\"client_id\\": \\"$CLIENT_ID\\", \\"client_secret\\": \\"$CLIENT_SECRET\\"}"'
  );
}
