import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { functionCode } from './code.ts';
import type { SlackIngressProps } from './slack-ingress.ts';

/** What `cdk -c name=value` can set; docs/deploy.md has the table. */
export const SETTINGS = [
  'stackName',
  'codePath',
  'redriveCodePath',
  'architecture',
  'memorySize',
  'reservedConcurrency',
  'frontDoor',
  'topicArn',
  'queueType',
  'visibilityMinutes',
  'maxMessageAgeMinutes',
  'signingSecretArn',
  'dedupTtlSeconds',
  'dedupKey',
  'botEvents',
  'alarmTopicArn',
  'removalPolicy',
] as const;

type Setting = (typeof SETTINGS)[number];

/** A setting's value, or none. An empty one counts as none. */
export function setting(scope: Construct, name: Setting): string | undefined {
  const value: unknown = scope.node.tryGetContext(name);
  return value === undefined || value === '' ? undefined : String(value);
}

/**
 * The ingress that the context describes.
 *
 * @throws of a value that is none, with the ones that are
 */
export function ingressProps(scope: Construct): SlackIngressProps {
  const text = (name: Setting) => setting(scope, name);
  const number = (name: Setting) => {
    const value = text(name);
    if (value !== undefined && !/^\d+$/.test(value)) throw new Error(`${name} is no whole number: ${value}`);
    return value === undefined ? undefined : Number(value);
  };
  const minutes = (name: Setting) => {
    const value = number(name);
    return value === undefined ? undefined : Duration.minutes(value);
  };
  const choice = <T extends string>(name: Setting, ...choices: T[]): T | undefined => {
    const value = text(name);
    if (value !== undefined && !choices.includes(value as T)) {
      throw new Error(`${name} is none of ${choices.join(', ')}: ${value}`);
    }
    return value as T | undefined;
  };

  const architecture =
    choice('architecture', 'arm64', 'x86_64') === 'x86_64' ? lambda.Architecture.X86_64 : lambda.Architecture.ARM_64;
  const secretArn = text('signingSecretArn');
  const topic = (id: string, arn: string | undefined) => (arn ? sns.Topic.fromTopicArn(scope, id, arn) : undefined);
  const topicArn = text('topicArn');
  const code = { architecture, features: topicArn ? ['sns'] : [] };
  const [path, redrivePath] = [text('codePath'), text('redriveCodePath')];
  // Half of each would be two versions of one program at one table.
  if ((path === undefined) !== (redrivePath === undefined)) {
    throw new Error(`codePath and redriveCodePath go together, and ${path ? 'redriveCodePath' : 'codePath'} is missing`);
  }
  const ttl = number('dedupTtlSeconds');
  const removalPolicy = choice('removalPolicy', 'destroy', 'retain');
  return {
    architecture,
    code: functionCode({ ...code, binary: 'slack-ingress', path }),
    redriveCode: functionCode({ ...code, binary: 'redrive', path: redrivePath }),
    memorySize: number('memorySize'),
    reservedConcurrentExecutions: number('reservedConcurrency'),
    frontDoor: choice('frontDoor', 'http-api', 'function-url'),
    topic: topic('ImportedTopic', topicArn),
    queueType: choice('queueType', 'fifo', 'standard'),
    visibilityTimeout: minutes('visibilityMinutes'),
    maxMessageAge: minutes('maxMessageAgeMinutes'),
    signingSecret: secretArn
      ? secretsmanager.Secret.fromSecretCompleteArn(scope, 'ImportedSigningSecret', secretArn)
      : undefined,
    dedupTtl: ttl === undefined ? undefined : Duration.seconds(ttl),
    dedupKey: choice('dedupKey', 'event_id', 'message'),
    botEvents: choice('botEvents', 'drop', 'own', 'forward'),
    alarmTopic: topic('ImportedAlarmTopic', text('alarmTopicArn')),
    removalPolicy: removalPolicy === 'retain' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  };
}
