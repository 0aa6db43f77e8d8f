// Two regions: what each stack has, what must be called the same in both, and which pairs are refused.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AgentStack } from '../../lib/agent/stack';
import { SlackIngress, type SlackIngressProps } from '../../lib/ingress/slack-ingress';
import { SlackIngressStack } from '../../lib/ingress/stack';
import type { TwoRegionsProps } from '../../lib/ingress/two-regions';
import { agentProps } from '../../lib/settings/agent';
import { ingressProps } from '../../lib/settings/ingress';
import {
  CONTEXT,
  REPOSITORY,
  codeSettings,
  dispatchIn,
  functions,
  ingressIn,
  newApp,
  only,
  redriveIn,
  roleOf,
  settleIn,
  synthesized,
  temporaryDirectory,
  withImports,
} from '../support';

const [ACTIVE, STANDBY, WITNESS] = ['us-east-1', 'us-west-2', 'us-east-2'] as const;
const HOST = { domainName: 'slack.example.com', hostedZoneId: 'Z0123456789ABCDEFGHIJ' };
const CODE = codeSettings();

/** Returns the templates of one region's stacks, as the settings make them. */
function deployed(region: string, context: Record<string, string>) {
  const app = newApp({ ...CODE, ...HOST, agent: 'true', ...context });
  const env = { region };
  const producer = new SlackIngressStack(app, 'SlackIngress', { env, ingress: ingressProps });
  const consumer = new AgentStack(app, 'SlackIngressAgent', { env, ingress: producer.ingress, agent: agentProps });
  return withImports(consumer, producer);
}

const active = deployed(ACTIVE, { standbyRegion: STANDBY });
const standby = deployed(STANDBY, { activeRegion: ACTIVE });
const record = (template: Template) => only(template, 'AWS::Route53::RecordSet').Properties;
const output = (template: Template, name: string) => template.findOutputs(name)[name]?.Value;

test('both regions answer to one host, each with a certificate and an API of its own', () => {
  for (const { ingress } of [active, standby]) {
    const certificate = only(ingress, 'AWS::CertificateManager::Certificate');
    const { DomainName, DomainValidationOptions, ValidationMethod } = certificate.Properties;
    assert.deepEqual([DomainName, ValidationMethod], [HOST.domainName, 'DNS']);
    assert.deepEqual(DomainValidationOptions, [{ DomainName: HOST.domainName, HostedZoneId: HOST.hostedZoneId }]);
    const domain = only(ingress, 'AWS::ApiGatewayV2::DomainName');
    assert.equal(domain.Properties.DomainName, HOST.domainName);
    assert.deepEqual(domain.Properties.DomainNameConfigurations, [
      { CertificateArn: { Ref: certificate.id }, EndpointType: 'REGIONAL' },
    ]);
    const mapping = only(ingress, 'AWS::ApiGatewayV2::ApiMapping').Properties;
    const api = only(ingress, 'AWS::ApiGatewayV2::Api').id;
    assert.deepEqual(mapping, { ApiId: { Ref: api }, DomainName: { Ref: domain.id }, Stage: '$default' });
    assert.deepEqual(record(ingress).AliasTarget.DNSName, { 'Fn::GetAtt': [domain.id, 'RegionalDomainName'] });
    assert.equal(output(ingress, 'RequestUrl'), 'https://slack.example.com/slack/events');
    assert.equal(output(ingress, 'CommandsUrl'), 'https://slack.example.com/slack/commands');
    assert.deepEqual(output(ingress, 'RegionalRequestUrl'), {
      'Fn::Join': ['', [{ 'Fn::GetAtt': [api, 'ApiEndpoint'] }, '/slack/events']],
    });
  }
});

test('the two records are a pair, and only a person, or an API Gateway that is down, switches them', () => {
  const [primary, secondary] = [active, standby].map((it) => record(it.ingress)) as [any, any];
  for (const same of ['Name', 'Type', 'HostedZoneId']) assert.equal(primary[same], secondary[same], same);
  assert.equal(primary.Name, `${HOST.domainName}.`);
  assert.deepEqual([primary.Failover, secondary.Failover], ['PRIMARY', 'SECONDARY']);
  assert.notEqual(primary.SetIdentifier, secondary.SetIdentifier);
  assert.deepEqual([primary.AliasTarget.EvaluateTargetHealth, secondary.AliasTarget.EvaluateTargetHealth], [true, false]);
  // Without a health check the standby's record is always healthy.
  assert.equal(secondary.HealthCheckId, undefined);
  const check = only(active.ingress, 'AWS::Route53::HealthCheck');
  assert.deepEqual(primary.HealthCheckId, { 'Fn::GetAtt': [check.id, 'HealthCheckId'] });
  const alarm = only(standby.ingress, 'AWS::CloudWatch::Alarm', (it) => it.Properties.MetricName === 'UseStandby').Properties;
  assert.deepEqual(check.Properties.HealthCheckConfig, {
    Type: 'CLOUDWATCH_METRIC',
    AlarmIdentifier: { Name: alarm.AlarmName, Region: STANDBY },
    InsufficientDataHealthStatus: 'LastKnownStatus',
  });
  assert.equal(alarm.TreatMissingData, 'ignore');
  standby.ingress.resourceCountIs('AWS::Route53::HealthCheck', 0);
});

