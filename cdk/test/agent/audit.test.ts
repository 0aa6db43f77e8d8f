// The audit trail: its table, who may do what with it, and its exports.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as kms from 'aws-cdk-lib/aws-kms';
import { AUDIT_DAYS, BY_PERSON } from '../../lib/agent/audit';
import type { AuditTrail } from '../../lib/agent/props';
import { REPOSITORY, agentStacks, agentTemplate, newApp, only, roleOf, rustSource, settleIn } from '../support';

const audited = (audit: AuditTrail = {}) => agentTemplate({ audit }).template;

test('without the setting there is no table, no bucket, no schedule, and agent-settle is told nothing', () => {
  const { template } = agentTemplate();
  for (const type of ['AWS::DynamoDB::Table', 'AWS::S3::Bucket', 'AWS::Scheduler::Schedule']) template.resourceCountIs(type, 0);
  assert.doesNotMatch(JSON.stringify(settleIn(template).Properties), /AUDIT/);
  assert.doesNotMatch(JSON.stringify(template.findOutputs('*')), /Audit/);
});

test('the table ends its entries, can be restored, stays, and finds a person', () => {
  const { DeletionPolicy, UpdateReplacePolicy, Properties } = only(audited(), 'AWS::DynamoDB::Table');
  assert.deepEqual([DeletionPolicy, UpdateReplacePolicy], ['RetainExceptOnCreate', 'Retain']);
  assert.deepEqual(Properties.KeySchema, [
    { AttributeName: 'question_id', KeyType: 'HASH' },
    { AttributeName: 'act', KeyType: 'RANGE' },
  ]);
  assert.deepEqual(Properties.TimeToLiveSpecification, { AttributeName: 'expires_at', Enabled: true });
  assert.deepEqual(Properties.PointInTimeRecoverySpecification, { PointInTimeRecoveryEnabled: true });
  // CloudFormation could not delete it again when the deployment that creates it fails, nor could whoever has removed the stack.
  assert.equal(Properties.DeletionProtectionEnabled, undefined);
  const [index, ...more] = Properties.GlobalSecondaryIndexes;
  assert.equal(more.length, 0);
  assert.deepEqual([index.IndexName, index.Projection], [BY_PERSON, { ProjectionType: 'KEYS_ONLY' }]);
  assert.deepEqual(index.KeySchema, [
    { AttributeName: 'person', KeyType: 'HASH' },
    { AttributeName: 'at', KeyType: 'RANGE' },
  ]);
  const { template } = agentTemplate({ audit: {}, removalPolicy: RemovalPolicy.DESTROY });
  assert.equal(only(template, 'AWS::DynamoDB::Table').DeletionPolicy, 'Delete');
});

test('agent-settle may add entries, and neither read nor change nor delete any; nobody else may do anything with them', () => {
  const template = audited();
  const table = only(template, 'AWS::DynamoDB::Table');
  const of = (it: unknown) => JSON.stringify(it).includes(table.id);
  const { statements } = roleOf(template, settleIn(template));
  assert.deepEqual(statements.filter(of), [
    { Effect: 'Allow', Action: 'dynamodb:PutItem', Resource: { 'Fn::GetAtt': [table.id, 'Arn'] } },
  ]);
  assert.equal(Object.values(template.findResources('AWS::IAM::Policy')).filter(of).length, 1);
});

