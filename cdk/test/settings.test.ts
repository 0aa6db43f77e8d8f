import assert from 'node:assert/strict';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { AwsSolutionsChecks } from 'cdk-nag';
import { functionCode } from '../lib/code.ts';
import { SETTINGS, ingressProps } from '../lib/settings.ts';
import { SlackIngressStack } from '../lib/slack-ingress-stack.ts';
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
} from './support.ts';

const codePath = codeDirectory();
const code = { codePath, redriveCodePath: codePath };

function deployed(context: Record<string, unknown>): Template {
  return Template.fromStack(new SlackIngressStack(newApp({ ...code, ...context }), 'Stack', { ingress: ingressProps }));
}

test('every setting is in docs/deploy.md', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8');
  for (const name of SETTINGS) assert.match(guide, new RegExp(`^\\| \`${name}\``, 'm'));
});

test('settings reach the stack', () => {
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
    alarmTopicArn: topic,
    removalPolicy: 'retain',
  });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Architectures: ['x86_64'],
    MemorySize: 512,
    ReservedConcurrentExecutions: 10,
    Environment: { Variables: { SLACK_SIGNING_SECRET_ARN: secret, DEDUP_TTL_SECONDS: '90000', DEDUP_KEY: 'message', BOT_EVENTS: 'own' } },
  });
  template.resourceCountIs('AWS::Lambda::Url', 1);
  const queue = only(template, 'AWS::SQS::Queue', isQueue);
  assert.deepEqual([queue.Properties.VisibilityTimeout, queue.Properties.FifoQueue], [3600, undefined]);
  assert.equal(queue.DeletionPolicy, 'Retain');
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [topic] });
});

test('a topic takes the place of the queue', () => {
  const template = deployed({ topicArn: 'arn:aws:sns:us-east-1:111122223333:events' });
  template.resourceCountIs('AWS::SQS::Queue', 0);
  assert.deepEqual(Object.keys(template.findOutputs('*')).filter((name) => name.includes('Queue')), []);
});

test('an empty setting counts as none', () => {
  const template = deployed({ signingSecretArn: '', memorySize: '', frontDoor: '' });
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
  assert.equal(ingressIn(template).Properties.MemorySize, 256);
});

test('the stack says what one needs to know', () => {
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
  [{ queueType: 'fif' }, /queueType is none of fifo, standard: fif/],
  [{ architecture: 'arm' }, /architecture is none of/],
  [{ memorySize: '256 MB' }, /memorySize is no whole number/],
  [{ codePath: '/nowhere' }, /not there: \/nowhere/],
  [{ redriveCodePath: '/nowhere' }, /not there: \/nowhere/],
  [{ redriveCodePath: '' }, /go together, and redriveCodePath is missing/],
  [{ codePath: '' }, /go together, and codePath is missing/],
] as const) {
  test(`refused: ${JSON.stringify(context)}`, () => {
    assert.throws(() => deployed(context), problem);
  });
}

test('code is a directory with a bootstrap, or a zip', () => {
  const directory = temporaryDirectory();
  assert.throws(() => deployed({ codePath: directory }), /neither a .zip nor a directory that holds "bootstrap"/);
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

test('without a path the code is built by cargo-lambda, for the architecture', () => {
  const crate = temporaryDirectory();
  // In place of cargo: it notes what it was asked, and leaves a function where it was told to.
  const cargo = join(crate, 'cargo');
  writeFileSync(
    cargo,
    '#!/bin/sh\nset -e\necho "$PWD: $*" > asked\nfor last; do :; done\nfor name in slack-ingress redrive agent-dispatch; do mkdir -p "$last/$name"; touch "$last/$name/bootstrap"; done\n',
    { mode: 0o755 },
  );
  const path = process.env.PATH;
  process.env.PATH = `${crate}:${path}`;
  try {
    for (const [binary, architecture, flag, features] of [
      ['slack-ingress', lambda.Architecture.ARM_64, '--arm64', 'sns,redis'],
      ['slack-ingress', lambda.Architecture.X86_64, '--x86-64', 'sns,redis'],
      ['redrive', lambda.Architecture.ARM_64, '--arm64', 'sns,redis'],
      ['agent-dispatch', lambda.Architecture.ARM_64, '--arm64', 'dispatch,sns,redis'],
    ] as const) {
      functionCode({ binary, architecture, crate, features: ['sns', 'redis'] });
      assert.equal(
        readFileSync(join(crate, 'asked'), 'utf8').trim(),
        `${realpathSync(crate)}: lambda build --locked --release --bin ${binary} ${flag} ` +
          `--features ${features} --lambda-dir ${join(crate, 'target/lambda-cdk', architecture.name)}`,
      );
    }
  } finally {
    process.env.PATH = path;
  }
});

/** Synthesizes with cdk-nag looking; what nobody has acknowledged is an error. */
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
  test(`cdk-nag finds nothing that is not explained: ${JSON.stringify(context)}`, () => {
    assert.equal(checked(() => {}, context), '');
  });
}

test('cdk-nag does look', () => {
  assert.match(checked((stack) => new sqs.Queue(stack, 'Open')), /AwsSolutions-SQS4/);
});
