import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { MAX_RECEIVE_COUNT, dispatchVisibility } from './agent-dispatch.ts';
import type { AgentProps } from './agent-stack.ts';
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
  'maxReceiveCount',
  'agent',
  'dispatchCodePath',
  'agentCodePath',
  'thinking',
  'botTokenSecretArn',
  'agentRuntimeArn',
  'agentRuntimeQualifier',
  'agentTimeoutSeconds',
  'maxAttempts',
  'dispatchConcurrency',
] as const;

type Setting = (typeof SETTINGS)[number];

/** What says nothing without an agent. The paths may be given all the same: they say what is built. */
const OF_THE_AGENT = [
  'thinking',
  'botTokenSecretArn',
  'agentRuntimeArn',
  'agentRuntimeQualifier',
  'agentTimeoutSeconds',
  'maxAttempts',
  'dispatchConcurrency',
] as const satisfies Setting[];

/** A setting's value, or none. An empty one counts as none. */
export function setting(scope: Construct, name: Setting): string | undefined {
  const value: unknown = scope.node.tryGetContext(name);
  return value === undefined || value === '' ? undefined : String(value);
}

/** The settings of one scope, and what they may be. */
function reader(scope: Construct) {
  const text = (name: Setting) => setting(scope, name);
  const number = (name: Setting) => {
    const value = text(name);
    if (value !== undefined && !/^\d+$/.test(value)) throw new Error(`${name} is no whole number: ${value}`);
    return value === undefined ? undefined : Number(value);
  };
  const choice = <T extends string>(name: Setting, ...choices: T[]): T | undefined => {
    const value = text(name);
    if (value !== undefined && !choices.includes(value as T)) {
      throw new Error(`${name} is none of ${choices.join(', ')}: ${value}`);
    }
    return value as T | undefined;
  };
  return {
    text,
    number,
    choice,
    minutes: (name: Setting) => {
      const value = number(name);
      return value === undefined ? undefined : Duration.minutes(value);
    },
    seconds: (name: Setting) => {
      const value = number(name);
      return value === undefined ? undefined : Duration.seconds(value);
    },
    topic: (id: string, arn: string | undefined) => (arn ? sns.Topic.fromTopicArn(scope, id, arn) : undefined),
    secret: (id: string, arn: string | undefined) =>
      arn ? secretsmanager.Secret.fromSecretCompleteArn(scope, id, arn) : undefined,
    architecture: () =>
      choice('architecture', 'arm64', 'x86_64') === 'x86_64' ? lambda.Architecture.X86_64 : lambda.Architecture.ARM_64,
    removalPolicy: () =>
      choice('removalPolicy', 'destroy', 'retain') === 'retain' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  };
}

/**
 * Whether the context asks for an agent.
 *
 * @throws of a setting that would say nothing without one
 */
export function wantsAgent(scope: Construct): boolean {
  const { text, choice } = reader(scope);
  const wanted = choice('agent', 'true', 'false') === 'true';
  const idle = wanted ? undefined : OF_THE_AGENT.find((name) => text(name) !== undefined);
  if (idle) throw new Error(`${idle} is of the agent, and there is none without agent=true`);
  return wanted;
}

/** Some of them given and some built would be two versions of one program at one table. */
function checkPaths(scope: Construct, withAgent: boolean): void {
  const names: Setting[] = ['codePath', 'redriveCodePath', ...(withAgent ? (['dispatchCodePath'] as const) : [])];
  const missing = names.filter((name) => setting(scope, name) === undefined);
  if (missing.length === 0 || missing.length === names.length) return;
  const all = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  throw new Error(`${all} go together, and ${missing.join(', ')} is missing`);
}

/**
 * The ingress that the context describes.
 *
 * @throws of a value that is none, with the ones that are
 */
export function ingressProps(scope: Construct): SlackIngressProps {
  const { text, number, minutes, seconds, choice, topic, secret, ...other } = reader(scope);
  const withAgent = wantsAgent(scope);
  const architecture = other.architecture();
  const topicArn = text('topicArn');
  if (withAgent && topicArn) throw new Error('agent and topicArn: one of them, for the agent is fed by the queue');
  const code = { architecture, features: topicArn ? ['sns'] : [] };
  checkPaths(scope, withAgent);
  return {
    architecture,
    code: functionCode({ ...code, binary: 'slack-ingress', path: text('codePath') }),
    redriveCode: functionCode({ ...code, binary: 'redrive', path: text('redriveCodePath') }),
    memorySize: number('memorySize'),
    reservedConcurrentExecutions: number('reservedConcurrency'),
    frontDoor: choice('frontDoor', 'http-api', 'function-url'),
    topic: topic('ImportedTopic', topicArn),
    queueType: choice('queueType', 'fifo', 'standard'),
    // For a consumer that hands over and has done, an event comes back sooner, and may come back often.
    visibilityTimeout:
      minutes('visibilityMinutes') ?? (withAgent ? dispatchVisibility(seconds('agentTimeoutSeconds')) : undefined),
    maxReceiveCount: number('maxReceiveCount') ?? (withAgent ? MAX_RECEIVE_COUNT : undefined),
    maxMessageAge: minutes('maxMessageAgeMinutes'),
    signingSecret: secret('ImportedSigningSecret', text('signingSecretArn')),
    dedupTtl: seconds('dedupTtlSeconds'),
    dedupKey: choice('dedupKey', 'event_id', 'message'),
    botEvents: choice('botEvents', 'drop', 'own', 'forward'),
    alarmTopic: topic('ImportedAlarmTopic', text('alarmTopicArn')),
    removalPolicy: other.removalPolicy(),
  };
}

/**
 * The agent that the context describes, for `wantsAgent`.
 *
 * @throws of a value that is none, with the ones that are
 */
export function agentProps(scope: Construct): AgentProps {
  const { text, number, seconds, topic, secret, ...other } = reader(scope);
  const architecture = other.architecture();
  checkPaths(scope, true);
  const runtimeArn = text('agentRuntimeArn');
  if (runtimeArn && !/^arn:[\w-]+:bedrock-agentcore:[\w-]+:\d{12}:runtime\/[^/:]+$/.test(runtimeArn)) {
    throw new Error(`agentRuntimeArn is no ARN of an AgentCore Runtime: ${runtimeArn}`);
  }
  const meaningless: Setting[] = runtimeArn ? ['thinking', 'botTokenSecretArn'] : ['agentRuntimeQualifier'];
  const given = meaningless.find((name) => text(name) !== undefined);
  if (given) throw new Error(`${given} and agentRuntimeArn: ${runtimeArn ? 'one of them' : 'both or neither'}`);
  return {
    architecture,
    dispatchCode: functionCode({ binary: 'agent-dispatch', path: text('dispatchCodePath'), architecture }),
    agent: runtimeArn
      ? { runtimeArn, qualifier: text('agentRuntimeQualifier') }
      : {
          code: text('agentCodePath'),
          thinking: text('thinking'),
          botToken: secret('ImportedBotToken', text('botTokenSecretArn')),
        },
    agentTimeout: seconds('agentTimeoutSeconds'),
    maxAttempts: number('maxAttempts'),
    maxConcurrency: number('dispatchConcurrency'),
    alarmTopic: topic('ImportedAlarmTopic', text('alarmTopicArn')),
    removalPolicy: other.removalPolicy(),
  };
}
