// What each setting of `cdk -c` does to the ingress's stack, and which values are refused.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { AwsSolutionsChecks } from 'cdk-nag';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { ingressProps } from '../../lib/settings/ingress';
import { SETTINGS } from '../../lib/settings/names';
import {
  REPOSITORY,
  type Resource,
  codeDirectory,
  ingressIn,
  isQueue,
  newApp,
  only,
  program,
  redriveIn,
  temporaryDirectory,
  zipOf,
} from '../support';
import { CONTEXTS } from '../snapshot/contexts';

const code = (architecture?: unknown) => {
  const codePath = architecture === 'x86_64' ? x86 : arm;
  return { codePath, redriveCodePath: codePath };
};
const [arm, x86] = [codeDirectory('arm64'), codeDirectory('x86_64')];

function deployed(context: Record<string, unknown>): Template {
  return Template.fromStack(new SlackIngressStack(newApp({ ...code(context.architecture), ...context }), 'Stack', { ingress: ingressProps }));
}

test('docs/deploy.md explains every setting, and no other', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8');
  const [table = ''] = /^\| `-c name=value`[^]*?\n\n/m.exec(guide) ?? [];
  const explained = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
  assert.deepEqual(explained.sort(), [...SETTINGS].sort());
});

test('the settings reach the stack', () => {
  const secret = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
  const topic = 'arn:aws:sns:us-east-1:111122223333:alarms';
  const template = deployed({
    architecture: 'x86_64',
    memorySize: '512',
    reservedConcurrency: 10,
    frontDoor: 'function-url',
    retentionMinutes: '1440',
    maxReceiveCount: '5',
    ackBudgetMs: '2000',
    logLevel: 'warn,slack_ingress=debug',
    logRetentionDays: '90',
    dashboard: 'false',
    tracing: 'off',
    queueType: 'standard',
    visibilityMinutes: '60',
    maxMessageAgeMinutes: '120',
    signingSecretArn: secret,
    dedupTtlSeconds: '90000',
    dedupKey: 'message',
    botEvents: 'own',
    dmConversation: 'thread',
    controlEvents: 'agent_session_stopped, function_executed',
    warmWriteUnits: '40000',
    alarmTopicArn: topic,
    removalPolicy: 'destroy',
  });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Architectures: ['x86_64'],
    MemorySize: 512,
    ReservedConcurrentExecutions: 10,
    Environment: {
      Variables: {
        SLACK_SIGNING_SECRET_ARN: secret,
        DEDUP_TTL_SECONDS: '90000',
        DEDUP_KEY: 'message',
        BOT_EVENTS: 'own',
        DM_CONVERSATION: 'thread',
        CONTROL_EVENTS: 'agent_session_stopped,function_executed',
        ACK_BUDGET_MS: '2000',
        RUST_LOG: 'warn,slack_ingress=debug',
      },
    },
  });
  template.resourceCountIs('AWS::Lambda::Url', 1);
  const queue = only(template, 'AWS::SQS::Queue', isQueue);
  const { VisibilityTimeout, FifoQueue, MessageRetentionPeriod, RedrivePolicy } = queue.Properties;
  assert.deepEqual([VisibilityTimeout, FifoQueue, MessageRetentionPeriod, RedrivePolicy.maxReceiveCount], [3600, undefined, 86400, 5]);
  template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 90 });
  template.resourceCountIs('AWS::CloudWatch::Dashboard', 0);
  assert.equal(redriveIn(template).Properties.Environment.Variables.RUST_LOG, 'warn,slack_ingress=debug');
  assert.equal(queue.DeletionPolicy, 'Delete');
  assert.deepEqual(only(template, 'AWS::DynamoDB::Table').Properties.WarmThroughput, { WriteUnitsPerSecond: 40000 });
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [topic] });
});

test('the throttle is what is set of it, and the burst is twice the rate', () => {
  const throttle = (context: Record<string, unknown>) => {
    const { ThrottlingRateLimit, ThrottlingBurstLimit } = only(deployed(context), 'AWS::ApiGatewayV2::Stage').Properties.DefaultRouteSettings;
    return [ThrottlingRateLimit, ThrottlingBurstLimit];
  };
  assert.deepEqual(throttle({}), [200, 400]);
  assert.deepEqual(throttle({ throttleRate: '50' }), [50, 100]);
  assert.deepEqual(throttle({ throttleBurst: '1000' }), [200, 1000]);
  assert.deepEqual(throttle({ throttleRate: '1000', throttleBurst: '1000' }), [1000, 1000]);
});

