// The exact rights of the ingress's functions, and who may invoke them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { PATHS } from '../../lib/ingress/http-api';
import { ingressIn, isQueue, only, redriveIn, roleOf, synthesized } from '../support';

const template = synthesized();
const arn = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });

const table = only(template, 'AWS::DynamoDB::Table').id;
const queue = only(template, 'AWS::SQS::Queue', isQueue).id;
const secret = only(template, 'AWS::SecretsManager::Secret').id;
const fn = ingressIn(template);
const redrive = redriveIn(template);
const log = (it: typeof fn) => it.Properties.LoggingConfig.LogGroup.Ref as string;

const allow = (Action: string | string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource });

test('the ingress may call exactly what it calls, on its own resources only', () => {
  assert.deepEqual(roleOf(template, fn).statements, [
    allow(['dynamodb:DeleteItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem'], arn(table)),
    allow(['sqs:GetQueueAttributes', 'sqs:SendMessage'], arn(queue)),
    allow('secretsmanager:GetSecretValue', { Ref: secret }),
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], arn(log(fn))),
    // X-Ray's actions cannot be limited to resources.
    allow(['xray:PutTelemetryRecords', 'xray:PutTraceSegments'], '*'),
  ]);
});

test('the redrive function may find, update and send parked events, and nothing else', () => {
  assert.deepEqual(roleOf(template, redrive).statements, [
    allow('dynamodb:Query', { 'Fn::Join': ['', [arn(table), '/index/parked']] }),
    allow('dynamodb:UpdateItem', arn(table)),
    allow('sqs:SendMessage', arn(queue)),
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], arn(log(redrive))),
    // X-Ray's actions cannot be limited to resources.
    allow(['xray:PutTelemetryRecords', 'xray:PutTraceSegments'], '*'),
  ]);
});

test('each function has its own role, with one policy and no other, inline, managed or attached', () => {
  const roles = [fn, redrive].map((it) => roleOf(template, it));
  assert.notEqual(roles[0]!.id, roles[1]!.id);
  for (const { id, role, policy } of roles) {
    assert.deepEqual(Object.keys(role.Properties).sort(), ['AssumeRolePolicyDocument', 'Description']);
    assert.deepEqual(policy.Properties.Roles, [{ Ref: id }]);
  }
  template.resourceCountIs('AWS::IAM::Role', 2);
  template.resourceCountIs('AWS::IAM::Policy', 2);
  template.resourceCountIs('AWS::IAM::ManagedPolicy', 0);
});

test('only Lambda may assume their roles', () => {
  for (const it of [fn, redrive]) {
    assert.deepEqual(roleOf(template, it).role.Properties.AssumeRolePolicyDocument.Statement, [
      { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } },
    ]);
  }
});

const permissionsOf = (it: typeof fn, from = template) =>
  Object.values(from.findResources('AWS::Lambda::Permission'))
    .map((permission) => permission.Properties)
    .filter((permission) => permission.FunctionName['Fn::GetAtt'][0] === it.id);

test('only the schedule may invoke the redrive function', () => {
  assert.deepEqual(permissionsOf(redrive), [
    {
      Action: 'lambda:InvokeFunction',
      FunctionName: arn(redrive.id),
      Principal: 'events.amazonaws.com',
      SourceArn: arn(only(template, 'AWS::Events::Rule').id),
    },
  ]);
  const others = Object.values(template.findResources('AWS::Lambda::Permission')).length - permissionsOf(redrive).length;
  assert.equal(others, PATHS.length);
});

test('only API Gateway may invoke the ingress, for the three routes of this API', () => {
  const api = only(template, 'AWS::ApiGatewayV2::Api').id;
  const permissions = permissionsOf(fn);
  assert.deepEqual(
    permissions,
    PATHS.map((path) => ({
      Action: 'lambda:InvokeFunction',
      FunctionName: arn(fn.id),
      Principal: 'apigateway.amazonaws.com',
      SourceArn: {
        'Fn::Join': [
          '',
          [
            'arn:',
            { Ref: 'AWS::Partition' },
            ':execute-api:',
            { Ref: 'AWS::Region' },
            ':',
            { Ref: 'AWS::AccountId' },
            ':',
            { Ref: api },
            `/*/*${path}`,
          ],
        ],
      },
    })),
  );
});