test('agent-settle is told what is kept, and for how long, and reads each of the variables', () => {
  const variables = (audit: AuditTrail) => {
    const { Variables } = settleIn(audited(audit)).Properties.Environment;
    return Object.fromEntries(Object.entries<unknown>(Variables).filter(([name]) => name.startsWith('AUDIT_')));
  };
  const AUDIT_TABLE = { Ref: only(audited(), 'AWS::DynamoDB::Table').id };
  assert.deepEqual(variables({}), { AUDIT_TABLE, AUDIT_TEXTS: 'on' });
  const all = variables({ days: 30, redact: ['email', 'trello___create_card.desc', '*'], texts: false });
  assert.deepEqual(all, { AUDIT_TABLE, AUDIT_DAYS: '30', AUDIT_REDACT: 'email,trello___create_card.desc,*', AUDIT_TEXTS: 'off' });
  const source = rustSource('src/config');
  for (const name of Object.keys(all)) assert.ok(source.includes(`"${name}"`), `nothing in src/config reads ${name}`);
  assert.equal(AUDIT_DAYS.most, Number(source.match(/MOST_AUDIT_DAYS: u64 = (\d+)/)?.[1]));
  assert.match(source, /DEFAULT_AUDIT_DAYS: u64 = 365/);
  assert.ok(rustSource('slack-dev/src').includes(`"${BY_PERSON}"`));
});

test('what agent-settle would refuse is refused here', () => {
  for (const redact of ['a b', 'a,b', 'mail*', '.name', 'tool.', '"a"', 't*.a']) {
    assert.throws(() => audited({ redact: [redact] }), /redact must be names of arguments/, redact);
  }
  // agent-settle would not start.
  assert.throws(() => audited({ redact: ['email', 'Email'] }), /redact must name each argument once, whatever its case, and has twice: email/);
  const many = Array.from({ length: 201 }, (_, n) => `a${n}`);
  assert.throws(() => audited({ redact: many }), /redact must have at most 200 rules, and has 201/);
  for (const days of [0, 1.5, 3654]) {
    assert.throws(() => audited({ days }), /AgentAudit: days must be/);
    assert.throws(() => audited({ exportDays: days }), /AgentAudit: exportDays must be/);
  }
});

test('the exports go to a bucket that nobody else reads, and end', () => {
  const template = audited({ exportDays: 30 });
  const { id, DeletionPolicy, UpdateReplacePolicy, Properties } = only(template, 'AWS::S3::Bucket');
  assert.deepEqual([DeletionPolicy, UpdateReplacePolicy], ['RetainExceptOnCreate', 'Retain']);
  assert.deepEqual(Properties, {
    BucketEncryption: { ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }] },
    LifecycleConfiguration: {
      Rules: [{ AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 }, ExpirationInDays: 30, Status: 'Enabled' }],
    },
    OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
    PublicAccessBlockConfiguration: {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    },
  });
  const { PolicyDocument } = only(template, 'AWS::S3::BucketPolicy').Properties;
  assert.deepEqual(
    PolicyDocument.Statement.map((it: any) => [it.Effect, it.Action, it.Condition]),
    [['Deny', 's3:*', { Bool: { 'aws:SecureTransport': 'false' } }]],
  );
  assert.deepEqual(template.findOutputs('AuditExportsBucketName').AuditExportsBucketName!.Value, { Ref: id });
});

