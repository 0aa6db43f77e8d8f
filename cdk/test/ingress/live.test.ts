// Versions of the ingress, the alias that requests go to, and how CodeDeploy moves it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { PATHS } from '../../lib/ingress/http-api';
import { GRADUAL } from '../../lib/ingress/live';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { ingressProps } from '../../lib/settings/ingress';
import { REPOSITORY, type Resource, codeDirectory, ingressIn, newApp, only, synthesized } from '../support';

const path = codeDirectory();
const CODE = { codePath: path, redriveCodePath: path };

/** Returns the template that the settings describe. */
function deployed(context: Record<string, string>): Template {
  return Template.fromStack(new SlackIngressStack(newApp({ ...CODE, ...context }), 'Stack', { ingress: ingressProps }));
}

const ALIAS = 'AWS::Lambda::Alias';
const all = (template: Template, type: string) => Object.values(template.findResources(type) as Record<string, Resource & Record<string, any>>);

test('by default there is no version, no alias and nothing of CodeDeploy', () => {
  const none = deployed({});
  assert.doesNotMatch(JSON.stringify(none.toJSON()), /AWS::Lambda::(Version|Alias)|CodeDeploy/);
  assert.deepEqual(deployed({ gradualDeployment: 'none' }).toJSON(), none.toJSON());
});

test('with all-at-once requests go to the alias, and to nothing else; CloudFormation moves it, and the version before stays', () => {
  const template = deployed({ gradualDeployment: 'all-at-once' });
  const [alias, version, fn] = [only(template, ALIAS), only(template, 'AWS::Lambda::Version'), ingressIn(template)];
  assert.deepEqual(version.Properties.FunctionName, { Ref: fn.id });
  assert.deepEqual([version.DeletionPolicy, version.UpdateReplacePolicy], ['RetainExceptOnCreate', 'Retain']);
  assert.deepEqual(alias.Properties, {
    Name: 'live',
    Description: alias.Properties.Description,
    FunctionName: { Ref: fn.id },
    FunctionVersion: { 'Fn::GetAtt': [version.id, 'Version'] },
  });
  assert.ok(!('UpdatePolicy' in alias));
  assert.doesNotMatch(JSON.stringify(template.toJSON()), /CodeDeploy/);
  const { IntegrationUri } = only(template, 'AWS::ApiGatewayV2::Integration').Properties;
  assert.deepEqual(IntegrationUri, { Ref: alias.id });
  const permissions = all(template, 'AWS::Lambda::Permission').filter((it) => it.Properties.Principal === 'apigateway.amazonaws.com');
  assert.deepEqual(permissions.map((it) => it.Properties.FunctionName), PATHS.map(() => ({ Ref: alias.id })));
});

test('a Function URL is that of the alias, and so are its permissions', () => {
  const template = deployed({ gradualDeployment: 'all-at-once', frontDoor: 'function-url' });
  const alias = only(template, ALIAS);
  const { Qualifier, TargetFunctionArn } = only(template, 'AWS::Lambda::Url').Properties;
  assert.equal(Qualifier, 'live');
  assert.deepEqual(TargetFunctionArn, { 'Fn::GetAtt': [ingressIn(template).id, 'Arn'] });
  const permissions = all(template, 'AWS::Lambda::Permission').filter((it) => it.Properties.Principal === '*');
  assert.deepEqual(permissions.map((it) => it.Properties.FunctionName), [{ Ref: alias.id }, { Ref: alias.id }]);
});

test('a change of the code or of a variable makes a new version, and a change of an alarm none', () => {
  const version = (context: Record<string, string>) => only(deployed({ gradualDeployment: 'all-at-once', ...context }), 'AWS::Lambda::Version').id;
  const before = version({});
  const other = codeDirectory('arm64', ['sns', 'redis']);
  assert.notEqual(version({ codePath: other, redriveCodePath: other }), before);
  assert.notEqual(version({ logLevel: 'debug' }), before);
  assert.equal(version({ maxMessageAgeMinutes: '5' }), before);
});

test('a queue of another type makes a new version, although the variables refer to it by the same words', () => {
  const of = (queueType: string) => {
    const template = deployed({ gradualDeployment: 'all-at-once', queueType });
    return { version: only(template, 'AWS::Lambda::Version').id, sink: ingressIn(template).Properties.Environment.Variables.EVENT_SINK };
  };
  const [fifo, standard] = [of('fifo'), of('standard')];
  assert.deepEqual(fifo.sink, standard.sink);
  assert.notEqual(fifo.version, standard.version);
});

