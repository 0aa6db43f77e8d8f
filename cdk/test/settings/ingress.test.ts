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
import { SETTINGS } from '../../lib/settings/context';
import { ingressProps } from '../../lib/settings/ingress';
import {
  REPOSITORY,
  type Resource,
  codeDirectory,
  ingressIn,
  isQueue,
  newApp,
  only,
  redriveIn,
  temporaryDirectory,
} from '../support';

const codePath = codeDirectory();
const code = { codePath, redriveCodePath: codePath };

function deployed(context: Record<string, unknown>): Template {
  return Template.fromStack(new SlackIngressStack(newApp({ ...code, ...context }), 'Stack', { ingress: ingressProps }));
}

test('docs/deploy.md explains every setting', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8');
  for (const name of SETTINGS) assert.match(guide, new RegExp(`^\\| \`${name}\``, 'm'));
});

test('the settings reach the stack', () => {
  const secret = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
  const topic = 'arn:aws:sns:us-east-1:111122223333:alarms';
  const template = deployed({
    architecture: 'x86_64',
    memorySize: '512',
    reservedConcurrency: 10,
    frontDoor: 'function-url',
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
    removalPolicy: 'retain',
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
      },
    },
  });
  template.resourceCountIs('AWS::Lambda::Url', 1);
  const queue = only(template, 'AWS::SQS::Queue', isQueue);
  assert.deepEqual([queue.Properties.VisibilityTimeout, queue.Properties.FifoQueue], [3600, undefined]);
  assert.equal(queue.DeletionPolicy, 'Retain');
  assert.deepEqual(only(template, 'AWS::DynamoDB::Table').Properties.WarmThroughput, { WriteUnitsPerSecond: 40000 });
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [topic] });
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
  [{ memorySize: '256 MB' }, /memorySize must be a whole number/],
  [{ codePath: '/nowhere' }, /does not exist: \/nowhere/],
  [{ redriveCodePath: '/nowhere' }, /does not exist: \/nowhere/],
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
  const zip = join(directory, 'bootstrap.zip');
  writeFileSync(zip, '');
  assert.doesNotThrow(() => deployed({ codePath: zip }));
});

test('each function gets its own code', () => {
  const [ingress, redrive] = [temporaryDirectory(), temporaryDirectory()];
  writeFileSync(join(ingress, 'bootstrap'), 'ingress');
  writeFileSync(join(redrive, 'bootstrap'), 'redrive');
  const app = newApp({ codePath: ingress, redriveCodePath: redrive });
  const template = Template.fromStack(new SlackIngressStack(app, 'Stack', { ingress: ingressProps }));
  const code = (it: Resource) =>
    readFileSync(join(app.outdir, `asset.${it.Properties.Code.S3Key.replace('.zip', '')}`, 'bootstrap'), 'utf8');
  assert.deepEqual([code(ingressIn(template)), code(redriveIn(template))], ['ingress', 'redrive']);
});

/** Synthesizes with cdk-nag, and returns its report if it has findings that are not acknowledged. */
function checked(prepare: (stack: SlackIngressStack) => void, context: Record<string, unknown> = {}): string {
  const app = newApp({ ...code, ...context });
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

for (const context of [{}, { frontDoor: 'function-url', queueType: 'standard' }]) {
  test(`cdk-nag has no finding that is not acknowledged: ${JSON.stringify(context)}`, () => {
    assert.equal(checked(() => {}, context), '');
  });
}

test('cdk-nag does check the stack', () => {
  assert.match(checked((stack) => new sqs.Queue(stack, 'Open')), /AwsSolutions-SQS4/);
});
