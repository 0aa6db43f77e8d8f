// The dispatcher: its function, its event source, and the props that are refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import { AgentDispatch } from '../../lib/agent/dispatch';
import { dispatchTimeout, dispatchVisibility } from '../../lib/common/agent-queue';
import {
  agentDirectory,
  agentStacks,
  agentTemplate,
  codeOf,
  dispatchIn,
  functions,
  ingressIn,
  isDeadLetterQueue,
  isQueue,
  newApp,
  only,
  rustSource,
  settleIn,
} from '../support';

const { template, ingress } = agentTemplate();
const fn = dispatchIn(template);
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
  const log = template.findResources('AWS::Logs::LogGroup')[LoggingConfig.LogGroup.Ref];
  assert.equal(log?.Properties.RetentionInDays, 30);
  assert.notDeepEqual(LoggingConfig, settleIn(template).Properties.LoggingConfig);
});

test('the dispatcher has these environment variables', () => {
  assert.deepEqual(fn.Properties.Environment.Variables, {
    AGENT_RUNTIME_ARN: { 'Fn::GetAtt': [runtime.id, 'AgentRuntimeArn'] },
    AGENT_RUNTIME_QUALIFIER: endpoint.Properties.Name,
    AGENT_PROTOCOL: 'work',
    AGENT_EVENTS: 'questions',
    WHO_MAY_ASK: 'members',
    AGENT_TIMEOUT_SECONDS: '45',
    SETTLE_FUNCTION: { 'Fn::GetAtt': [settleIn(template).id, 'Arn'] },
    DEDUP_STORE: { 'Fn::Join': ['', ['dynamodb:', { Ref: only(ingress, 'AWS::DynamoDB::Table').id }]] },
    EVENT_QUEUE: { Ref: queue.id },
    DEAD_LETTER_QUEUE: { Ref: deadLetterQueue.id },
    DM_CONVERSATION: 'thread',
    MAX_ATTEMPTS: '3',
    GIVE_UP_AFTER_SECONDS: '86400',
    POST_WAIT_SECONDS: '90',
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
  assert.match(rustSource('src/work'), /PREFIX: &str = "dispatch#"/);
  assert.match(rustSource('src/work'), /get\(&format!\("\{PREFIX\}warm-up"\)\)/);
});

test('the dispatcher gets one message at a time, so that a stop waits for no agent, and a message that it does not report as done stays', () => {
  assert.deepEqual(only(template, 'AWS::Lambda::EventSourceMapping').Properties, {
    EventSourceArn: { 'Fn::GetAtt': [queue.id, 'Arn'] },
    FunctionName: { Ref: fn.id },
    BatchSize: 1,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
  });
});

test("the queue's visibility is six times the function's time-out, and the queue gives no message up before the dispatcher", () => {
  assert.equal(queue.Properties.VisibilityTimeout, 6 * fn.Properties.Timeout);
  assert.equal(queue.Properties.RedrivePolicy.maxReceiveCount, 1000);
  assert.equal(queue.Properties.MessageRetentionPeriod, 14 * 86400);
  assert.equal(deadLetterQueue.Properties.MessageRetentionPeriod, 14 * 86400);
});

test('both functions are told the same of what they share, and the ingress and the dispatcher of a conversation', () => {
  const settle = settleIn(template).Properties.Environment.Variables;
  for (const name of ['DEDUP_STORE', 'EVENT_QUEUE', 'POST_WAIT_SECONDS']) {
    assert.deepEqual(settle[name], fn.Properties.Environment.Variables[name], name);
  }
  const { DM_CONVERSATION } = fn.Properties.Environment.Variables;
  assert.equal(ingressIn(ingress).Properties.Environment.Variables.DM_CONVERSATION, DM_CONVERSATION);
  const other = agentTemplate({ agentView: false }, { dmConversation: 'channel' });
  assert.equal(dispatchIn(other.template).Properties.Environment.Variables.DM_CONVERSATION, 'channel');
});

test("the time-outs of the function and the queue grow with the agent's", () => {
  const agentTimeout = Duration.minutes(5);
  const { template, ingress } = agentTemplate({ agentTimeout }, { visibilityTimeout: dispatchVisibility({ agentTimeout }) });
  const { Timeout, Environment } = dispatchIn(template).Properties;
  assert.equal(Environment.Variables.AGENT_TIMEOUT_SECONDS, '300');
  assert.equal(Timeout, 314);
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.VisibilityTimeout, 1884);
  assert.deepEqual([dispatchTimeout().toSeconds(), dispatchVisibility().toSeconds()], [60, 360]);
});

test('a plain agent may think for 14 minutes, and the function and the queue wait for it and for its answer to be posted', () => {
  const call = { agentProtocol: 'plain' } as const;
  const { template, ingress } = agentTemplate(call, { visibilityTimeout: dispatchVisibility(call) });
  const { Timeout, Environment } = dispatchIn(template).Properties;
  assert.deepEqual([Environment.Variables.AGENT_PROTOCOL, Environment.Variables.AGENT_TIMEOUT_SECONDS], ['plain', '840']);
  assert.equal(Timeout, 840 + 45);
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.VisibilityTimeout, 6 * Timeout);
});

test('a message of a standard queue comes alone too', () => {
  const { template } = agentTemplate({}, { queueType: 'standard' });
  assert.equal(only(template, 'AWS::Lambda::EventSourceMapping').Properties.BatchSize, 1);
});

