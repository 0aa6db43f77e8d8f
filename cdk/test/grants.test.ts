import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { PATHS } from '../lib/http-api.ts';
import { isQueue, only, synthesized } from './support.ts';

const template = synthesized();
const arn = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });

const table = only(template, 'AWS::DynamoDB::Table').id;
const queue = only(template, 'AWS::SQS::Queue', isQueue).id;
const secret = only(template, 'AWS::SecretsManager::Secret').id;
const fn = only(template, 'AWS::Lambda::Function');
const log = fn.Properties.LoggingConfig.LogGroup.Ref as string;

const allow = (Action: string | string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource });

test('the function may do what it calls, on what is its own, and nothing more', () => {
  assert.deepEqual(only(template, 'AWS::IAM::Policy').Properties.PolicyDocument.Statement, [
    allow(['dynamodb:DeleteItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem'], arn(table)),
    allow('sqs:SendMessage', arn(queue)),
    allow('secretsmanager:GetSecretValue', { Ref: secret }),
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], arn(log)),
    // X-Ray knows no resources.
    allow(['xray:PutTelemetryRecords', 'xray:PutTraceSegments'], '*'),
  ]);
});

test('it has no other policy, inline, managed or attached', () => {
  const role = only(template, 'AWS::IAM::Role');
  assert.deepEqual(Object.keys(role.Properties).sort(), ['AssumeRolePolicyDocument', 'Description']);
  assert.deepEqual(fn.Properties.Role, arn(role.id));
  assert.deepEqual(only(template, 'AWS::IAM::Policy').Properties.Roles, [{ Ref: role.id }]);
  template.resourceCountIs('AWS::IAM::ManagedPolicy', 0);
});

test('only Lambda may take its role', () => {
  assert.deepEqual(only(template, 'AWS::IAM::Role').Properties.AssumeRolePolicyDocument.Statement, [
    { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } },
  ]);
});

test('only API Gateway may invoke it, for the three routes of this API', () => {
  const api = only(template, 'AWS::ApiGatewayV2::Api').id;
  const permissions = Object.values(template.findResources('AWS::Lambda::Permission')).map((it) => it.Properties);
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

test('a secret that is known by its whole ARN is granted by it', () => {
  const whole = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
  const template = synthesized((scope) => ({
    signingSecret: secretsmanager.Secret.fromSecretCompleteArn(scope, 'Secret', whole),
  }));
  template.resourceCountIs('AWS::SecretsManager::Secret', 0);
  const statements = only(template, 'AWS::IAM::Policy').Properties.PolicyDocument.Statement;
  assert.deepEqual(statements[2], allow('secretsmanager:GetSecretValue', whole));
  assert.equal(only(template, 'AWS::Lambda::Function').Properties.Environment.Variables.SLACK_SIGNING_SECRET_ARN, whole);
});

test("a secret that is known by its name is granted with room for the ARN's last six characters, and no more", () => {
  const template = synthesized((scope) => ({
    signingSecret: secretsmanager.Secret.fromSecretNameV2(scope, 'Secret', 'slack'),
  }));
  const statement = only(template, 'AWS::IAM::Policy').Properties.PolicyDocument.Statement[2];
  assert.equal(statement.Action, 'secretsmanager:GetSecretValue');
  assert.equal(statement.Resource['Fn::Join'][1].at(-1), ':secret:slack-??????');
});

test("a secret's own key may be used to decrypt, through Secrets Manager only", () => {
  const template = synthesized((scope) => ({
    signingSecret: new secretsmanager.Secret(scope, 'Secret', { encryptionKey: new kms.Key(scope, 'Key') }),
  }));
  const statements = only(template, 'AWS::IAM::Policy').Properties.PolicyDocument.Statement;
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

test('a topic for the alarms gives the function no further right', () => {
  const template = synthesized((scope) => ({ alarmTopic: new sns.Topic(scope, 'Topic') }));
  assert.equal(only(template, 'AWS::IAM::Policy').Properties.PolicyDocument.Statement.length, 5);
});

test('behind a Function URL nobody but callers of that URL may invoke it', () => {
  const template = synthesized({ frontDoor: 'function-url' });
  const permissions = Object.values(template.findResources('AWS::Lambda::Permission')).map((it) => it.Properties);
  assert.deepEqual(permissions.map(({ Action, Principal, FunctionUrlAuthType, InvokedViaFunctionUrl }) => ({
    Action, Principal, FunctionUrlAuthType, InvokedViaFunctionUrl,
  })), [
    { Action: 'lambda:InvokeFunctionUrl', Principal: '*', FunctionUrlAuthType: 'NONE', InvokedViaFunctionUrl: undefined },
    { Action: 'lambda:InvokeFunction', Principal: '*', FunctionUrlAuthType: undefined, InvokedViaFunctionUrl: true },
  ]);
});
