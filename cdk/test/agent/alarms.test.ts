// The dispatcher's alarms and dashboard.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Match } from 'aws-cdk-lib/assertions';
import * as sns from 'aws-cdk-lib/aws-sns';
import { REPOSITORY, agentTemplate, only, rustSource } from '../support.ts';

const { template } = agentTemplate();
const fn = only(template, 'AWS::Lambda::Function');
const alarms = Object.entries(template.findResources('AWS::CloudWatch::Alarm')).map(([id, it]) => ({
  name: id.replace(/^Alarms|[0-9A-F]{8}$/g, ''),
  ...it.Properties,
}));

test('the alarms have these thresholds, and these numbers of periods above them', () => {
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

test('every alarm notifies the topic, if there is one', () => {
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: Match.absent() });
  const { template: withTopic } = agentTemplate((scope) => ({
    alarmTopic: sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:alarms'),
  }));
  withTopic.allResourcesProperties('AWS::CloudWatch::Alarm', {
    AlarmActions: ['arn:aws:sns:us-east-1:111122223333:alarms'],
  });
});

test("the dispatcher sends every metric that is drawn or watched, under its own name", () => {
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
