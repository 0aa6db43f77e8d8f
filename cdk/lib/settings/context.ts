// How the values of the settings are read and checked.

import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { APPROVAL_HOURS } from '../agent/approvals';
import { BATCH_SIZE, DISPATCH_CONCURRENCY, GIVE_UP_SECONDS, MAX_ATTEMPTS } from '../agent/dispatch';
import { POST_WAIT_SECONDS } from '../agent/function';
import { AUDIT_DAYS } from '../agent/audit';
import { A_DAY, TOKENS_A_QUESTION } from '../agent/limits';
import { MEMORY_DAYS } from '../agent/memory';
import { type AgentCall, LONGEST_CALL } from '../common/agent-queue';
import {
  ACK_BUDGET_MS,
  type Bounds,
  DEDUP_TTL_SECONDS,
  MEMORY_MB,
  RECEIVE_COUNT,
  RESERVED_CONCURRENCY,
  RETENTION_SECONDS,
  THROTTLE_LIMITS,
  VISIBILITY_SECONDS,
  WARM_WRITE_UNITS,
  outside,
} from '../common/limits';
import { KEPT } from '../common/removal';
import { HOST, type TwoRegionsProps } from '../ingress/two-regions';
import { NEED_AN_AGENT, SETTINGS, type Setting } from './names';

/** What each number may be. With an agent the constructs say more about some of them. */
const NUMBERS = {
  memorySize: MEMORY_MB,
  reservedConcurrency: RESERVED_CONCURRENCY,
  throttleRate: THROTTLE_LIMITS,
  throttleBurst: THROTTLE_LIMITS,
  visibilityMinutes: { least: VISIBILITY_SECONDS.least / 60, most: VISIBILITY_SECONDS.most / 60 },
  retentionMinutes: { least: RETENTION_SECONDS.least / 60, most: RETENTION_SECONDS.most / 60 },
  maxReceiveCount: RECEIVE_COUNT,
  // An older message is not on the queue any more.
  maxMessageAgeMinutes: { least: 1, most: RETENTION_SECONDS.most / 60 },
  dedupTtlSeconds: DEDUP_TTL_SECONDS,
  warmWriteUnits: WARM_WRITE_UNITS,
  ackBudgetMs: ACK_BUDGET_MS,
  memoryDays: MEMORY_DAYS,
  agentTimeoutSeconds: { least: 1, most: LONGEST_CALL.work },
  maxAttempts: MAX_ATTEMPTS,
  giveUpAfterMinutes: { least: 1, most: GIVE_UP_SECONDS.most / 60 },
  postWaitSeconds: POST_WAIT_SECONDS,
  unansweredAfterMinutes: { least: 1, most: RETENTION_SECONDS.most / 60 },
  dispatchConcurrency: DISPATCH_CONCURRENCY,
  // Lambda's longest.
  dispatchTimeoutSeconds: { least: 1, most: 900 },
  dispatchBatchSize: BATCH_SIZE,
  tokensAQuestion: TOKENS_A_QUESTION,
  alarmTokensADay: A_DAY,
  approvalHours: APPROVAL_HOURS,
  auditDays: AUDIT_DAYS,
  auditExportDays: AUDIT_DAYS,
} satisfies Partial<Record<Setting, Bounds>>;

/** The whole ARN of a secret. */
export const SECRET_ARN = /^arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:[\w/+=.@-]+-\w{6}$/;
const SECRET = { form: SECRET_ARN, what: 'the whole ARN of a secret, with the six characters at its end' };
const REGION = { form: /^[a-z]{2}(-[a-z]+)+-\d$/, what: 'a region such as us-east-1' };
/** A key's own ARN: a policy that names an alias grants nothing. */
const KEY = { form: /^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/, what: 'the ARN of a KMS key, and not of an alias of it' };
const TOPIC = { form: /^arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]+(\.fifo)?$/, what: 'the ARN of an SNS topic' };