test('a canary is there if it is wanted', () => {
  const outputs = (context: Record<string, unknown>) => Object.keys(deployed(context).findOutputs('CanaryFunctionName'));
  assert.deepEqual(outputs({}), []);
  assert.deepEqual(outputs({ canary: 'false' }), []);
  assert.deepEqual(outputs({ canary: 'true' }), ['CanaryFunctionName']);
});

test('logs may be kept for ever', () => {
  const groups = Object.values(deployed({ logRetentionDays: 'forever' }).findResources('AWS::Logs::LogGroup'));
  assert.deepEqual(groups.map((it) => it.Properties?.RetentionInDays), [undefined, undefined, undefined]);
});

test('with a topic there is no queue', () => {
  const template = deployed({ topicArn: 'arn:aws:sns:us-east-1:111122223333:events' });
  template.resourceCountIs('AWS::SQS::Queue', 0);
  assert.deepEqual(Object.keys(template.findOutputs('*')).filter((name) => name.includes('Queue')), []);
});

test('a setting with an empty value counts as not given', () => {
  const template = deployed({ signingSecretArn: '', memorySize: '', frontDoor: '' });
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
  assert.equal(ingressIn(template).Properties.MemorySize, 256);
});

test('the stack has these outputs', () => {
  const outputs = Object.keys(deployed({}).findOutputs('*'));
  assert.deepEqual(outputs, [
    'RequestUrl',
    'CommandsUrl',
    'InteractionsUrl',
    'QueueUrl',
    'QueueArn',
    'DeadLetterQueueUrl',
    'DeadLetterQueueArn',
    'TableName',
    'FunctionName',
    'RedriveFunctionName',
    'SigningSecretArn',
    'DashboardUrl',
  ]);
});