for (const way of GRADUAL.filter((it) => it !== 'none' && it !== 'all-at-once')) {
  test(`CodeDeploy moves the alias by ${way}`, () => {
    const template = deployed({ gradualDeployment: way });
    const group = only(template, 'AWS::CodeDeploy::DeploymentGroup');
    const config = `CodeDeployDefault.Lambda${way}`.toLowerCase();
    assert.equal(group.Properties.DeploymentConfigName.toLowerCase(), config);
    const alias = all(template, ALIAS)[0]!;
    assert.deepEqual(alias.UpdatePolicy, {
      CodeDeployLambdaAliasUpdate: {
        ApplicationName: { Ref: only(template, 'AWS::CodeDeploy::Application').id },
        DeploymentGroupName: { Ref: group.id },
      },
    });
  });
}

test('it goes back when the new version fails, or an alarm is raised that a new version can be the cause of', () => {
  const template = deployed({ gradualDeployment: 'canary10percent10minutes' });
  const { AlarmConfiguration, AutoRollbackConfiguration } = only(template, 'AWS::CodeDeploy::DeploymentGroup').Properties;
  assert.equal(AlarmConfiguration.Enabled, true);
  assert.deepEqual(AutoRollbackConfiguration, { Enabled: true, Events: ['DEPLOYMENT_FAILURE', 'DEPLOYMENT_STOP_ON_ALARM'] });
  const ids = AlarmConfiguration.Alarms.map((it: { Name: { Ref: string } }) => it.Name.Ref as string);
  const known = Object.keys(deployed({}).findResources('AWS::CloudWatch::Alarm'));
  const shared = ids.filter((id: string) => known.includes(id)).map((id: string) => /IngressAlarms(\w+)[0-9A-F]{8}$/.exec(id)![1]!);
  assert.deepEqual(shared.sort(), ['Failures', 'Lost', 'Malformed', 'SlowAnswers']);
  const [own, ...others] = ids.filter((id: string) => !known.includes(id));
  assert.deepEqual(others, []);
  const alarm = (template.findResources('AWS::CloudWatch::Alarm') as Record<string, Resource>)[own]!.Properties;
  const fn = { Ref: ingressIn(template).id };
  assert.deepEqual(alarm.Dimensions, [
    { Name: 'ExecutedVersion', Value: { 'Fn::GetAtt': [only(template, 'AWS::Lambda::Version').id, 'Version'] } },
    { Name: 'FunctionName', Value: fn },
    { Name: 'Resource', Value: { 'Fn::Join': ['', [fn, ':live']] } },
  ]);
  assert.deepEqual([alarm.MetricName, alarm.Period, alarm.Threshold, alarm.EvaluationPeriods], ['Errors', 60, 0, 1]);
  // It looks at the new version before the first request gets there.
  assert.ok(all(template, ALIAS)[0]!.DependsOn.includes(own));
});

test('the alarms and the dashboard look at all versions together, whatever is set', () => {
  const look = (template: Template) =>
    Object.fromEntries(Object.entries(template.findResources('AWS::CloudWatch::Alarm')).map(([id, it]) => [id, it.Properties]));
  const gradual = look(deployed({ gradualDeployment: 'linear10percentevery1minute' }));
  for (const [id, alarm] of Object.entries(look(deployed({})))) assert.deepEqual(gradual[id], alarm, id);
});

test('the alarm has its section, and the setting its values in docs/deploy.md', () => {
  assert.ok(/^### NewVersionErrors$/m.test(readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8')));
  const docs = readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8');
  for (const value of GRADUAL) assert.ok(docs.includes(`\`${value}\``), value);
});

test('only CodeDeploy may assume the role that moves the alias', () => {
  const template = deployed({ gradualDeployment: 'canary10percent5minutes' });
  const role = only(template, 'AWS::IAM::Role', (it) => JSON.stringify(it.Properties).includes('codedeploy'));
  assert.deepEqual(role.Properties.AssumeRolePolicyDocument.Statement, [
    { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'codedeploy.amazonaws.com' } },
  ]);
});

test('another value is refused, from a setting and from a prop', () => {
  assert.throws(() => deployed({ gradualDeployment: 'canary' }), /gradualDeployment must be one of none, all-at-once, canary10percent5minutes/);
  assert.throws(() => synthesized({ gradualDeployment: 'canary' as 'none' }), /gradualDeployment must be one of/);
});
