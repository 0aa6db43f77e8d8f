// From the settings to the props of the ingress.

import type { Construct } from 'constructs';
import { CONTROL_EVENTS, MAX_RECEIVE_COUNT, dispatchVisibility } from '../agent/dispatch.ts';
import type { SlackIngressProps } from '../ingress/slack-ingress.ts';
import { functionCode } from '../common/code.ts';
import { checkPaths, settingsOf, wantsAgent } from './context.ts';

/**
 * Returns the props of the ingress that the settings describe.
 *
 * @throws Error if a setting's value is not allowed; the message says which values are
 */
export function ingressProps(scope: Construct): SlackIngressProps {
  const { text, number, list, minutes, seconds, choice, topic, secret, ...other } = settingsOf(scope);
  const withAgent = wantsAgent(scope);
  const architecture = other.architecture();
  const topicArn = text('topicArn');
  if (withAgent && topicArn) throw new Error('agent and topicArn cannot both be set: the agent needs the queue');
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
    // The dispatcher only hands an event over. So with an agent, an event that was not handed over is received again
    // sooner, and may be received more often, than with a consumer that does the work itself.
    visibilityTimeout:
      minutes('visibilityMinutes') ?? (withAgent ? dispatchVisibility(seconds('agentTimeoutSeconds')) : undefined),
    maxReceiveCount: number('maxReceiveCount') ?? (withAgent ? MAX_RECEIVE_COUNT : undefined),
    maxMessageAge: minutes('maxMessageAgeMinutes'),
    signingSecret: secret('ImportedSigningSecret', text('signingSecretArn')),
    dedupTtl: seconds('dedupTtlSeconds'),
    dedupKey: choice('dedupKey', 'event_id', 'message'),
    botEvents: choice('botEvents', 'drop', 'own', 'forward'),
    dmConversation: choice('dmConversation', 'channel', 'thread'),
    // An empty value would count as not given, so there is a word for an empty list.
    controlEvents: text('controlEvents') === 'none' ? [] : list('controlEvents') ?? (withAgent ? CONTROL_EVENTS : undefined),
    warmWriteUnits: number('warmWriteUnits'),
    alarmTopic: topic('ImportedAlarmTopic', text('alarmTopicArn')),
    removalPolicy: other.removalPolicy(),
  };
}