for (const [context, problem] of [
  [{ queueType: 'fif' }, /queueType must be one of fifo, standard, and is: fif/],
  [{ architecture: 'arm' }, /architecture must be one of/],
  [{ dmConversation: 'root' }, /dmConversation must be one of channel, thread, and is: root/],
  [{ controlEvents: 'agent_session_stopped,' }, /controlEvents must be types of events/],
  [{ controlEvents: 'agent_session_stopped;message_deleted' }, /controlEvents must be types of events/],
  [{ warmWriteUnits: '3999' }, /warmWriteUnits must be at least 4000/],
  [{ warmWriteUnits: '10k' }, /warmWriteUnits must be a whole number/],
  [{ memorySize: '127' }, /memorySize must be from 128 to 10240, and is: 127/],
  [{ memorySize: '10241' }, /memorySize must be from 128 to 10240/],
  [{ reservedConcurrency: '0' }, /reservedConcurrency must be at least 1, and is: 0/],
  [{ reservedConcurrency: '-1' }, /reservedConcurrency must be a whole number/],
  [{ throttleRate: '0' }, /throttleRate must be at least 1/],
  [{ throttleBurst: '0' }, /throttleBurst must be at least 1/],
  [{ throttleRate: '10', frontDoor: 'function-url' }, /a Function URL has no throttle/],
  [{ visibilityMinutes: '721' }, /visibilityMinutes must be from 0 to 720/],
  [{ retentionMinutes: '0' }, /retentionMinutes must be from 1 to 20160/],
  [{ retentionMinutes: '20161' }, /retentionMinutes must be from 1 to 20160/],
  [{ maxMessageAgeMinutes: '0' }, /maxMessageAgeMinutes must be from 1 to 20160/],
  [{ maxReceiveCount: '0' }, /maxReceiveCount must be from 1 to 1000/],
  [{ maxReceiveCount: '1001' }, /maxReceiveCount must be from 1 to 1000/],
  [{ dedupTtlSeconds: '0' }, /dedupTtlSeconds must be from 1 to 315360000/],
  [{ ackBudgetMs: '99' }, /ackBudgetMs must be from 100 to 3000/],
  [{ ackBudgetMs: '3001' }, /ackBudgetMs must be from 100 to 3000/],
  [{ logLevel: 'inf' }, /logLevel must be off, error, warn, info, debug or trace, or a list/],
  [{ logLevel: 'info,' }, /logLevel must be/],
  [{ logRetentionDays: '31' }, /logRetentionDays must be one of 1, 3, 5, 7, 14, 30, .*, forever, and is: 31/],
  [{ dashboard: 'no' }, /dashboard must be one of true, false, and is: no/],
  [{ topicArn: 'events' }, /topicArn must be the ARN of an SNS topic, and is: events/],
  [{ alarmTopicArn: 'arn:aws:sqs:us-east-1:111122223333:alarms' }, /alarmTopicArn must be the ARN of an SNS topic/],
  [{ signingSecretArn: 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack' }, /signingSecretArn must be the whole ARN of a secret, with the six characters/],
  [{ topicArn: 'arn:aws:sns:us-east-1:111122223333:events', retentionMinutes: '60' }, /retention need a queue/],
  [{ architecture: 'x86_64', codePath: arm, redriveCodePath: arm }, /slack-ingress .* was built for arm64, and is to be deployed for x86_64/],
  [{ memorySize: '256 MB' }, /memorySize must be a whole number/],
  [{ codePath: '/no-such-file-7f3c' }, /does not exist: \/no-such-file-7f3c/],
  [{ redriveCodePath: '/no-such-file-7f3c' }, /does not exist: \/no-such-file-7f3c/],
  [{ redriveCodePath: '' }, /must be given together, but these are missing: redriveCodePath/],
  [{ codePath: '' }, /must be given together, but these are missing: codePath/],
] as const) {
  test(`refused: ${JSON.stringify(context)}`, () => {
    assert.throws(() => deployed(context), problem);
  });
}

test('code may be a directory with a bootstrap, or a zip', () => {
  const directory = temporaryDirectory();
  assert.throws(() => deployed({ codePath: directory }), /must be a .zip or a directory that contains "bootstrap"/);
  assert.doesNotThrow(() => deployed({ codePath: zipOf({ bootstrap: program() }) }));
});

test('each function gets its own code', () => {
  const [ingress, redrive] = [temporaryDirectory(), temporaryDirectory()];
  writeFileSync(join(ingress, 'bootstrap'), '#!/bin/sh\n# ingress');
  writeFileSync(join(redrive, 'bootstrap'), '#!/bin/sh\n# redrive');
  const app = newApp({ codePath: ingress, redriveCodePath: redrive });
  const template = Template.fromStack(new SlackIngressStack(app, 'Stack', { ingress: ingressProps }));
  const code = (it: Resource) =>
    readFileSync(join(app.outdir, `asset.${it.Properties.Code.S3Key.replace('.zip', '')}`, 'bootstrap'), 'utf8').split('# ')[1];
  assert.deepEqual([code(ingressIn(template)), code(redriveIn(template))], ['ingress', 'redrive']);
});

/** Synthesizes with cdk-nag, and returns its report if it has findings that are not acknowledged. */
function checked(prepare: (stack: SlackIngressStack) => void, context: Record<string, unknown> = {}): string {
  const app = newApp({ ...code(context.architecture), ...context });
  prepare(new SlackIngressStack(app, 'Stack', { ingress: ingressProps }));
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  try {
    app.synth();
    return '';
  } catch (error) {
    assert.match(String(error), /Validation failed/);
    return readFileSync(join(app.outdir, 'validation-report.json'), 'utf8');
  }
}

for (const context of [
  ...Object.values(CONTEXTS).filter((it) => it.agent === undefined),
  { frontDoor: 'function-url', queueType: 'standard' },
  { canary: 'true' },
  { gradualDeployment: 'all-at-once' },
  { gradualDeployment: 'canary10percent10minutes' },
  { encryptionKeyArn: 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab', canary: 'true' },
]) {
  test(`cdk-nag has no finding that is not acknowledged: ${JSON.stringify(context)}`, () => {
    assert.equal(checked(() => {}, context), '');
  });
}

test('cdk-nag does check the stack', () => {
  assert.match(checked((stack) => new sqs.Queue(stack, 'Open')), /AwsSolutions-SQS4/);
});