test("the commands that switch send what the standby's alarm looks at, in the standby's region", () => {
  const alarm = only(standby.ingress, 'AWS::CloudWatch::Alarm', (it) => it.Properties.MetricName === 'UseStandby').Properties;
  const [{ Name, Value }] = alarm.Dimensions;
  assert.deepEqual([alarm.ComparisonOperator, alarm.Threshold, alarm.Statistic, alarm.EvaluationPeriods], [
    'GreaterThanOrEqualToThreshold',
    1,
    'Maximum',
    1,
  ]);
  for (const [name, value] of [
    ['SwitchToStandby', 1],
    ['SwitchBack', 0],
  ]) {
    assert.equal(
      output(standby.ingress, name as string),
      `aws cloudwatch put-metric-data --region ${STANDBY} --namespace ${alarm.Namespace} --metric-name ${alarm.MetricName} ` +
        `--dimensions ${Name}=${Value} --value ${value}`,
    );
    assert.equal(output(active.ingress, name as string), undefined);
  }
});

test('the consumers of both regions keep their records in one table, which is strongly consistent', () => {
  const { Properties: table, id } = only(standby.ingress, 'AWS::DynamoDB::GlobalTable');
  assert.equal(table.MultiRegionConsistency, 'STRONG');
  assert.deepEqual(table.Replicas.map((it: any) => it.Region).sort(), [ACTIVE, STANDBY]);
  assert.deepEqual(table.GlobalTableWitnesses, [{ Region: WITNESS }]);
  assert.deepEqual(table.KeySchema, [{ AttributeName: 'event_id', KeyType: 'HASH' }]);
  // DynamoDB refuses it in such a table.
  assert.equal(table.TimeToLiveSpecification, undefined);
  active.ingress.resourceCountIs('AWS::DynamoDB::GlobalTable', 0);
  // An export that the agent's stack imports would keep the settings from ever being left out.
  assert.ok(!JSON.stringify(Object.values(standby.ingress.findOutputs('*')).filter((it) => it.Export)).includes(id));
  assert.equal(output(active.ingress, 'GuardTableName'), table.TableName);
  const of = (template: Template, fn: typeof dispatchIn) => fn(template).Properties.Environment.Variables.DEDUP_STORE;
  for (const fn of [dispatchIn, settleIn]) {
    assert.equal(of(active.template, fn), `dynamodb:${table.TableName}`);
    assert.equal(of(standby.template, fn), `dynamodb:${table.TableName}`);
  }
});

test("the agent's functions may use the shared table and not the ingress's, which each region has to itself", () => {
  const tables = (template: Template, fn: ReturnType<typeof dispatchIn>) =>
    roleOf(template, fn).statements.filter((it) => JSON.stringify(it.Action).includes('dynamodb:')).map((it) => it.Resource);
  const guard = only(standby.ingress, 'AWS::DynamoDB::GlobalTable');
  const replica = (region: string) => [
    'arn:',
    { Ref: 'AWS::Partition' },
    `:dynamodb:${region}:`,
    { Ref: 'AWS::AccountId' },
    `:table/${guard.Properties.TableName}`,
  ];
  for (const fn of [dispatchIn, settleIn]) {
    assert.deepEqual(tables(active.template, fn(active.template)), [{ 'Fn::Join': ['', replica(ACTIVE)] }]);
    assert.deepEqual(tables(standby.template, fn(standby.template)), [{ 'Fn::Join': ['', replica(STANDBY)] }]);
  }
  for (const { ingress } of [active, standby]) {
    const own = only(ingress, 'AWS::DynamoDB::Table').id;
    for (const fn of [ingressIn(ingress), redriveIn(ingress)]) {
      assert.deepEqual(fn.Properties.Environment.Variables.DEDUP_STORE, { 'Fn::Join': ['', ['dynamodb:', { Ref: own }]] });
      assert.equal(JSON.stringify(tables(ingress, fn)).includes(guard.id), false);
    }
  }
});