/** What each text must look like, for those of which AWS would say so only in the middle of a deployment. */
const FORMS = {
  stackName: {
    // CloudFormation's 128, less what the agent's stack is called besides.
    form: /^[A-Za-z][A-Za-z0-9-]{0,122}$/,
    what: 'a name of at most 123 letters, digits and -, with a letter in front',
  },
  domainName: { form: HOST, what: 'a host such as slack.example.com' },
  hostedZoneId: { form: /^Z[A-Z0-9]{1,31}$/, what: 'the id of a hosted zone, such as Z0123456789ABCDEFGHIJ' },
  standbyRegion: REGION,
  activeRegion: REGION,
  topicArn: TOPIC,
  topicKeyArn: KEY,
  encryptionKeyArn: KEY,
  secretsKeyArn: KEY,
  alarmTopicArn: TOPIC,
  signingSecretArn: SECRET,
  botTokenSecretArn: SECRET,
  trelloSecretArn: SECRET,
  fastPathTokenSecretArn: SECRET,
  agentRuntimeArn: {
    form: /^arn:[\w-]+:bedrock-agentcore:[\w-]+:\d{12}:(runtime|harness)\/[^/:]+$/,
    what: 'the ARN of an AgentCore Runtime or of a harness',
  },
  agentToolsGatewayArn: {
    form: /^arn:[\w-]+:bedrock-agentcore:[\w-]+:\d{12}:gateway\/[^/:]+$/,
    what: 'the ARN of an AgentCore Gateway',
  },
  agentToolsGatewayUrl: { form: /^https:\/\/[^\s/]+\/\S+$/, what: 'the MCP endpoint of an AgentCore Gateway, https://…' },
  // A word that is no level would be taken for the name of a part of the program, of which nothing is then logged.
  logLevel: {
    form: /^(([\w:]+=)?(off|error|warn|info|debug|trace)(,(?!$)|$))+$/,
    what: 'off, error, warn, info, debug or trace, or a list such as warn,slack_ingress=debug',
  },
} satisfies Partial<Record<Setting, { form: RegExp; what: string }>>;

const RETENTIONS = Object.values(logs.RetentionDays).filter(
  (it): it is logs.RetentionDays => typeof it === 'number' && it !== logs.RetentionDays.INFINITE,
);

/**
 * Returns the value of a setting. A setting with an empty value counts as not given. In cdk.json a list may be a list, and what is
 * JSON on the command line an object.
 */
export function setting(scope: Construct, name: Setting): string | undefined {
  const value: unknown = scope.node.tryGetContext(name);
  if (value === undefined || value === '') return undefined;
  return typeof value === 'object' && !Array.isArray(value) ? JSON.stringify(value) : String(value);
}

/**
 * Returns functions that read the settings of one scope as values of several types. Each of them throws an Error that
 * names the setting if the value is not of its type.
 */
export function settingsOf(scope: Construct) {
  const text = (name: Setting) => setting(scope, name);
  const number = (name: keyof typeof NUMBERS) => {
    const value = text(name);
    if (value === undefined) return undefined;
    if (!/^\d+$/.test(value)) throw new Error(`${name} must be a whole number, and is: ${value}`);
    const problem = outside(Number(value), NUMBERS[name]);
    if (problem !== undefined) throw new Error(`${name} ${problem}`);
    return Number(value);
  };
  const formed = (name: keyof typeof FORMS) => {
    const value = text(name);
    const { form, what } = FORMS[name];
    if (value !== undefined && !form.test(value)) throw new Error(`${name} must be ${what}, and is: ${value}`);
    return value;
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
    formed,
    isOn: (name: Setting, byDefault = false) => (choice(name, 'true', 'false') ?? String(byDefault)) === 'true',
    minutes: (name: keyof typeof NUMBERS) => {
      const value = number(name);
      return value === undefined ? undefined : Duration.minutes(value);
    },
    seconds: (name: keyof typeof NUMBERS) => {
      const value = number(name);
      return value === undefined ? undefined : Duration.seconds(value);
    },
    millis: (name: keyof typeof NUMBERS) => {
      const value = number(name);
      return value === undefined ? undefined : Duration.millis(value);
    },
    topic: (id: string, name: 'topicArn' | 'alarmTopicArn', keyName?: 'topicKeyArn') => {
      const [topicArn, keyArn] = [formed(name), keyName && formed(keyName)];
      if (topicArn === undefined && keyArn !== undefined) throw new Error(`${keyName} has no effect without ${name}`);
      return topicArn === undefined ? undefined : sns.Topic.fromTopicAttributes(scope, id, { topicArn, keyArn });
    },
    secret: (id: string, name: 'signingSecretArn' | 'botTokenSecretArn' | 'trelloSecretArn' | 'fastPathTokenSecretArn') => {
      const arn = formed(name);
      return arn === undefined ? undefined : secretOf(scope, id, arn);
    },
    encryptionKey: () => {
      const arn = formed('encryptionKeyArn');
      return arn === undefined ? undefined : kms.Key.fromKeyArn(scope, 'EncryptionKey', arn);
    },
    logLevel: () => formed('logLevel'),
    /** CloudWatch keeps logs for some numbers of days and for no others. */
    logRetention: () => {
      const value = text('logRetentionDays');
      if (value === undefined) return undefined;
      if (value === 'forever') return logs.RetentionDays.INFINITE;
      const days = RETENTIONS.find((it) => String(it) === value);
      if (days === undefined) throw new Error(`logRetentionDays must be one of ${RETENTIONS.join(', ')}, forever, and is: ${value}`);
      return days;
    },
    architecture: () =>
      choice('architecture', 'arm64', 'x86_64') === 'x86_64' ? lambda.Architecture.X86_64 : lambda.Architecture.ARM_64,
    removalPolicy: () => (choice('removalPolicy', 'destroy', 'retain') === 'destroy' ? RemovalPolicy.DESTROY : KEPT),
  };
}

