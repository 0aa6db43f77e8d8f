import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import { AgentDispatch, dispatchTimeout, dispatchVisibility } from '../lib/agent-dispatch.ts';
import {
  REPOSITORY,
  agentDirectory,
  agentStacks,
  agentTemplate,
  functions,
  isDeadLetterQueue,
  isQueue,
  newApp,
  only,
  rustSource,
} from './support.ts';

const { template, ingress } = agentTemplate();
const fn = only(template, 'AWS::Lambda::Function');
const queue = only(ingress, 'AWS::SQS::Queue', isQueue);
const deadLetterQueue = only(ingress, 'AWS::SQS::Queue', isDeadLetterQueue);
const runtime = only(template, 'AWS::BedrockAgentCore::Runtime');
const endpoint = only(template, 'AWS::BedrockAgentCore::RuntimeEndpoint');

test('the dispatcher: a minute at most, traced, with a log of its own', () => {
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

test('its environment is the one that it is documented to have', () => {
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

test('every variable is one that the Rust reads', () => {
  const source = rustSource();
  for (const name of Object.keys(fn.Properties.Environment.Variables)) {
    assert.ok(source.includes(`"${name}"`), `nothing in src reads ${name}`);
  }
});

test('its records are called what the Rust calls them', () => {
  assert.match(rustSource(), /RECORD_PREFIX: &str = "dispatch#"/);
  assert.match(rustSource(), /key\(EVENT_ID, string\("warm-up"\)\)/);
});

test('the queue feeds it, one at a time, and what failed comes back', () => {
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

test('an agent that may take longer gives the function and the queue as much longer', () => {
  const agentTimeout = Duration.minutes(5);
  const { template, ingress } = agentTemplate({ agentTimeout }, { visibilityTimeout: dispatchVisibility(agentTimeout) });
  const { Timeout, Environment } = only(template, 'AWS::Lambda::Function').Properties;
  assert.equal(Environment.Variables.AGENT_TIMEOUT_SECONDS, '300');
  assert.equal(Timeout, 310);
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.VisibilityTimeout, 1860);
  assert.deepEqual([dispatchTimeout().toSeconds(), dispatchVisibility().toSeconds()], [60, 360]);
});

test('the runtime runs main.py with its tools, and its endpoint is its newest version', () => {
  const { AgentRuntimeArtifact, AgentRuntimeName, Description, RoleArn, ...rest } = runtime.Properties;
  assert.deepEqual(rest, {
    EnvironmentVariables: {
      GATEWAY_URL: { 'Fn::GetAtt': [only(template, 'AWS::BedrockAgentCore::Gateway').id, 'GatewayUrl'] },
      THINKING: 'echo',
    },
    LifecycleConfiguration: {},
    NetworkConfiguration: { NetworkMode: 'PUBLIC' },
    ProtocolConfiguration: 'HTTP',
  });
  const { EntryPoint, Runtime } = AgentRuntimeArtifact.CodeConfiguration;
  assert.deepEqual([EntryPoint, Runtime], [['main.py'], 'PYTHON_3_12']);
  assert.match(AgentRuntimeName, /^[a-zA-Z][a-zA-Z0-9_]{0,47}$/);
  assert.deepEqual(endpoint.Properties.AgentRuntimeVersion, { 'Fn::GetAtt': [runtime.id, 'AgentRuntimeVersion'] });
});

test('an agent that is there already gets the dispatcher and nothing else', () => {
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';
  const { template } = agentTemplate({ agent: { runtimeArn } });
  const { AGENT_RUNTIME_ARN, AGENT_RUNTIME_QUALIFIER } = only(template, 'AWS::Lambda::Function').Properties.Environment.Variables;
  assert.deepEqual([AGENT_RUNTIME_ARN, AGENT_RUNTIME_QUALIFIER], [runtimeArn, 'DEFAULT']);
  const types = Object.values(template.toJSON().Resources as Record<string, { Type: string }>).map(({ Type }) => Type);
  assert.deepEqual([...new Set(types)].filter((type) => /BedrockAgentCore|Secret/.test(type)), []);
});

test('the stack says what one needs to know', () => {
  assert.deepEqual(Object.keys(template.findOutputs('*')), [
    'GatewayUrl',
    'GatewayArn',
    'BotTokenSecretArn',
    'RuntimeArn',
    'RuntimeQualifier',
    'DispatchFunctionName',
    'AgentDashboardUrl',
  ]);
});

test('a standard queue, where nothing waits behind another, feeds it ten at a time', () => {
  const { template } = agentTemplate({}, { queueType: 'standard' });
  assert.equal(only(template, 'AWS::Lambda::EventSourceMapping').Properties.BatchSize, 10);
});

test('what can be set is set', () => {
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

const topic = 'arn:aws:sns:us-east-1:111122223333:events.fifo';
for (const [name, make, problem] of [
  ['a time-out that kills the agent\'s call', () => agentStacks({ timeout: Duration.seconds(54) }), /10 s longer/],
  ['an agent that may take longer than a function runs', () => agentStacks({ agentTimeout: Duration.seconds(891) }), /1 s to 890 s/],
  ['a queue whose events come back too soon', () => agentStacks({}, { visibilityTimeout: Duration.seconds(59) }), /shorter/],
  ['a queue that gives up first', () => agentStacks({}, { maxReceiveCount: 8 }), /after 8 receives/],
  ['attempts that nobody has', () => agentStacks({ maxAttempts: 101 }), /maxAttempts is not/],
  ['thinking that there is not', () => agentStacks({ agent: { thinking: 'gpt' } }), /neither "echo" nor/],
  ['a model by its ARN', () => agentStacks({ agent: { thinking: 'bedrock:arn:aws:bedrock:a:b:c/d' } }), /model id/],
  ['no code', () => agentStacks({ agent: { code: '/nowhere' } }), /not there: \/nowhere/],
] as const) {
  test(`${name}: refused`, () => {
    assert.throws(make, problem);
  });
}

test('a topic in place of the queue is refused: nothing would feed the agent', () => {
  const stack = new Stack(newApp(), 'Topic');
  assert.throws(() => agentStacks({}, { topic: sns.Topic.fromTopicArn(stack, 'Topic', topic) }), /a topic and no queue/);
});

test('another queue of your own feeds it too, if the two are of one type', () => {
  const stack = new Stack(newApp(), 'Stack');
  const props = {
    code: functions().code,
    agent: { runtimeArn: 'arn', qualifier: 'DEFAULT', endpointArn: 'arn/runtime-endpoint/DEFAULT' },
    table: new dynamodb.Table(stack, 'Table', { partitionKey: { name: 'event_id', type: dynamodb.AttributeType.STRING } }),
    deadLetterQueue: new sqs.Queue(stack, 'Dead'),
    logRetention: 7,
    removalPolicy: RemovalPolicy.DESTROY,
  };
  // What SQS gives a queue that says nothing: 30 s.
  assert.throws(() => new AgentDispatch(stack, 'Short', { ...props, queue: new sqs.Queue(stack, 'A') }), /shorter/);
  const fifo = new sqs.Queue(stack, 'B', { fifo: true, visibilityTimeout: Duration.minutes(1) });
  assert.throws(() => new AgentDispatch(stack, 'Mixed', { ...props, queue: fifo }), /not of one type/);
  // One that is imported is not known: it may keep messages for as long as SQS does.
  const imported = sqs.Queue.fromQueueArn(stack, 'C', 'arn:aws:sqs:us-east-1:111122223333:mine');
  new AgentDispatch(stack, 'Dispatch', { ...props, queue: imported });
  const { DEDUP_TTL_SECONDS } = only(Template.fromStack(stack), 'AWS::Lambda::Function').Properties.Environment.Variables;
  assert.equal(DEDUP_TTL_SECONDS, String(15 * 86400));
});

test('no secret is in the template, and the one that is made is JSON with the key that is read', () => {
  const secret = only(template, 'AWS::SecretsManager::Secret');
  assert.equal(secret.Properties.SecretString, undefined);
  const { SecretStringTemplate, GenerateStringKey, PasswordLength } = secret.Properties.GenerateSecretString;
  assert.deepEqual([SecretStringTemplate, PasswordLength], ['{}', 64]);
  const { Name, ...credential } = only(template, 'AWS::BedrockAgentCore::ApiKeyCredentialProvider').Properties;
  assert.deepEqual(credential, {
    ApiKeySecretSource: 'EXTERNAL',
    ApiKeySecretConfig: { SecretId: { Ref: secret.id }, JsonKey: GenerateStringKey },
  });
  assert.match(Name, /^[a-zA-Z0-9_-]{1,128}$/);
});

// ── alarms and dashboard ─────────────────────────────────────────────────────────────────────────────────

const alarms = Object.entries(template.findResources('AWS::CloudWatch::Alarm')).map(([id, it]) => ({
  name: id.replace(/^Alarms|[0-9A-F]{8}$/g, ''),
  ...it.Properties,
}));

/** Each alarm's name, threshold, and how many windows of how many. */
test('the alarms are these', () => {
  assert.deepEqual(
    alarms.map((it) => [it.name, it.Threshold, it.DatapointsToAlarm, it.EvaluationPeriods]),
    [
      ['DispatchErrors', 0, 1, 1],
      ['DeadLettered', 0, 1, 1],
      ['Deferred', 50, 3, 3],
    ],
  );
  for (const alarm of alarms) {
    assert.equal(alarm.TreatMissingData, 'notBreaching', alarm.name);
    assert.equal(alarm.ComparisonOperator, 'GreaterThanThreshold', alarm.name);
  }
});

test('every alarm has its section in docs/operate.md', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8');
  for (const { name } of alarms) assert.match(guide, new RegExp(`^### ${name}$`, 'm'));
});

test('every alarm goes to the topic, and without one to nobody', () => {
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: Match.absent() });
  const { template: withTopic } = agentTemplate((scope) => ({
    alarmTopic: sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:alarms'),
  }));
  withTopic.allResourcesProperties('AWS::CloudWatch::Alarm', {
    AlarmActions: ['arn:aws:sns:us-east-1:111122223333:alarms'],
  });
});

test("every metric is one that the Rust sends, under the dispatcher's name", () => {
  const source = rustSource();
  const parts: (string | { Ref: string })[] = only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody['Fn::Join'][1];
  const body = parts.map((it) => (typeof it === 'string' ? it : it.Ref)).join('');
  const drawn = [...body.matchAll(/"SlackIngress","(\w+)","FunctionName","(\w+)"/g)].map(([, name, fn]) => [name!, fn!]);
  const watched = [...JSON.stringify(alarms).matchAll(/"MetricName":"(\w+)","Namespace":"SlackIngress"/g)];
  const names = new Set([...drawn.map(([name]) => name!), ...watched.map((match) => match[1]!)]);
  assert.deepEqual([...names].sort(), [
    'ColdStarts',
    'DeadLettered',
    'DispatchDeferred',
    'DispatchDuplicates',
    'DispatchFailures',
    'Dispatched',
    'InvokeTime',
    'QueueTime',
  ]);
  for (const name of names) assert.ok(source.includes(`"${name}"`), `nothing in src sends ${name}`);
  assert.deepEqual(new Set(drawn.map(([, fn]) => fn)), new Set([fn.id]));
});