test('the queues are closed to plain HTTP, and their policies allow nobody anything', () => {
  const policies = Object.values(template.findResources('AWS::SQS::QueuePolicy'));
  assert.equal(policies.length, 2);
  for (const policy of policies) {
    const [statement, ...others] = policy.Properties.PolicyDocument.Statement;
    assert.deepEqual(others, []);
    assert.equal(statement.Effect, 'Deny');
    assert.deepEqual(statement.Condition, { Bool: { 'aws:SecureTransport': 'false' } });
  }
});

test('a secret that was imported by its whole ARN is granted by that ARN', () => {
  const whole = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
  const template = synthesized((scope) => ({
    signingSecret: secretsmanager.Secret.fromSecretCompleteArn(scope, 'Secret', whole),
  }));
  template.resourceCountIs('AWS::SecretsManager::Secret', 0);
  const statements = roleOf(template, ingressIn(template)).statements;
  assert.deepEqual(statements[2], allow('secretsmanager:GetSecretValue', whole));
  assert.equal(ingressIn(template).Properties.Environment.Variables.SLACK_SIGNING_SECRET_ARN, whole);
});

test("a secret that was imported by its name is granted with six wildcards for the end of its ARN", () => {
  const template = synthesized((scope) => ({
    signingSecret: secretsmanager.Secret.fromSecretNameV2(scope, 'Secret', 'slack'),
  }));
  const statement = roleOf(template, ingressIn(template)).statements[2];
  assert.equal(statement.Action, 'secretsmanager:GetSecretValue');
  assert.equal(statement.Resource['Fn::Join'][1].at(-1), ':secret:slack-??????');
});

test("the secret's KMS key may be used to decrypt, through Secrets Manager only", () => {
  const template = synthesized((scope) => ({
    signingSecret: new secretsmanager.Secret(scope, 'Secret', { encryptionKey: new kms.Key(scope, 'Key') }),
  }));
  const statements = roleOf(template, ingressIn(template)).statements;
  assert.deepEqual(statements.filter((it: { Action: unknown }) => it.Action === 'kms:Decrypt'), [
    {
      ...allow('kms:Decrypt', arn(only(template, 'AWS::KMS::Key').id)),
      Condition: {
        StringEquals: {
          'kms:ViaService': { 'Fn::Join': ['', ['secretsmanager.', { Ref: 'AWS::Region' }, '.amazonaws.com']] },
        },
      },
    },
  ]);
});

test('a topic for the alarms gives the functions no further right', () => {
  const template = synthesized((scope) => ({ alarmTopic: new sns.Topic(scope, 'Topic') }));
  for (const it of [ingressIn(template), redriveIn(template)]) assert.equal(roleOf(template, it).statements.length, 5);
});

test('with a topic, both functions may publish to it and neither may send to a queue', () => {
  const topic = 'arn:aws:sns:us-east-1:111122223333:events.fifo';
  const template = synthesized((scope) => ({ topic: sns.Topic.fromTopicArn(scope, 'Topic', topic) }));
  const ingress = roleOf(template, ingressIn(template)).statements[1];
  assert.deepEqual(ingress, allow(['sns:GetTopicAttributes', 'sns:Publish'], topic));
  assert.deepEqual(roleOf(template, redriveIn(template)).statements[2], allow('sns:Publish', topic));
  assert.equal(redriveIn(template).Properties.Environment.Variables.EVENT_SINK, topic);
});

test('with a Function URL, only callers of that URL may invoke the ingress', () => {
  const template = synthesized({ frontDoor: 'function-url' });
  const permissions = permissionsOf(ingressIn(template), template);
  assert.deepEqual(permissions.map(({ Action, Principal, FunctionUrlAuthType, InvokedViaFunctionUrl }) => ({
    Action, Principal, FunctionUrlAuthType, InvokedViaFunctionUrl,
  })), [
    { Action: 'lambda:InvokeFunctionUrl', Principal: '*', FunctionUrlAuthType: 'NONE', InvokedViaFunctionUrl: undefined },
    { Action: 'lambda:InvokeFunction', Principal: '*', FunctionUrlAuthType: undefined, InvokedViaFunctionUrl: true },
  ]);
});
