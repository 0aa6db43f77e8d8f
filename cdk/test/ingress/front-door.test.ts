// What the front door counts by itself: which lines of the access log an alarm counts, and what is left of a Function URL's 5xx.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import { type Resource, ingressIn, only, synthesized } from '../support';

const template = synthesized();
const api = only(template, 'AWS::ApiGatewayV2::Api').id;
const stage = only(template, 'AWS::ApiGatewayV2::Stage').Properties;
const alarm = (of: Template, name: string) => only(of, 'AWS::CloudWatch::Alarm', (it) => it.Properties.AlarmDescription.includes(name)).Properties;
const filter = (metric: string) =>
  only(template, 'AWS::Logs::MetricFilter', (it) => it.Properties.MetricTransformations[0].MetricName === metric).Properties;
const dashboard = (of: Template) => JSON.stringify(only(of, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);

/** Writes a line as the deployed format says. API Gateway writes `-` for a variable that has no value. */
function logLine(variables: Record<string, string>): Record<string, string> {
  const format: string = stage.AccessLogSettings.Format;
  const unused = new Set(Object.keys(variables));
  const line = format.replace(/\$context\.([\w.]+)/g, (_, name: string) => {
    unused.delete(name);
    return variables[name] ?? '-';
  });
  assert.deepEqual([...unused], [], 'the access log does not have these variables');
  return JSON.parse(line);
}

/** Whether a filter pattern takes a line. It knows what our patterns are made of: comparisons of texts, all of which must hold. */
function takes(pattern: string, line: Record<string, string>): boolean {
  const [, conditions] = /^\{ (.*) \}$/.exec(pattern) ?? assert.fail(pattern);
  return conditions!.split(' && ').every((condition) => {
    const [, field, operator, wanted] = /^\(\$\.(\w+) (=|!=) "([^"]*)"\)$/.exec(condition) ?? assert.fail(condition);
    assert.ok(field! in line, `the access log has no ${field}`);
    const form = new RegExp(`^${wanted!.replaceAll('*', '.*')}$`);
    return form.test(line[field!]!) === (operator === '=');
  });
}

const [throttled, errors] = [filter('ApiThrottled').FilterPattern, filter('ApiErrors').FilterPattern];
const message = 'integrationErrorMessage';
const fromLambda = 'integration.integrationStatus';

for (const [what, variables, counted] of [
  ['an event that was accepted', { status: '200', [fromLambda]: '200' }, []],
  ['a request that the API turned away', { status: '429' }, ['throttled']],
  ['a path that there is not', { status: '404' }, []],
  ['a forged request', { status: '401', [fromLambda]: '200' }, []],
  ["the function's own 503", { status: '503', [fromLambda]: '200' }, []],
  ['a function that crashed', { status: '500', [message]: 'The Lambda function returned an error', [fromLambda]: '200' }, []],
  ['a function that the API may not invoke', { status: '500', [message]: 'no permissions', [fromLambda]: '403' }, ['error']],
  ['an invocation that Lambda turned away', { status: '503', [message]: 'Rate exceeded', [fromLambda]: '429' }, ['error']],
  ['a Lambda that does not answer', { status: '504', [message]: 'timed out' }, ['error']],
] as const) {
  test(`of the access log this counts as ${counted.length === 0 ? 'nothing' : counted.join()}: ${what}`, () => {
    const line = logLine({ apiId: 'a1b2c3d4e5', requestId: 'r', ...variables });
    const found = [...(takes(throttled, line) ? ['throttled'] : []), ...(takes(errors, line) ? ['error'] : [])];
    assert.deepEqual(found, counted);
  });
}

test("the alarms watch what the filters count, of this API alone, and the filters read this API's log", () => {
  for (const [metric, name] of [
    ['ApiThrottled', 'turned requests away (429)'],
    ['ApiErrors', 'did not get through'],
  ] as const) {
    const { LogGroupName, MetricTransformations } = filter(metric);
    assert.deepEqual(MetricTransformations, [
      { MetricName: metric, MetricNamespace: 'SlackIngress', MetricValue: '1', Dimensions: [{ Key: 'ApiId', Value: '$.apiId' }] },
    ]);
    assert.deepEqual({ 'Fn::GetAtt': [LogGroupName.Ref, 'Arn'] }, stage.AccessLogSettings.DestinationArn);
    const { MetricName, Namespace, Statistic, Dimensions } = alarm(template, name);
    assert.deepEqual(
      { MetricName, Namespace, Statistic, Dimensions },
      { MetricName: metric, Namespace: 'SlackIngress', Statistic: 'Sum', Dimensions: [{ Name: 'ApiId', Value: { Ref: api } }] },
    );
  }
});

test('one throttled request raises its alarm, and errors do so in two periods of three', () => {
  const of = ({ Threshold, DatapointsToAlarm, EvaluationPeriods }: Resource['Properties']) => [Threshold, DatapointsToAlarm, EvaluationPeriods];
  assert.deepEqual(of(alarm(template, 'turned requests away (429)')), [0, 1, 1]);
  assert.deepEqual(of(alarm(template, 'did not get through')), [0, 2, 3]);
});

test('requests, 4xx, 5xx and 429 of the API are drawn, and 4xx raise no alarm', () => {
  const body = dashboard(template);
  for (const name of ['Count', '4xx', '5xx', 'Latency', 'IntegrationLatency']) assert.ok(body.includes(`"AWS/ApiGateway\\",\\"${name}\\"`), name);
  for (const name of ['ApiThrottled', 'ApiErrors']) assert.ok(body.includes(`"SlackIngress\\",\\"${name}\\",\\"ApiId\\"`), name);
  assert.doesNotMatch(JSON.stringify(template.findResources('AWS::CloudWatch::Alarm')), /4xx/);
});

test('metrics of each route are not paid for, as nothing looks at them', () => {
  assert.equal(stage.DefaultRouteSettings.DetailedMetricsEnabled, false);
});

test("of a Function URL's 5xx those count that are neither answered by the function nor of an invocation that failed", () => {
  const url = synthesized({ frontDoor: 'function-url' });
  url.resourceCountIs('AWS::Logs::MetricFilter', 0);
  const { Metrics } = alarm(url, 'did not get through');
  const [{ Expression }, ...rest] = Metrics;
  assert.equal(Expression, 'FILL(answered, 0) - FILL(unavailable, 0) - FILL(inflight, 0) - FILL(errors, 0)');
  const used = rest.map(({ Id, MetricStat: { Metric, Stat } }: any) => [Id, Metric.Namespace, Metric.MetricName, Stat]);
  assert.deepEqual(used, [
    ['answered', 'AWS/Lambda', 'Url5xxCount', 'Sum'],
    ['unavailable', 'SlackIngress', 'Unavailable', 'Sum'],
    ['inflight', 'SlackIngress', 'InFlight', 'Sum'],
    ['errors', 'AWS/Lambda', 'Errors', 'Sum'],
  ]);
  const { id } = ingressIn(url);
  for (const { MetricStat } of rest) assert.deepEqual(MetricStat.Metric.Dimensions, [{ Name: 'FunctionName', Value: { Ref: id } }]);
  const body = dashboard(url);
  for (const name of ['UrlRequestCount', 'Url4xxCount', 'Url5xxCount', 'UrlRequestLatency']) assert.ok(body.includes(`"AWS/Lambda\\",\\"${name}\\"`), name);
});
