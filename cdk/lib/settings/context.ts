// The names of all settings (`cdk -c name=value`), and how their values are read and checked.

import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import type { AgentCall } from '../agent/dispatch';

/** The names that `cdk -c name=value` may set. docs/deploy.md explains each of them. */
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
  'dmConversation',
  'controlEvents',
  'warmWriteUnits',
  'alarmTopicArn',
  'tracing',
  'removalPolicy',
  'maxReceiveCount',
  'agent',
  'agentView',
  'dispatchCodePath',
  'settleCodePath',
  'agentCodePath',
  'thinking',
  'tools',
  'trello',
  'trelloSecretArn',
  'agentTracing',
  'answer',
  'memory',
  'memoryDays',
  'botTokenSecretArn',
  'workspace',
  'moreWorkspaces',
  'rotatingTokens',
  'rotationCodePath',
  'files',
  'agentRuntimeArn',
  'agentRuntimeQualifier',
  'agentProtocol',
  'agentEvents',
  'agentTimeoutSeconds',
  'maxAttempts',
  'giveUpAfterMinutes',
  'postWaitSeconds',
  'unansweredAfterMinutes',
  'dispatchConcurrency',
  'suggestedPrompts',
  'sessionTitles',
  'feedbackButtons',
] as const;

export type Setting = (typeof SETTINGS)[number];

/**
 * The settings that have no effect without an agent, and are then refused. The paths of the code are not among them:
 * they may always be given, because they only say what has been built.
 */
const NEED_AN_AGENT = [
  'agentView',
  'thinking',
  'tools',
  'trello',
  'trelloSecretArn',
  'agentTracing',
  'answer',
  'memory',
  'memoryDays',
  'botTokenSecretArn',
  'workspace',
  'moreWorkspaces',
  'rotatingTokens',
  'files',
  'agentRuntimeArn',
  'agentRuntimeQualifier',
  'agentProtocol',
  'agentEvents',
  'agentTimeoutSeconds',
  'maxAttempts',
  'giveUpAfterMinutes',
  'postWaitSeconds',
  'unansweredAfterMinutes',
  'dispatchConcurrency',
  'suggestedPrompts',
  'sessionTitles',
  'feedbackButtons',
] as const satisfies Setting[];

/** Returns the value of a setting. A setting with an empty value counts as not given. */
export function setting(scope: Construct, name: Setting): string | undefined {
  const value: unknown = scope.node.tryGetContext(name);
  return value === undefined || value === '' ? undefined : String(value);
}

/**
 * Returns functions that read the settings of one scope as values of several types. Each of them throws an Error that
 * names the setting if the value is not of its type.
 */
export function settingsOf(scope: Construct) {
  const text = (name: Setting) => setting(scope, name);
  const number = (name: Setting) => {
    const value = text(name);
    if (value !== undefined && !/^\d+$/.test(value)) throw new Error(`${name} must be a whole number, and is: ${value}`);
    return value === undefined ? undefined : Number(value);
  };
  const list = (name: Setting) => text(name)?.split(',').map((it) => it.trim());
  const choice = <T extends string>(name: Setting, ...choices: T[]): T | undefined => {
    const value = text(name);
    if (value !== undefined && !choices.includes(value as T)) {
      throw new Error(`${name} must be one of ${choices.join(', ')}, and is: ${value}`);
    }
    return value as T | undefined;
  };
  return {
    text,
    number,
    list,
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
 * Returns whether the settings ask for an agent.
 *
 * @throws Error if they do not, and one of them has no effect without an agent
 */
export function wantsAgent(scope: Construct): boolean {
  const { text, choice } = settingsOf(scope);
  const wanted = choice('agent', 'true', 'false') === 'true';
  const useless = wanted ? undefined : NEED_AN_AGENT.find((name) => text(name) !== undefined);
  if (useless) throw new Error(`${useless} has no effect without an agent: set agent=true`);
  return wanted;
}

/**
 * Returns whether the Slack app is an agent (`agent_view` in its manifest). Call it only if `wantsAgent` is true.
 *
 * @throws Error if another setting contradicts it
 */
export function wantsAgentView(scope: Construct): boolean {
  const { choice } = settingsOf(scope);
  const wanted = choice('agentView', 'true', 'false') !== 'false';
  if (wanted && choice('dmConversation', 'channel', 'thread') === 'channel') {
    throw new Error('dmConversation=channel needs agentView=false: in an app with agent_view each root message starts a conversation');
  }
  return wanted;
}

/** Returns whether the bot tokens expire, so that new ones have to be got. Call it only if `wantsAgent` is true. */
export function wantsRotation(scope: Construct): boolean {
  return settingsOf(scope).choice('rotatingTokens', 'true', 'false') === 'true';
}

/** Returns how the settings say that the agent is called. */
export function agentCall(scope: Construct): AgentCall {
  const { choice, seconds } = settingsOf(scope);
  return { agentProtocol: choice('agentProtocol', 'work', 'plain'), agentTimeout: seconds('agentTimeoutSeconds') };
}

/**
 * Checks that the paths of the functions' code are all given or all absent. If one function were given and another one
 * built, two versions of the program would use the same table.
 *
 * @throws Error that names the paths that are missing
 */
export function checkPaths(scope: Construct, withAgent: boolean): void {
  const names: Setting[] = [
    'codePath',
    'redriveCodePath',
    ...(withAgent ? (['dispatchCodePath', 'settleCodePath'] as const) : []),
    ...(withAgent && wantsRotation(scope) ? (['rotationCodePath'] as const) : []),
  ];
  const missing = names.filter((name) => setting(scope, name) === undefined);
  if (missing.length === 0 || missing.length === names.length) return;
  const all = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  throw new Error(`${all} must be given together, but these are missing: ${missing.join(', ')}`);
}
