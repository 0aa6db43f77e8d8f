// The resources of an ingress and their properties; grants.test.ts has the rights.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Annotations, Match, type Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { PATHS } from '../../lib/ingress/http-api';
import { SlackIngress } from '../../lib/ingress/slack-ingress';
import {
  REPOSITORY,
  type Resource,
  functions,
  ingressIn,
  isDeadLetterQueue,
  isQueue,
  newApp,
  only,
  redriveIn,
  roleOf,
  rustSource,
  synthesized,
} from '../support';

const template = synthesized();
const fn = ingressIn(template).Properties;
const redrive = redriveIn(template).Properties;
const environment = {
  DEDUP_STORE: { 'Fn::Join': ['', ['dynamodb:', { Ref: only(template, 'AWS::DynamoDB::Table').id }]] },
  EVENT_SINK: { Ref: only(template, 'AWS::SQS::Queue', isQueue).id },
  DEDUP_TTL_SECONDS: '3600',
  RUST_LOG: 'info',
};

test('the table has the key event_id, the TTL expires_at and an index of parked events, on demand and without backups', () => {
  assert.deepEqual(only(template, 'AWS::DynamoDB::Table').Properties, {
    KeySchema: [{ AttributeName: 'event_id', KeyType: 'HASH' }],
    AttributeDefinitions: [
      { AttributeName: 'event_id', AttributeType: 'S' },
      { AttributeName: 'parked', AttributeType: 'S' },
      { AttributeName: 'received_at', AttributeType: 'N' },
    ],
    GlobalSecondaryIndexes: [
      {
        IndexName: 'parked',
        KeySchema: [
          { AttributeName: 'parked', KeyType: 'HASH' },
          { AttributeName: 'received_at', KeyType: 'RANGE' },
        ],
        Projection: { ProjectionType: 'KEYS_ONLY' },
      },
    ],
    TimeToLiveSpecification: { AttributeName: 'expires_at', Enabled: true },
    BillingMode: 'PAY_PER_REQUEST',
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: false },
    SSESpecification: { SSEEnabled: false },
  });
});

test('the table and its index take as many write units from the start as warmWriteUnits says', () => {
  const plain = only(template, 'AWS::DynamoDB::Table').Properties;
  const warm = only(synthesized({ warmWriteUnits: 100_000 }), 'AWS::DynamoDB::Table').Properties;
  const WarmThroughput = { WriteUnitsPerSecond: 100_000 };
  const [index] = plain.GlobalSecondaryIndexes;
  assert.deepEqual(warm, { ...plain, WarmThroughput, GlobalSecondaryIndexes: [{ ...index, WarmThroughput }] });
});

