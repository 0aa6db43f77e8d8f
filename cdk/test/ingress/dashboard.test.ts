// The ingress's dashboard: it draws metrics that the functions send, each under the name of the right function.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RedriveName } from '../../lib/ingress/metrics';
import { ingressIn, only, redriveIn, rustSource, synthesized } from '../support';

const template = synthesized();
const alarms = Object.values(template.findResources('AWS::CloudWatch::Alarm')).map((it) => it.Properties);

test('the functions send every metric of the namespace SlackIngress that is drawn or watched', () => {
  const source = rustSource('src/telemetry/metrics');
  const dashboard = JSON.stringify(only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);
  const shown = [...dashboard.matchAll(/SlackIngress\\\\?",\\\\?"(\w+)\\\\?",\\\\?"FunctionName/g)].map((match) => match[1]!);
  const watched = JSON.stringify(alarms).matchAll(/"MetricName":"(\w+)","Namespace":"SlackIngress"/g);
  // These two are made of the access log (front-door.test.ts).
  const ofTheLog = ['ApiThrottled', 'ApiErrors'];
  const names = new Set([...shown, ...[...watched].map((match) => match[1]!).filter((it) => !ofTheLog.includes(it))]);
  assert.equal(names.size, 24, [...names].join(' '));
  for (const name of names) assert.ok(source.includes(`"${name}"`), `nothing in src/telemetry/metrics sends ${name}`);
});

test('each metric is drawn under the name of the function that sends it', () => {
  const parts: (string | { Ref: string })[] = only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody['Fn::Join'][1];
  const body = parts.map((it) => (typeof it === 'string' ? it : it.Ref)).join('');
  const drawn = [...body.matchAll(/"SlackIngress","(\w+)","FunctionName","(\w+)"/g)].map(([, name, fn]) => [name!, fn!]);
  const redrives = new Set<string>(['Redriven', 'RedriveFailures', 'ParkedEvents', 'OldestParkedAge'] satisfies RedriveName[]);
  assert.ok(drawn.length >= 24);
  for (const [name, fn] of drawn) {
    assert.equal(fn, (redrives.has(name!) ? redriveIn(template) : ingressIn(template)).id, name);
  }
});

test('the dashboard draws every reason for a retry', () => {
  const reasons = /\bREASONS: [^=]*=\s*\[([^\]]*)\]/.exec(rustSource('src/slack'))?.[1]?.match(/\w+/g) ?? [];
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
