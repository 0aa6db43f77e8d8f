// From the settings to the props of the ingress.

import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { dispatchVisibility } from '../common/agent-queue';
import { GRADUAL } from '../ingress/live';
import { type SlackIngressProps, THROTTLE } from '../ingress/slack-ingress';
import { functionCode } from './code';
import { agentCall, checkPaths, checkSecretsKey, settingsOf, twoRegions, wantsAgent, wantsAgentView } from './context';

/**
 * Returns the props of the ingress that the settings describe.
 *
 * @throws Error if a setting's value is not allowed; the message says which values are
 */
export function ingressProps(scope: Construct): SlackIngressProps {
  const { text, number, list, isOn, minutes, seconds, millis, choice, topic, secret, ...other } = settingsOf(scope);
  const withAgent = wantsAgent(scope);
  const architecture = other.architecture();
  const topicArn = text('topicArn');
  if (withAgent && topicArn) throw new Error('agent and topicArn cannot both be set: the agent needs the queue');
  const maxMessageAge = minutes('maxMessageAgeMinutes');
  if (withAgent && maxMessageAge) {
    throw new Error('maxMessageAgeMinutes has no effect with an agent: unansweredAfterMinutes takes its place');
  }
  const code = { architecture, features: topicArn ? ['sns'] : [] };
  checkPaths(scope, withAgent);
  checkSecretsKey(scope);
  return {
    architecture,
    code: functionCode({ ...code, binary: 'slack-ingress', path: text('codePath') }),
    redriveCode: functionCode({ ...code, binary: 'redrive', path: text('redriveCodePath') }),
    memorySize: number('memorySize'),
    reservedConcurrentExecutions: number('reservedConcurrency'),
    frontDoor: choice('frontDoor', 'http-api', 'function-url'),
    throttle: throttle(number('throttleRate'), number('throttleBurst')),
    twoRegions: twoRegions(scope),
    topic: topic('ImportedTopic', 'topicArn', 'topicKeyArn'),
    queueType: choice('queueType', 'fifo', 'standard'),
    // With an agent a question is on the queue until it is answered. It is received again and again meanwhile, and only
    // the dispatcher gives it up.
    forAgent: withAgent,
    visibilityTimeout: minutes('visibilityMinutes') ?? (withAgent ? dispatchVisibility(agentCall(scope)) : undefined),
    maxReceiveCount: number('maxReceiveCount'),
    retention: minutes('retentionMinutes'),
    maxMessageAge,
    encryptionKey: other.encryptionKey(),
    signingSecret: secret('ImportedSigningSecret', 'signingSecretArn'),
    dedupTtl: seconds('dedupTtlSeconds'),
    dedupKey: choice('dedupKey', 'event_id', 'message'),
    botEvents: choice('botEvents', 'drop', 'own', 'forward'),
    dmConversation: withAgent && wantsAgentView(scope) ? 'thread' : (choice('dmConversation', 'channel', 'thread') ?? 'channel'),
    // An empty value would count as not given, so there is a word for an empty list.
    controlEvents: text('controlEvents') === 'none' ? [] : list('controlEvents'),
    warmWriteUnits: number('warmWriteUnits'),
    ackBudget: millis('ackBudgetMs'),
    fastPath: fastPath(text('fastPath'), secret('FastPathToken', 'fastPathTokenSecretArn')),
    gradualDeployment: choice('gradualDeployment', ...GRADUAL),
    logLevel: other.logLevel(),
    logRetention: other.logRetention(),
    alarmTopic: topic('ImportedAlarmTopic', 'alarmTopicArn'),
    canary: isOn('canary'),
    dashboard: isOn('dashboard', true),
    tracing: choice('tracing', 'active', 'off'),
    removalPolicy: other.removalPolicy(),
  };
}

/** What Slack is answered at once. The token is for nothing else. */
function fastPath(rules: string | undefined, botToken: ISecret | undefined): SlackIngressProps['fastPath'] {
  if (rules === undefined && botToken) throw new Error('fastPathTokenSecretArn has no effect without fastPath');
  return rules === undefined ? undefined : { rules, botToken };
}

/** The HTTP API's throttle, if one of its two numbers is set. The burst is twice the rate, unless it is set itself. */
function throttle(rate: number | undefined, burst: number | undefined): SlackIngressProps['throttle'] {
  if (rate === undefined && burst === undefined) return undefined;
  const rateLimit = rate ?? THROTTLE.rateLimit;
  return { rateLimit, burstLimit: burst ?? 2 * rateLimit };
}
