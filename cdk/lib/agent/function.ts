// What agent-dispatch and agent-settle have in common: a function with a log and a role of its own, and the work records.

import type { Duration } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { type Binary, checkCode } from '../common/bootstrap';
import { KEY_USE, throughService } from '../common/key';
import { type Bounds, checkWithin } from '../common/limits';
import { tracingOf } from '../common/tracing';
import type { SlackAgentProps } from './props';

/** The ids of the work records begin with this. The ingress's table has other items too. */
export const RECORD_PREFIX = 'dispatch#';

/** How long a call to Slack may be under way (src/config/parse.rs). */
export const POST_WAIT_SECONDS: Bounds = { least: 1, most: 900 };

/** The properties that both functions have. */
export interface AgentFunctionProps
  extends Pick<SlackAgentProps, 'architecture' | 'postWait' | 'logLevel' | 'tracing'>,
    Required<Pick<SlackAgentProps, 'logRetention' | 'removalPolicy'>> {
  /** The function's code, built for `architecture`. */
  readonly code: lambda.Code;
  /** The key that the ingress's table and queues are encrypted with, and the log. @default keys of AWS's */
  readonly encryptionKey?: kms.IKey;
}

interface Rest {
  readonly binary: Binary;
  readonly description: string;
  /** What the role's description calls the function. */
  readonly name: string;
  readonly timeout: Duration;
  readonly environment: Record<string, string>;
}

/** Creates a function in `scope` with a log and a role of its own. The role may write the log and, if the function is
 * traced, traces. */
export function agentFunction(scope: Construct, props: AgentFunctionProps, rest: Rest) {
  const postWait = props.postWait?.toSeconds() ?? 90;
  const architecture = props.architecture ?? lambda.Architecture.ARM_64;
  checkCode(props.code, { binary: rest.binary, architecture });
  checkWithin(`${rest.name}: postWait, in seconds,`, postWait, POST_WAIT_SECONDS);
  const logGroup = new logs.LogGroup(scope, 'Log', {
    retention: props.logRetention,
    removalPolicy: props.removalPolicy,
    encryptionKey: props.encryptionKey,
  });
  const role = new iam.Role(scope, 'Role', {
    description: `slack-ingress: what ${rest.name} may do, and nothing more`,
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
  });
  const grant = (actions: string[], resources: string[], conditions?: iam.Conditions) =>
    role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
  grant(['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]);
  const fn = new lambda.Function(scope, 'Function', {
    description: rest.description,
    runtime: lambda.Runtime.PROVIDED_AL2023,
    architecture,
    handler: 'bootstrap',
    code: props.code,
    memorySize: 256,
    timeout: rest.timeout,
    role,
    logGroup,
    tracing: tracingOf(role, props.tracing),
    environment: { ...rest.environment, POST_WAIT_SECONDS: String(postWait), RUST_LOG: props.logLevel ?? 'info' },
  });
  return {
    function: fn,
    grant,
    /** Lets the function read and write work records, and nothing else in the table: neither records of events nor parked ones. */
    grantRecords: (table: dynamodb.ITable) => {
      grant(['dynamodb:GetItem', 'dynamodb:UpdateItem'], [table.tableArn], {
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [`${RECORD_PREFIX}*`] },
      });
      if (props.encryptionKey) role.addToPolicy(throughService(scope, 'dynamodb', KEY_USE.read, props.encryptionKey));
    },
    /** Lets the function, and Lambda with its role, send messages to the ingress's queues and receive them. */
    grantMessages: () => {
      if (props.encryptionKey) role.addToPolicy(throughService(scope, 'sqs', KEY_USE.write, props.encryptionKey));
    },
  };
}