test('the queue is FIFO in high-throughput mode, and after three receives a message goes to the dead-letter queue', () => {
  const deadLetterQueue = only(template, 'AWS::SQS::Queue', isDeadLetterQueue);
  const fifo = { FifoQueue: true, DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId' };
  assert.deepEqual(only(template, 'AWS::SQS::Queue', isQueue).Properties, {
    ...fifo,
    VisibilityTimeout: 1800,
    MessageRetentionPeriod: 4 * 86400,
    SqsManagedSseEnabled: true,
    RedrivePolicy: { deadLetterTargetArn: { 'Fn::GetAtt': [deadLetterQueue.id, 'Arn'] }, maxReceiveCount: 3 },
  });
  assert.deepEqual(deadLetterQueue.Properties, {
    ...fifo,
    MessageRetentionPeriod: 14 * 86400,
    SqsManagedSseEnabled: true,
  });
});

test('a standard queue has no property of a FIFO queue', () => {
  const template = synthesized({ queueType: 'standard' });
  for (const which of [isQueue, isDeadLetterQueue]) {
    const properties = only(template, 'AWS::SQS::Queue', which).Properties;
    assert.deepEqual(Object.keys(properties).filter((name) => /Fifo|Dedup/.test(name)), []);
  }
});

test('the index has the names that the store queries', () => {
  const store = rustSource('src/dedup');
  const [index] = only(template, 'AWS::DynamoDB::Table').Properties.GlobalSecondaryIndexes;
  const { IndexName, KeySchema } = index;
  const [hash, range] = KeySchema.map((it: { AttributeName: string }) => it.AttributeName);
  assert.match(store, new RegExp(`PARKED_INDEX: &str = "${IndexName}"`));
  assert.match(store, new RegExp(`PARKED: &str = "${hash}"`));
  assert.match(store, new RegExp(`RECEIVED_AT: &str = "${range}"`));
});

test('a queue or table that an update replaces is kept, whatever the removal policy', () => {
  for (const removalPolicy of [RemovalPolicy.DESTROY, RemovalPolicy.RETAIN]) {
    const template = synthesized({ removalPolicy });
    for (const kept of [
      only(template, 'AWS::SQS::Queue', isQueue),
      only(template, 'AWS::SQS::Queue', isDeadLetterQueue),
      only(template, 'AWS::DynamoDB::Table'),
    ]) {
      assert.equal(kept.UpdateReplacePolicy, 'Retain', kept.Type);
      assert.equal(kept.DeletionPolicy, removalPolicy === RemovalPolicy.RETAIN ? 'Retain' : 'Delete', kept.Type);
    }
  }
});

/** Returns the types of the resources with this policy, which is what happens when the stack is deleted. */
const withPolicy = (template: Template, policy: string) =>
  Object.values(template.toJSON().Resources as Record<string, Resource>)
    .filter((resource) => resource.DeletionPolicy === policy)
    .map((resource) => resource.Type)
    .sort();

test('what holds data is kept, unless the deployment that creates it fails; the removal policy applies to all of it', () => {
  const kept = withPolicy(synthesized(), 'RetainExceptOnCreate');
  assert.deepEqual(withPolicy(synthesized({ removalPolicy: RemovalPolicy.RETAIN }), 'Retain'), kept);
  assert.deepEqual(withPolicy(synthesized({ removalPolicy: RemovalPolicy.DESTROY }), 'Delete'), kept);
  assert.deepEqual(withPolicy(synthesized({ removalPolicy: RemovalPolicy.DESTROY }), 'RetainExceptOnCreate'), []);
  assert.deepEqual(kept, [
    'AWS::DynamoDB::Table',
    'AWS::Logs::LogGroup',
    'AWS::Logs::LogGroup',
    'AWS::Logs::LogGroup',
    'AWS::SQS::Queue',
    'AWS::SQS::Queue',
    'AWS::SecretsManager::Secret',
  ]);
});

test('nothing that is kept has a name of ours, which the next stack could not take', () => {
  const named = Object.values(synthesized().toJSON().Resources as Record<string, Resource>).filter(
    (it) => it.DeletionPolicy === 'RetainExceptOnCreate' && Object.keys(it.Properties).some((name) => /^(Table|Queue|LogGroup)?Name$/.test(name)),
  );
  assert.deepEqual(named, []);
});

test('the properties of the ingress function', () => {
  const { Code, Environment, LoggingConfig, Role, Description, ...rest } = fn;
  assert.deepEqual(rest, {
    Runtime: 'provided.al2023',
    Handler: 'bootstrap',
    Architectures: ['arm64'],
    MemorySize: 256,
    Timeout: 5,
    TracingConfig: { Mode: 'Active' },
  });
});

test('the environment of the ingress function', () => {
  assert.deepEqual(fn.Environment.Variables, {
    ...environment,
    SLACK_SIGNING_SECRET_ARN: { Ref: only(template, 'AWS::SecretsManager::Secret').id },
    DEDUP_KEY: 'event_id',
    BOT_EVENTS: 'drop',
    DM_CONVERSATION: 'channel',
    CONTROL_EVENTS: 'agent_session_stopped',
    ACK_BUDGET_MS: '2500',
  });
});

test('the redrive function runs for at most a minute, is traced, has its own log and does not get the secret', () => {
  const { Code, Environment, LoggingConfig, Role, Description, ...rest } = redrive;
  assert.deepEqual(rest, {
    Runtime: 'provided.al2023',
    Handler: 'bootstrap',
    Architectures: ['arm64'],
    MemorySize: 256,
    Timeout: 60,
    TracingConfig: { Mode: 'Active' },
  });
  assert.deepEqual(Environment.Variables, environment);
  assert.notDeepEqual(LoggingConfig, fn.LoggingConfig);
  assert.notDeepEqual(Role, fn.Role);
  const log = template.findResources('AWS::Logs::LogGroup')[LoggingConfig.LogGroup.Ref]!;
  assert.equal(log.Properties.RetentionInDays, 30);
});

test('the redrive function runs each minute, and Lambda repeats no run that failed or came late', () => {
  const { Description, ...rule } = only(template, 'AWS::Events::Rule').Properties;
  const { id } = redriveIn(template);
  assert.deepEqual(rule, {
    ScheduleExpression: 'rate(1 minute)',
    State: 'ENABLED',
    Targets: [{ Id: 'Target0', Arn: { 'Fn::GetAtt': [id, 'Arn'] }, RetryPolicy: { MaximumRetryAttempts: 0 } }],
  });
  assert.deepEqual(only(template, 'AWS::Lambda::EventInvokeConfig').Properties, {
    FunctionName: { Ref: id },
    Qualifier: '$LATEST',
    MaximumRetryAttempts: 0,
    MaximumEventAgeInSeconds: 60,
  });
});

test('the functions read every variable that they are given', () => {
  const config = rustSource('src/config');
  for (const name of Object.keys({ ...fn.Environment.Variables, ...redrive.Environment.Variables })) {
    // `get` takes an empty value for none, `lookup` gives it as it is.
    assert.match(config, new RegExp(`\\b(get|lookup)\\("${name}"\\)`), `nothing in src/config reads ${name}`);
  }
});

test('every prop has its effect', () => {
  const template = synthesized({
    architecture: lambda.Architecture.X86_64,
    memorySize: 512,
    reservedConcurrentExecutions: 20,
    dedupTtl: Duration.hours(25),
    botEvents: 'own',
    dmConversation: 'thread',
    controlEvents: ['agent_session_stopped', 'message_deleted'],
    ackBudget: Duration.seconds(2),
    logLevel: 'debug',
    visibilityTimeout: Duration.hours(12),
    maxReceiveCount: 5,
    throttle: { rateLimit: 10, burstLimit: 20 },
    logRetention: 7,
  });
  const fn = ingressIn(template).Properties;
  const redrive = redriveIn(template).Properties;
  assert.deepEqual([fn.Architectures, redrive.Architectures], [['x86_64'], ['x86_64']]);
  assert.deepEqual([redrive.MemorySize, redrive.ReservedConcurrentExecutions], [256, undefined]);
  assert.equal(redrive.Environment.Variables.DEDUP_TTL_SECONDS, '90000');
  assert.equal(redrive.Environment.Variables.RUST_LOG, 'debug');
  assert.equal(fn.MemorySize, 512);
  assert.equal(fn.ReservedConcurrentExecutions, 20);
  const { DEDUP_TTL_SECONDS, BOT_EVENTS, ACK_BUDGET_MS, RUST_LOG, DM_CONVERSATION, CONTROL_EVENTS } = fn.Environment.Variables;
  assert.deepEqual([DEDUP_TTL_SECONDS, BOT_EVENTS, ACK_BUDGET_MS, RUST_LOG], ['90000', 'own', '2000', 'debug']);
  assert.deepEqual([DM_CONVERSATION, CONTROL_EVENTS], ['thread', 'agent_session_stopped,message_deleted']);
  const queue = only(template, 'AWS::SQS::Queue', isQueue).Properties;
  assert.equal(queue.VisibilityTimeout, 43200);
  assert.equal(queue.RedrivePolicy.maxReceiveCount, 5);
  template.hasResourceProperties('AWS::ApiGatewayV2::Stage', {
    DefaultRouteSettings: { ThrottlingRateLimit: 10, ThrottlingBurstLimit: 20 },
  });
  template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 7 });
});