test('the stack can become one of two while its agent still imports the table of one region', () => {
  const exports = (template: Template) =>
    Object.values(template.findOutputs('*')).flatMap((it) => (it.Export ? [it.Export.Name as string] : []));
  const app = newApp({ ...CODE, agent: 'true' });
  const env = { region: ACTIVE };
  const producer = new SlackIngressStack(app, 'SlackIngress', { env, ingress: ingressProps });
  const consumer = new AgentStack(app, 'SlackIngressAgent', { env, ingress: producer.ingress, agent: agentProps });
  const before = withImports(consumer, producer).ingress;
  const missing = exports(before).filter((it) => !exports(active.ingress).includes(it));
  assert.deepEqual([exports(before).length > 0, missing], [true, []]);
});

/** Everything in an ingress that is one of two. */
const OF_TWO = ['Certificate', 'DomainName', 'ApiMapping', 'RecordSet', 'HealthCheck', 'GlobalTable'];

test('one region has none of it', () => {
  const types = Object.values(synthesized().toJSON().Resources as Record<string, { Type: string }>).map((it) => it.Type);
  assert.deepEqual(types.filter((it) => OF_TWO.some((name) => it.endsWith(`::${name}`))), []);
});

const inRegion = (region: string | undefined, twoRegions: Partial<TwoRegionsProps>, props: SlackIngressProps = {}) =>
  new SlackIngress(new Stack(newApp(), 'Stack', { env: { region } }), 'Ingress', {
    ...functions(),
    ...props,
    twoRegions: { ...HOST, ...twoRegions },
  });

for (const [why, refused, message] of [
  ['the region itself as the standby', () => inRegion(ACTIVE, { standbyRegion: ACTIVE }), /standbyRegion is us-east-1, the region of this stack itself/],
  ['the region itself as the active one', () => inRegion(ACTIVE, { activeRegion: ACTIVE }), /activeRegion is us-east-1, the region of this stack itself/],
  ['both roles', () => inRegion(WITNESS, { activeRegion: ACTIVE, standbyRegion: STANDBY }), /standbyRegion and activeRegion cannot both be given/],
  ['no role', () => inRegion(ACTIVE, {}), /twoRegions needs standbyRegion, in the active region, or activeRegion, in the standby/],
  ['a stack for any region', () => inRegion(undefined, { standbyRegion: STANDBY }), /the stack must know its own: set env.region, or AWS_REGION/],
  ['regions of two sets', () => inRegion(ACTIVE, { standbyRegion: 'eu-west-1' }), /us-east-1 and eu-west-1 cannot share a strongly consistent table/],
  ['a region of no set', () => inRegion('sa-east-1', { standbyRegion: 'us-east-1' }), /sets: us-east-1, us-east-2, us-west-2; or eu-west-1/],
  ['a URL as the host', () => inRegion(ACTIVE, { standbyRegion: STANDBY, domainName: 'https://slack.example.com' }), /domainName must be a host/],
  [
    'a Function URL',
    () => inRegion(ACTIVE, { standbyRegion: STANDBY }, { frontDoor: 'function-url' }),
    /a Function URL cannot have a host of yours, and two regions need one: use the HTTP API/,
  ],
] as const) {
  test(`refused: ${why}`, () => assert.throws(refused, message));
}

test('each pair of a set has the third region as the witness, the same from both sides', () => {
  for (const [own, other, witness] of [
    ['us-east-1', 'us-west-2', 'us-east-2'],
    ['us-east-2', 'us-east-1', 'us-west-2'],
    ['eu-west-1', 'eu-central-1', 'eu-west-3'],
    ['eu-west-2', 'eu-west-3', 'eu-west-1'],
    ['ap-northeast-1', 'ap-northeast-3', 'ap-northeast-2'],
  ]) {
    for (const [region, activeRegion] of [
      [own, other],
      [other, own],
    ]) {
      const { guardTable } = inRegion(region, { activeRegion });
      const table = only(Template.fromStack(Stack.of(guardTable!)), 'AWS::DynamoDB::GlobalTable');
      assert.deepEqual(table.Properties.GlobalTableWitnesses, [{ Region: witness }], `${region}, ${activeRegion}`);
    }
  }
});

