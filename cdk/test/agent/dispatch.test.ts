// The dispatcher: its function, its event source, and the props that are refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import { AgentDispatch, dispatchTimeout, dispatchVisibility } from '../../lib/agent/dispatch.ts';
import {
  agentDirectory,
  agentStacks,
  agentTemplate,
  functions,
  isDeadLetterQueue,
  isQueue,
  newApp,
  only,
  rustSource,
} from '../support.ts';

const { template, ingress } = agentTemplate();
const fn = only(template, 'AWS::Lambda::Function');
const queue = only(ingress, 'AWS::SQS::Queue', isQueue);
const deadLetterQueue = only(ingress, 'AWS::SQS::Queue', isDeadLetterQueue);
const runtime = only(template, 'AWS::BedrockAgentCore::Runtime');
const endpoint = only(template, 'AWS::BedrockAgentCore::RuntimeEndpoint');

test('the dispatcher runs for at most a minute, is traced and has its own log', () => {
  const { Code, Environment, LoggingConfig, Role, Description, ...rest } = fn.Properties;
  assert.deepEqual(rest, {
    Runtime: 'provided.al2023',
    Handler: 'bootstrap',
    Architectures: ['arm64'],
    MemorySize: 256,
    Timeout: 60,
    TracingConfig: { Mode: 'Active' },
  });
  assert.equal(only(template, 'AWS::Logs::LogGroup').id, LoggingConfig.LogGroup.Ref);
  assert.equal(only(template, 'AWS::Logs::LogGroup').Properties.RetentionInDays, 30);
});

test('the dispatcher has these environment variables', () => {
  assert.deepEqual(fn.Properties.Environment.Variables, {
    AGENT_RUNTIME_ARN: { 'Fn::GetAtt': [runtime.id, 'AgentRuntimeArn'] },
    AGENT_RUNTIME_QUALIFIER: endpoint.Properties.Name,
    AGENT_TIMEOUT_SECONDS: '45',
    DEDUP_STORE: { 'Fn::Join': ['', ['dynamodb:', { Ref: only(ingress, 'AWS::DynamoDB::Table').id }]] },
    // A day longer than the queue keeps a message.
    DEDUP_TTL_SECONDS: String(queue.Properties.MessageRetentionPeriod + 86400),
    EVENT_QUEUE: { Ref: queue.id },
    DEAD_LETTER_QUEUE: { Ref: deadLetterQueue.id },
    MAX_ATTEMPTS: '8',
    RUST_LOG: 'info',
  });
});

test('the dispatcher reads every variable that it is given', () => {
  const source = rustSource();
  for (const name of Object.keys(fn.Properties.Environment.Variables)) {
    assert.ok(source.includes(`"${name}"`), `nothing in src reads ${name}`);
  }
});

test('the ids that the role allows are those that the Rust code uses', () => {
  assert.match(rustSource(), /RECORD_PREFIX: &str = "dispatch#"/);
  assert.match(rustSource(), /key\(EVENT_ID, string\("warm-up"\)\)/);
});

test('the dispatcher gets one event at a time from the queue, and an event that failed returns to it', () => {
  assert.deepEqual(only(template, 'AWS::Lambda::EventSourceMapping').Properties, {
    EventSourceArn: { 'Fn::GetAtt': [queue.id, 'Arn'] },
    FunctionName: { Ref: fn.id },
    BatchSize: 1,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
  });
});

test("the queue's visibility is six times the function's time-out, and the dispatcher gives up long before the queue", () => {
  assert.equal(queue.Properties.VisibilityTimeout, 6 * fn.Properties.Timeout);
  assert.equal(queue.Properties.RedrivePolicy.maxReceiveCount, 100);
});

test("the time-outs of the function and the queue grow with the agent's", () => {
  const agentTimeout = Duration.minutes(5);
  const { template, ingress } = agentTemplate({ agentTimeout }, { visibilityTimeout: dispatchVisibility(agentTimeout) });
  const { Timeout, Environment } = only(template, 'AWS::Lambda::Function').Properties;
  assert.equal(Environment.Variables.AGENT_TIMEOUT_SECONDS, '300');
  assert.equal(Timeout, 310);
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.VisibilityTimeout, 1860);
  assert.deepEqual([dispatchTimeout().toSeconds(), dispatchVisibility().toSeconds()], [60, 360]);
});

test('the dispatcher gets ten events at a time from a standard queue, where no event waits behind another', () => {
  const { template } = agentTemplate({}, { queueType: 'standard' });
  assert.equal(only(template, 'AWS::Lambda::EventSourceMapping').Properties.BatchSize, 10);
});