test("the API has exactly Slack's three routes, all POST, without an authorizer", () => {
  const routes = Object.values(template.findResources('AWS::ApiGatewayV2::Route')).map((it) => it.Properties);
  assert.deepEqual(
    routes.map(({ RouteKey, AuthorizationType }) => [RouteKey, AuthorizationType]),
    PATHS.map((path) => [`POST ${path}`, 'NONE']),
  );
  assert.equal(only(template, 'AWS::ApiGatewayV2::Integration').Properties.PayloadFormatVersion, '2.0');
});

test('the stage is throttled, and its access log has no field with the body or the signature', () => {
  const stage = only(template, 'AWS::ApiGatewayV2::Stage').Properties;
  assert.deepEqual(stage.DefaultRouteSettings, {
    DetailedMetricsEnabled: false,
    ThrottlingBurstLimit: 400,
    ThrottlingRateLimit: 200,
  });
  const variables = Object.values(JSON.parse(stage.AccessLogSettings.Format)).sort();
  assert.deepEqual(variables, [
    '$context.apiId',
    '$context.error.message',
    '$context.identity.sourceIp',
    '$context.identity.userAgent',
    '$context.integration.integrationStatus',
    '$context.integrationErrorMessage',
    '$context.integrationLatency',
    '$context.requestId',
    '$context.requestTime',
    '$context.responseLatency',
    '$context.routeKey',
    '$context.status',
  ]);
});

test('with a Function URL there is no API', () => {
  const template = synthesized({ frontDoor: 'function-url' });
  template.hasResourceProperties('AWS::Lambda::Url', { AuthType: 'NONE', Cors: Match.absent() });
  template.resourceCountIs('AWS::ApiGatewayV2::Api', 0);
  template.resourceCountIs('AWS::Logs::LogGroup', 2);
});

