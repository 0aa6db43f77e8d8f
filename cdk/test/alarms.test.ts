import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Duration } from 'aws-cdk-lib';
import { Match } from 'aws-cdk-lib/assertions';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { RedriveName } from '../lib/metrics.ts';
import { REPOSITORY, ingressIn, isDeadLetterQueue, isQueue, only, redriveIn, synthesized } from './support.ts';

const template = synthesized();
const alarms = Object.entries(template.findResources('AWS::CloudWatch::Alarm')).map(([id, it]) => ({
  name: id.replace(/^IngressAlarms|[0-9A-F]{8}$/g, ''),
  ...it.Properties,
}));

/** Each alarm's name, threshold, and how many windows of how many. */
test('the alarms are these', () => {
  assert.deepEqual(
    alarms.map((it) => [it.name, it.Threshold, it.DatapointsToAlarm, it.EvaluationPeriods]),
    [
      ['DeadLetters', 0, 1, 1],
      ['OldMessages', 3600, 1, 1],
      ['Failures', 5, 2, 3],
      ['SlowAnswers', 2000, 2, 3],
      ['Throttles', 0, 1, 1],
      ['Rejections', 50, 1, 1],
      ['Malformed', 0, 1, 1],
      ['Lost', 0, 1, 1],
      ['ParkedEvents', 0, 1, 1],
      ['RateLimited', 0, 1, 1],
    ],
  );
});

test('silence raises the alarm of the redrive function and no other, and every one is raised above its threshold', () => {
  for (const alarm of alarms) {
    const onSilence = alarm.name === 'ParkedEvents' ? 'breaching' : 'notBreaching';
    assert.equal(alarm.TreatMissingData, onSilence, alarm.name);
    assert.equal(alarm.ComparisonOperator, 'GreaterThanThreshold', alarm.name);
  }
});

test('every alarm has its section in docs/operate.md', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8');
  for (const { name } of alarms) assert.match(guide, new RegExp(`^### ${name}$`, 'm'));
});

test('each queue alarm looks at its own queue', () => {
  const queueOf = (name: string) => alarms.find((it) => it.name === name)?.Dimensions[0].Value['Fn::GetAtt'][0];
  assert.equal(queueOf('DeadLetters'), only(template, 'AWS::SQS::Queue', isDeadLetterQueue).id);
  assert.equal(queueOf('OldMessages'), only(template, 'AWS::SQS::Queue', isQueue).id);
});

test('one event lost is an alarm, and so is one that is parked for five minutes', () => {
  const watched = (name: string) => {
    const { MetricName, Namespace, Statistic, Period, Dimensions } = alarms.find((it) => it.name === name)!;
    return { MetricName, Namespace, Statistic, Period, Dimensions };
  };
  const of = (Ref: string) => [{ Name: 'FunctionName', Value: { Ref } }];
  const common = { Namespace: 'SlackIngress', Period: 300 };
  assert.deepEqual(watched('Lost'), { ...common, MetricName: 'Lost', Statistic: 'Sum', Dimensions: of(ingressIn(template).id) });
  assert.deepEqual(watched('ParkedEvents'), {
    ...common,
    MetricName: 'ParkedEvents',
    Statistic: 'Minimum',
    Dimensions: of(redriveIn(template).id),
  });
});

test('every alarm goes to the topic, and without one to nobody', () => {
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: Match.absent() });
  const withTopic = synthesized((scope) => ({
    alarmTopic: sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:alarms'),
  }));
  withTopic.allResourcesProperties('AWS::CloudWatch::Alarm', {
    AlarmActions: ['arn:aws:sns:us-east-1:111122223333:alarms'],
  });
});

test('how old a message may be can be set', () => {
  synthesized({ maxMessageAge: Duration.hours(6) }).hasResourceProperties('AWS::CloudWatch::Alarm', {
    MetricName: 'ApproximateAgeOfOldestMessage',
    Threshold: 21600,
  });
});

test('every metric of namespace SlackIngress is one that the functions send', () => {
  const source = readFileSync(join(REPOSITORY, 'src/telemetry/metrics/mod.rs'), 'utf8');
  const dashboard = JSON.stringify(only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);
  const shown = [...dashboard.matchAll(/SlackIngress\\\\?",\\\\?"(\w+)\\\\?",\\\\?"FunctionName/g)].map((match) => match[1]!);
  const watched = JSON.stringify(alarms).matchAll(/"MetricName":"(\w+)","Namespace":"SlackIngress"/g);
  const names = new Set([...shown, ...[...watched].map((match) => match[1]!)]);
  assert.equal(names.size, 24, [...names].join(' '));
  for (const name of names) assert.ok(source.includes(`"${name}"`), `src/telemetry/metrics/mod.rs does not send ${name}`);
});

test('each is drawn under the name of the function that sends it', () => {
  const parts: (string | { Ref: string })[] = only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody['Fn::Join'][1];
  const body = parts.map((it) => (typeof it === 'string' ? it : it.Ref)).join('');
  const drawn = [...body.matchAll(/"SlackIngress","(\w+)","FunctionName","(\w+)"/g)].map(([, name, fn]) => [name!, fn!]);
  const redrives = new Set<string>(['Redriven', 'RedriveFailures', 'ParkedEvents', 'OldestParkedAge'] satisfies RedriveName[]);
  assert.ok(drawn.length >= 24);
  for (const [name, fn] of drawn) {
    assert.equal(fn, (redrives.has(name!) ? redriveIn(template) : ingressIn(template)).id, name);
  }
});

test('every reason for a retry is on the dashboard', () => {
  const source = readFileSync(join(REPOSITORY, 'src/telemetry/metrics/mod.rs'), 'utf8');
  const reasons = /RETRY_REASONS[^=]*=\s*\[([^\]]*)\]/.exec(source)?.[1]?.match(/\w+/g) ?? [];
  assert.equal(reasons.length, 6);
  const dashboard = JSON.stringify(only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);
  for (const reason of [...reasons, 'other']) {
    assert.match(dashboard, new RegExp(`RetryReason[\\\\",]+${reason}`));
  }
});

test("the dashboard draws Slack's limits: 3 s, and 95 % of attempts", () => {
  const dashboard = JSON.stringify(only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);
  assert.match(dashboard, /value[\\":]+3000,[\\"]+label[\\":]+Slack gives up/);
  assert.match(dashboard, /value[\\":]+95,[\\"]+label[\\":]+Slack disables the app/);
});
