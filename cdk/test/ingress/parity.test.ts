// template.yaml (SAM) and the CDK describe the same ingress.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { ingressProps } from '../../lib/settings/ingress';
import { NEED_AN_AGENT, SETTINGS } from '../../lib/settings/names';
import { type RawTemplate, canonical } from './canonical';
import { REPOSITORY, codeDirectory, newApp } from '../support';

/** Reads template.yaml with the CDK, which understands the short forms (`!Ref` …). */
function sam(): RawTemplate {
  const stack = new Stack(newApp(), 'Stack');
  new CfnInclude(stack, 'Template', { templateFile: join(REPOSITORY, 'template.yaml') });
  return stack.resolve((stack as any)._toCloudFormation());
}

const code = { arm64: codeDirectory('arm64'), x86_64: codeDirectory('x86_64') };

function cdk(context: Record<string, string>): RawTemplate {
  const codePath = code[(context.architecture ?? 'arm64') as keyof typeof code];
  const stack = new SlackIngressStack(newApp({ codePath, redriveCodePath: codePath, ...context }), 'Stack', { ingress: ingressProps });
  return Template.fromStack(stack).toJSON() as RawTemplate;
}

/** The rows of the table in docs/deploy.md: a parameter of SAM, or none, and the CDK's setting. */
const documented = [...readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8').matchAll(/^\| (?:`([A-Z]\w+)`|—) \| `(\w+)` \|/gm)].map(
  ([, parameter, setting]) => ({ parameter, setting: setting! }),
);

test('docs/deploy.md has every parameter beside its setting, and every setting of the ingress that SAM has not', () => {
  const parameters = documented.flatMap((it) => it.parameter ?? []);
  assert.deepEqual(parameters.sort(), Object.keys(sam().Parameters!).sort());
  // The settings that say what an agent is, and that there is one.
  const ofAgent: string[] = ['agent', 'dispatchCodePath', 'settleCodePath', 'rotationCodePath', 'agentCodePath', ...NEED_AN_AGENT];
  assert.deepEqual(documented.map((it) => it.setting).sort(), SETTINGS.filter((it) => !ofAgent.includes(it)).sort());
});

const secret = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
const topic = 'arn:aws:sns:us-east-1:111122223333:alarms';
const [key, secretsKey] = ['data', 'secrets'].map((id) => `arn:aws:kms:us-east-1:111122223333:key/${id}`) as [string, string];

for (const [name, parameters, context] of [
  ['with the default settings', {}, {}],
  ['with a key of your own, also for the secret that is created', { EncryptionKeyArn: key }, { encryptionKeyArn: key }],
  [
    'with every setting changed',
    {
      Architecture: 'x86_64',
      MemorySize: '512',
      ReservedConcurrency: '20',
      ThrottleRate: '50',
      ThrottleBurst: '60',
      QueueType: 'standard',
      RetentionSeconds: '86400',
      MaxReceiveCount: '5',
      VisibilitySeconds: '7200',
      MaxMessageAgeSeconds: '10800',
      SigningSecretArn: secret,
      SecretsKeyArn: secretsKey,
      EncryptionKeyArn: key,
      DedupTtlSeconds: '90000',
      DedupKey: 'message',
      BotEvents: 'own',
      DmConversation: 'thread',
      ControlEvents: 'agent_session_stopped,message_deleted',
      WarmWriteUnits: '100000',
      AckBudgetMs: '2000',
      LogLevel: 'warn,slack_ingress=debug',
      LogRetentionDays: '90',
      Tracing: 'off',
      AlarmTopicArn: topic,
    },
    {
      architecture: 'x86_64',
      memorySize: '512',
      reservedConcurrency: '20',
      throttleRate: '50',
      throttleBurst: '60',
      queueType: 'standard',
      retentionMinutes: '1440',
      maxReceiveCount: '5',
      visibilityMinutes: '120',
      maxMessageAgeMinutes: '180',
      signingSecretArn: secret,
      secretsKeyArn: secretsKey,
      encryptionKeyArn: key,
      dedupTtlSeconds: '90000',
      dedupKey: 'message',
      botEvents: 'own',
      dmConversation: 'thread',
      controlEvents: 'agent_session_stopped,message_deleted',
      warmWriteUnits: '100000',
      ackBudgetMs: '2000',
      logLevel: 'warn,slack_ingress=debug',
      logRetentionDays: '90',
      tracing: 'off',
      alarmTopicArn: topic,
    },
  ],
] as const) {
  test(`CDK and SAM describe the same ingress, ${name}`, () => {
    const ours = canonical(cdk(context));
    // The SAM template has no dashboard.
    delete ours.resources['AWS::CloudWatch::Dashboard'];
    delete ours.outputs.DashboardUrl;
    // The only difference in spelling: a CDK stack knows its own name at synthesis.
    (ours.resources['AWS::ApiGatewayV2::Api'] as any).properties.Name = '<AWS::StackName>';
    const theirs = canonical(sam(), parameters);
    if (Object.keys(parameters).length > 1) {
      const isChanged = ([name, { Default }]: [string, { Default?: unknown }]) =>
        String(Default) !== (parameters as Record<string, string>)[name] && name in parameters;
      assert.deepEqual(Object.entries(sam().Parameters!).filter((it) => !isChanged(it)), []);
      const changed = documented.filter((it) => it.parameter !== undefined).map((it) => it.setting);
      assert.deepEqual(Object.keys(context).sort(), changed.sort());
    }
    assert.deepEqual(Object.keys(theirs.resources).sort(), Object.keys(ours.resources).sort());
    for (const [name, resource] of Object.entries(ours.resources)) {
      assert.deepEqual(theirs.resources[name], resource, name);
    }
    assert.deepEqual(theirs.outputs, ours.outputs);
  });
}