test('every prop has its effect', () => {
  const { template } = agentTemplate({
    architecture: lambda.Architecture.X86_64,
    dispatchCode: codeOf(lambda.Architecture.X86_64),
    settleCode: codeOf(lambda.Architecture.X86_64),
    agentEvents: 'all',
    alsoAnswers: ['external', 'bots'],
    maxAttempts: 5,
    giveUpAfter: Duration.hours(2),
    postWait: Duration.minutes(2),
    maxConcurrency: 5,
    batchSize: 5,
    logLevel: 'debug',
    logRetention: 7,
    dashboard: false,
    removalPolicy: RemovalPolicy.RETAIN,
    agent: { code: agentDirectory(), thinking: 'bedrock:amazon.nova-lite-v1:0', environment: { ECHO_SECONDS: '3' } },
  });
  for (const fn of [dispatchIn(template).Properties, settleIn(template).Properties]) {
    const { POST_WAIT_SECONDS, RUST_LOG } = fn.Environment.Variables;
    assert.deepEqual([fn.Architectures, POST_WAIT_SECONDS, RUST_LOG], [['x86_64'], '120', 'debug']);
  }
  const { AGENT_EVENTS, MAX_ATTEMPTS, GIVE_UP_AFTER_SECONDS } = dispatchIn(template).Properties.Environment.Variables;
  assert.deepEqual([AGENT_EVENTS, MAX_ATTEMPTS, GIVE_UP_AFTER_SECONDS], ['all', '5', '7200']);
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
  assert.deepEqual(kept.sort(), ['AWS::Logs::LogGroup', 'AWS::Logs::LogGroup', 'AWS::Logs::LogGroup', 'AWS::SecretsManager::Secret']);
});

for (const [name, make, problem] of [
  ['a time-out that ends before the agent\'s', () => agentStacks({ timeout: Duration.seconds(55) }), /14 s longer/],
  ['an agent time-out that is longer than a function may run', () => agentStacks({ agentTimeout: Duration.seconds(886) }), /1 s to 885 s/],
  ['a plain agent that leaves no time to post its answer', () => agentStacks({ agentProtocol: 'plain', agentTimeout: Duration.seconds(841) }), /1 s to 840 s/],
  ['a queue whose visibility timeout is shorter than the function\'s time-out', () => agentStacks({}, { visibilityTimeout: Duration.seconds(59) }), /shorter/],
  ['a queue that gives a message up by itself', () => agentStacks({}, { maxReceiveCount: 999 }), /after 999 receives/],
  ['a queue that forgets a message before it is given up', () => agentStacks({ giveUpAfter: Duration.days(4) }, { retention: Duration.days(4) }), /deletes a message before/],
  ['a wait that outlasts the queue', () => agentStacks({ giveUpAfter: Duration.days(14) }), /giveUpAfter, in seconds, must be from 1 to 1123200/],
  ['no wait for a call to Slack', () => agentStacks({ postWait: Duration.seconds(0) }), /postWait, in seconds, must be from 1 to 900/],
  ['an ingress that does not know of agent_view', () => agentStacks({}, { dmConversation: 'channel' }), /dmConversation 'thread'/],
  ['more attempts than are allowed', () => agentStacks({ maxAttempts: 101 }), /maxAttempts must be/],
  ['an unknown way of thinking', () => agentStacks({ agent: { thinking: 'gpt' } }), /must be "echo" or/],
  ['tools for an agent that echoes', () => agentStacks({ agent: { thinking: 'echo', tools: 'post_to_slack' } }), /tools need a model/],
  ['tools for a model that is asked once', () => agentStacks({ agent: { thinking: 'bedrock:a.b', tools: 'post_to_slack' } }), /tools need a model/],
  ['a model by its ARN', () => agentStacks({ agent: { thinking: 'bedrock:arn:aws:bedrock:a:b:c/d' } }), /model id/],
  ['code that does not exist', () => agentStacks({ agent: { code: '/no-such-file-7f3c' } }), /does not exist: \/no-such-file-7f3c/],
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
    settle: lambda.Function.fromFunctionName(stack, 'Settle', 'agent-settle'),
    table: new dynamodb.Table(stack, 'Table', { partitionKey: { name: 'event_id', type: dynamodb.AttributeType.STRING } }),
    deadLetterQueue: new sqs.Queue(stack, 'Dead'),
    logRetention: 7,
    removalPolicy: RemovalPolicy.DESTROY,
  };
  // SQS's default visibility timeout is 30 s.
  assert.throws(() => new AgentDispatch(stack, 'Short', { ...props, queue: new sqs.Queue(stack, 'A') }), /shorter/);
  const fifo = new sqs.Queue(stack, 'B', { fifo: true, visibilityTimeout: Duration.minutes(1) });
  assert.throws(() => new AgentDispatch(stack, 'Mixed', { ...props, queue: fifo }), /must be of the same type/);
  // What an imported queue is set to is unknown.
  const imported = sqs.Queue.fromQueueArn(stack, 'C', 'arn:aws:sqs:us-east-1:111122223333:mine');
  new AgentDispatch(stack, 'Dispatch', { ...props, queue: imported });
  Template.fromStack(stack).resourceCountIs('AWS::Lambda::Function', 1);
});