test('every prop has its effect', () => {
  const { template } = agentTemplate({
    architecture: lambda.Architecture.X86_64,
    maxAttempts: 3,
    maxConcurrency: 5,
    batchSize: 5,
    dedupTtl: Duration.days(7),
    logLevel: 'debug',
    logRetention: 7,
    dashboard: false,
    removalPolicy: RemovalPolicy.RETAIN,
    agent: { code: agentDirectory(), thinking: 'bedrock:amazon.nova-lite-v1:0', environment: { ECHO_SECONDS: '3' } },
  });
  const fn = only(template, 'AWS::Lambda::Function').Properties;
  const { MAX_ATTEMPTS, DEDUP_TTL_SECONDS, RUST_LOG } = fn.Environment.Variables;
  assert.deepEqual([fn.Architectures, MAX_ATTEMPTS, DEDUP_TTL_SECONDS, RUST_LOG], [['x86_64'], '3', '604800', 'debug']);
  template.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
    BatchSize: 5,
    ScalingConfig: { MaximumConcurrency: 5 },
  });
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', {
    EnvironmentVariables: { THINKING: 'bedrock:amazon.nova-lite-v1:0', ECHO_SECONDS: '3' },
  });
  template.resourceCountIs('AWS::CloudWatch::Dashboard', 0);
  const kept = Object.values(template.toJSON().Resources as Record<string, { Type: string; DeletionPolicy?: string }>)
    .filter((resource) => resource.DeletionPolicy === 'Retain')
    .map((resource) => resource.Type);
  assert.deepEqual(kept.sort(), ['AWS::Logs::LogGroup', 'AWS::SecretsManager::Secret']);
});

for (const [name, make, problem] of [
  ['a time-out that ends before the agent\'s', () => agentStacks({ timeout: Duration.seconds(54) }), /10 s longer/],
  ['an agent time-out that is longer than a function may run', () => agentStacks({ agentTimeout: Duration.seconds(891) }), /1 s to 890 s/],
  ['a queue whose visibility timeout is shorter than the function\'s time-out', () => agentStacks({}, { visibilityTimeout: Duration.seconds(59) }), /shorter/],
  ['a queue that gives an event up before the dispatcher does', () => agentStacks({}, { maxReceiveCount: 8 }), /after 8 receives/],
  ['more attempts than are allowed', () => agentStacks({ maxAttempts: 101 }), /maxAttempts must be/],
  ['an unknown way of thinking', () => agentStacks({ agent: { thinking: 'gpt' } }), /must be "echo" or/],
  ['a model by its ARN', () => agentStacks({ agent: { thinking: 'bedrock:arn:aws:bedrock:a:b:c/d' } }), /model id/],
  ['code that does not exist', () => agentStacks({ agent: { code: '/nowhere' } }), /does not exist: \/nowhere/],
] as const) {
  test(`${name}: refused`, () => {
    assert.throws(make, problem);
  });
}

test('any queue can feed the dispatcher, if its dead-letter queue is of the same type', () => {
  const stack = new Stack(newApp(), 'Stack');
  const props = {
    code: functions().code,
    agent: { runtimeArn: 'arn', qualifier: 'DEFAULT', endpointArn: 'arn/runtime-endpoint/DEFAULT' },
    table: new dynamodb.Table(stack, 'Table', { partitionKey: { name: 'event_id', type: dynamodb.AttributeType.STRING } }),
    deadLetterQueue: new sqs.Queue(stack, 'Dead'),
    logRetention: 7,
    removalPolicy: RemovalPolicy.DESTROY,
  };
  // SQS's default visibility timeout is 30 s.
  assert.throws(() => new AgentDispatch(stack, 'Short', { ...props, queue: new sqs.Queue(stack, 'A') }), /shorter/);
  const fifo = new sqs.Queue(stack, 'B', { fifo: true, visibilityTimeout: Duration.minutes(1) });
  assert.throws(() => new AgentDispatch(stack, 'Mixed', { ...props, queue: fifo }), /must be of the same type/);
  // The retention of an imported queue is unknown. It may be the longest that SQS allows, 14 days.
  const imported = sqs.Queue.fromQueueArn(stack, 'C', 'arn:aws:sqs:us-east-1:111122223333:mine');
  new AgentDispatch(stack, 'Dispatch', { ...props, queue: imported });
  const { DEDUP_TTL_SECONDS } = only(Template.fromStack(stack), 'AWS::Lambda::Function').Properties.Environment.Variables;
  assert.equal(DEDUP_TTL_SECONDS, String(15 * 86400));
});