/** Returns a secret of one's own by its whole ARN, with the key that is set for such secrets. */
export function secretOf(scope: Construct, id: string, secretCompleteArn: string): secretsmanager.ISecret {
  const keyArn = settingsOf(scope).formed('secretsKeyArn');
  const encryptionKey = keyArn === undefined ? undefined : kms.Key.fromKeyArn(scope, `${id}Key`, keyArn);
  return secretsmanager.Secret.fromSecretAttributes(scope, id, { secretCompleteArn, encryptionKey });
}

/**
 * Checks that a key for one's own secrets is set only where there is such a secret.
 *
 * @throws Error if there is none
 */
export function checkSecretsKey(scope: Construct): void {
  const { text, formed, list } = settingsOf(scope);
  const ofOne: Setting[] = ['signingSecretArn', 'fastPathTokenSecretArn', 'botTokenSecretArn', 'trelloSecretArn'];
  const isUsed = ofOne.some((name) => text(name) !== undefined) || list('moreWorkspaces')?.some((it) => it.includes('='));
  if (formed('secretsKeyArn') !== undefined && !isUsed) {
    throw new Error('secretsKeyArn has no effect without a secret of your own: encryptionKeyArn is for those that are created');
  }
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
  return {
    agentProtocol: choice('agentProtocol', 'work', 'plain'),
    agentTimeout: seconds('agentTimeoutSeconds'),
    timeout: seconds('dispatchTimeoutSeconds'),
  };
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

/**
 * Returns the two regions that the settings describe, or nothing if they describe one.
 *
 * @throws Error if a setting is missing, or names something that is in the other region: it would be gone with that region
 */
export function twoRegions(scope: Construct): TwoRegionsProps | undefined {
  const { formed } = settingsOf(scope);
  const [standbyRegion, activeRegion] = [formed('standbyRegion'), formed('activeRegion')];
  const [domainName, hostedZoneId] = [formed('domainName'), formed('hostedZoneId')];
  if (standbyRegion !== undefined && activeRegion !== undefined) {
    throw new Error('standbyRegion and activeRegion cannot both be set: a stack is the active one or the standby');
  }
  const other = standbyRegion ?? activeRegion;
  if (other === undefined) {
    const useless = domainName === undefined ? hostedZoneId && 'hostedZoneId' : 'domainName';
    if (useless) throw new Error(`${useless} has no effect with one region: set standbyRegion, or activeRegion in the standby`);
    return undefined;
  }
  if (domainName === undefined || hostedZoneId === undefined) {
    throw new Error('two regions need one host for Slack to post to: set domainName and hostedZoneId');
  }
  const there = SETTINGS.find((name) => new RegExp(`\\barn:[\\w-]+:[\\w-]+:${other}:`).test(setting(scope, name) ?? ''));
  if (there) throw new Error(`${there} names something in ${other}, the other region, and would be gone with it: give what is in this one`);
  return { domainName, hostedZoneId, standbyRegion, activeRegion };
}