test('DynamoDB itself exports the whole table every day, by a role that may do nothing else', () => {
  const template = audited({ exportDays: 30 });
  const table = only(template, 'AWS::DynamoDB::Table');
  const bucket = only(template, 'AWS::S3::Bucket');
  const { ScheduleExpression, Target, GroupName } = only(template, 'AWS::Scheduler::Schedule').Properties;
  const group = only(template, 'AWS::Scheduler::ScheduleGroup');
  assert.deepEqual([GroupName, group.DeletionPolicy], [group.Properties.Name, 'Delete']);
  assert.equal(ScheduleExpression, 'cron(0 2 * * ? *)');
  assert.deepEqual(Target.Arn, {
    'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, ':scheduler:::aws-sdk:dynamodb:exportTableToPointInTime']],
  });
  const input = (Target.Input['Fn::Join'][1] as unknown[]).map((it) => (typeof it === 'string' ? it : JSON.stringify(Object.values(it as object)[0]).replace(/"/g, "'")));
  assert.deepEqual(JSON.parse(input.join('')), {
    TableArn: `['${table.id}','Arn']`,
    S3Bucket: `'${bucket.id}'`,
    S3Prefix: 'audit',
    S3SseAlgorithm: 'AES256',
    ExportFormat: 'DYNAMODB_JSON',
    ClientToken: '<aws.scheduler.execution-id>',
  });
  const role = Target.RoleArn['Fn::GetAtt'][0];
  const [{ Condition, Principal }] = template.findResources('AWS::IAM::Role')[role]!.Properties.AssumeRolePolicyDocument.Statement;
  assert.deepEqual(Principal, { Service: 'scheduler.amazonaws.com' });
  assert.deepEqual(Condition, {
    StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' }, 'aws:SourceArn': { 'Fn::GetAtt': [group.id, 'Arn'] } },
  });
  const policies = Object.values(template.findResources('AWS::IAM::Policy')).map((it) => it.Properties);
  const statements = policies.filter((it) => it.Roles[0].Ref === role).flatMap((it) => it.PolicyDocument.Statement);
  assert.deepEqual(statements, [
    { Effect: 'Allow', Action: 'dynamodb:ExportTableToPointInTime', Resource: { 'Fn::GetAtt': [table.id, 'Arn'] } },
    {
      Effect: 'Allow',
      Action: ['s3:AbortMultipartUpload', 's3:PutObject', 's3:PutObjectAcl'],
      Resource: { 'Fn::Join': ['', [{ 'Fn::GetAtt': [bucket.id, 'Arn'] }, '/audit/*']] },
    },
  ]);
});

test('docs/operate.md says how what stays of an agent is deleted', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8');
  const [later = ''] = /^- \*\*Deleting it later\*\*[^]*?^```$/m.exec(guide) ?? [];
  for (const [command, output] of [
    ['aws dynamodb delete-table', 'AuditTableName'],
    ['aws s3 rb --force', 'AuditExportsBucketName'],
    ['aws bedrock-agentcore-control delete-memory', 'MemoryId'],
  ] as const) {
    assert.match(later, new RegExp(`\`${command}\`\\s+\\([^)]*\`${output}\`\\)`));
  }
});

test('a key of your own encrypts table and exports, and the roles may use it through these services alone', () => {
  assert.doesNotMatch(JSON.stringify(audited({ exportDays: 7 }).toJSON()), /kms/i);
  const arn = 'arn:aws:kms:us-east-1:111122223333:key/data';
  const own = agentStacksWithKey(arn);
  const { SSESpecification } = only(own, 'AWS::DynamoDB::Table').Properties;
  assert.deepEqual(SSESpecification, { KMSMasterKeyId: arn, SSEEnabled: true, SSEType: 'KMS' });
  const { BucketEncryption } = only(own, 'AWS::S3::Bucket').Properties;
  assert.equal(BucketEncryption.ServerSideEncryptionConfiguration[0].ServerSideEncryptionByDefault.KMSMasterKeyID, arn);
  const { Input, RoleArn } = only(own, 'AWS::Scheduler::Schedule').Properties.Target;
  assert.match(JSON.stringify(Input), /S3SseAlgorithm\\":\\"KMS\\",\\"S3SseKmsKeyId\\":\\"arn:aws:kms:/);
  const policies = Object.values(own.findResources('AWS::IAM::Policy')).map((it) => it.Properties);
  const statements = policies.filter((it) => it.Roles[0].Ref === RoleArn['Fn::GetAtt'][0]).flatMap((it) => it.PolicyDocument.Statement);
  const ofKey = statements.filter((it) => it.Resource === arn).map((it) => [it.Action, it.Condition.StringEquals['kms:ViaService']['Fn::Join'][1][0]]);
  assert.deepEqual(ofKey, [
    ['kms:Decrypt', 'dynamodb.'],
    [['kms:Decrypt', 'kms:GenerateDataKey'], 's3.'],
  ]);
});

/** Returns the template of an agent with a trail and exports, whose ingress is encrypted with the key of this ARN. */
function agentStacksWithKey(arn: string): Template {
  const encryptionKey = kms.Key.fromKeyArn(new Stack(newApp(), 'Keys'), 'Key', arn);
  return Template.fromStack(agentStacks({ audit: { exportDays: 7 } }, { encryptionKey }).stack);
}