test('with a topic there is no queue, and no alarm or graph of one', () => {
  const arn = 'arn:aws:sns:us-east-1:111122223333:events.fifo';
  const template = synthesized((scope) => ({ topic: sns.Topic.fromTopicArn(scope, 'Topic', arn) }));
  template.resourceCountIs('AWS::SQS::Queue', 0);
  assert.equal(ingressIn(template).Properties.Environment.Variables.EVENT_SINK, arn);
  const statements = roleOf(template, ingressIn(template)).statements;
  assert.deepEqual(statements[1], { Effect: 'Allow', Action: ['sns:GetTopicAttributes', 'sns:Publish'], Resource: arn });
  assert.doesNotMatch(JSON.stringify(template.toJSON()), /sqs/i);
  template.resourceCountIs('AWS::CloudWatch::Alarm', 10);
});

test('a topic together with a property of the queue is refused', () => {
  const topic = (scope: Construct) => sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:events');
  assert.throws(() => synthesized((scope) => ({ topic: topic(scope), queueType: 'fifo' })), /with a topic there is none/);
});

test('the template contains no secret', () => {
  const secret = only(template, 'AWS::SecretsManager::Secret').Properties;
  assert.equal(secret.SecretString, undefined);
  assert.equal(secret.GenerateSecretString.PasswordLength, 64);
});

test('no dashboard is created if none is wanted', () => {
  synthesized({ dashboard: false }).resourceCountIs('AWS::CloudWatch::Dashboard', 0);
});

for (const [name, props, problem] of [
  ['an ack budget that is longer than Slack waits', { ackBudget: Duration.millis(3001) }, /ackBudget/],
  ['a visibility timeout that is longer than SQS allows', { visibilityTimeout: Duration.hours(13) }, /visibilityTimeout/],
  ['a throttle for a Function URL', { frontDoor: 'function-url', throttle: { rateLimit: 1 } }, /Function URL/],
  ['a warm throughput that is below what a new table has', { warmWriteUnits: 3999 }, /warmWriteUnits must be at least 4000/],
  ['a list of control events in one string', { controlEvents: ['one,other'] }, /controlEvents must be types of events/],
] as const satisfies [string, Parameters<typeof synthesized>[0], RegExp][]) {
  test(`${name} is refused`, () => {
    assert.throws(() => synthesized(props), problem);
  });
}

/**
 * Returns the shortest safe `dedupTtl` in seconds, as `MIN_SAFE_DEDUP_TTL` in src/slack/retries.rs has it: the sum of two
 * constants, each of which is a sum of products of numbers.
 */
function minSafeDedupTtl(): number {
  const source = rustSource('src/slack');
  const seconds = (constant: RegExp): number => {
    const [, sum] = constant.exec(source) ?? assert.fail(`nothing in src/slack matches ${constant}`);
    return sum!
      .split('+')
      .map((product) => product.split('*').reduce((result, factor) => result * Number(factor), 1))
      .reduce((result, product) => result + product);
  };
  assert.match(source, /MIN_SAFE_DEDUP_TTL: Duration =\s+LAST_RETRY_AFTER\.saturating_add\(.*\(MAX_SKEW_SECONDS\)\);/);
  return (
    seconds(/LAST_RETRY_AFTER: Duration = Duration::from_secs\(([\d +*]+)\);/) +
    seconds(/MAX_SKEW_SECONDS: u64 = ([\d +*]+);/)
  );
}

test("a dedupTtl that ends before Slack's last retry causes a warning", () => {
  const warnings = (dedupTtl: Duration) => {
    const stack = new Stack(newApp(), 'Stack');
    new SlackIngress(stack, 'Ingress', { ...functions(), dedupTtl });
    return Annotations.fromStack(stack).findWarning('*', Match.stringLikeRegexp('last retry')).length;
  };
  assert.equal(warnings(Duration.seconds(minSafeDedupTtl() - 1)), 1);
  assert.equal(warnings(Duration.seconds(minSafeDedupTtl())), 0);
});

test('template.yaml refuses a WarmWriteUnits that the construct refuses, and takes none', () => {
  const template = readFileSync(join(REPOSITORY, 'template.yaml'), 'utf8');
  const [, pattern] = /^  WarmWriteUnits:\n    Type: String\n    Default: ""\n    AllowedPattern: '(.+)'$/m.exec(template) ?? [];
  const allowed = (value: string) => new RegExp(pattern!).test(value);
  assert.deepEqual(['', '4000', '9999', '10000', '100000'].filter((it) => !allowed(it)), []);
  assert.deepEqual(['0', '999', '3999', '04000', '4000.5', '10k'].filter(allowed), []);
});

test("template.yaml refuses a DedupTtlSeconds that ends before Slack's last retry", () => {
  const template = readFileSync(join(REPOSITORY, 'template.yaml'), 'utf8');
  const [, minimum] = /^  DedupTtlSeconds:\n    Type: Number\n    MinValue: (\d+)$/m.exec(template) ?? [];
  assert.equal(Number(minimum), minSafeDedupTtl());
});