const settings = (context: Record<string, string>) => () =>
  new SlackIngressStack(newApp({ ...CODE, ...context }), 'Stack', { env: { region: ACTIVE }, ingress: ingressProps });
const ARN = `arn:aws:secretsmanager:${STANDBY}:111122223333:secret:slack-AbCdEf`;

for (const [why, context, message] of [
  ['both roles', { ...HOST, standbyRegion: STANDBY, activeRegion: STANDBY }, 'standbyRegion and activeRegion cannot both be set: a stack is the active one or the standby'],
  ['a host for one region', HOST, 'domainName has no effect with one region: set standbyRegion, or activeRegion in the standby'],
  ['a zone for one region', { hostedZoneId: HOST.hostedZoneId }, 'hostedZoneId has no effect with one region: set standbyRegion, or activeRegion in the standby'],
  ['two regions without a host', { standbyRegion: STANDBY }, 'two regions need one host for Slack to post to: set domainName and hostedZoneId'],
  ['two regions without a zone', { standbyRegion: STANDBY, domainName: HOST.domainName }, 'two regions need one host for Slack to post to: set domainName and hostedZoneId'],
  ['a zone\'s name in place of its id', { ...HOST, standbyRegion: STANDBY, hostedZoneId: 'example.com' }, 'hostedZoneId must be the id of a hosted zone, such as Z0123456789ABCDEFGHIJ, and is: example.com'],
  ['a zone of availability', { ...HOST, standbyRegion: 'us-west-2a' }, 'standbyRegion must be a region such as us-east-1, and is: us-west-2a'],
  [
    'a secret that is in the other region',
    { ...HOST, standbyRegion: STANDBY, signingSecretArn: ARN },
    'signingSecretArn names something in us-west-2, the other region, and would be gone with it: give what is in this one',
  ],
  [
    'an agent that is in the other region',
    { ...HOST, standbyRegion: STANDBY, agent: 'true', agentRuntimeArn: `arn:aws:bedrock-agentcore:${STANDBY}:111122223333:runtime/mine-1` },
    'agentRuntimeArn names something in us-west-2, the other region, and would be gone with it: give what is in this one',
  ],
  ['a Function URL', { ...HOST, standbyRegion: STANDBY, frontDoor: 'function-url' }, 'SlackIngress: a Function URL cannot have a host of yours, and two regions need one: use the HTTP API'],
] as const) {
  test(`refused as settings: ${why}`, () => assert.throws(settings(context), { message }));
}

test('refused: tokens that expire, because each region would use up the refresh token for the other', () => {
  const rotating = () => deployed(ACTIVE, { standbyRegion: STANDBY, rotatingTokens: 'true' });
  assert.throws(rotating, /with two regions the bot tokens must not expire/);
  const limited = () => deployed(ACTIVE, { standbyRegion: STANDBY, questionsADay: 'person:20' });
  assert.throws(limited, /with two regions there are no limits of a day/);
  const asking = () => deployed(ACTIVE, { standbyRegion: STANDBY, approvals: '{"edit_canvas":"asker"}' });
  assert.throws(asking, /with two regions there are no approvals/);
  const together = () => deployed(ACTIVE, { standbyRegion: STANDBY, turns: 'together' });
  assert.throws(together, /with two regions turns must be each/);
});

/** Runs the app as the CDK's command line does, in a region, with cdk-nag. */
const app = (context: Record<string, string>, region?: string) =>
  spawnSync(process.execPath, ['--import', 'tsx', 'bin/slack-ingress.ts'], {
    cwd: join(REPOSITORY, 'cdk'),
    env: {
      ...process.env,
      CDK_DEFAULT_REGION: region,
      CDK_OUTDIR: temporaryDirectory(),
      CDK_CONTEXT_JSON: JSON.stringify({ ...CONTEXT, ...CODE, ...HOST, ...context }),
    },
    encoding: 'utf8',
  });

test('the app makes the stacks of the region that the command line names, and cdk-nag finds nothing', () => {
  for (const [region, context] of [
    [ACTIVE, { standbyRegion: STANDBY, agent: 'true' }],
    [STANDBY, { activeRegion: ACTIVE, agent: 'true' }],
  ] as const) {
    const run = app(context, region);
    assert.equal(run.status, 0, run.stderr);
  }
  const nowhere = app({ standbyRegion: STANDBY });
  assert.equal(nowhere.status, 1);
  assert.equal(nowhere.stderr, 'slack-ingress: SlackIngress: with two regions the stack must know its own: set env.region, or AWS_REGION for the CDK\n');
});
