// template.yaml (SAM) and the CDK describe the same ingress.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { ingressProps } from '../../lib/settings/ingress';
import { type RawTemplate, canonical } from './canonical';
import { REPOSITORY, codeDirectory, newApp } from '../support';

/** Reads template.yaml with the CDK, which understands the short forms (`!Ref` …). */
function sam(): RawTemplate {
  const stack = new Stack(newApp(), 'Stack');
  new CfnInclude(stack, 'Template', { templateFile: join(REPOSITORY, 'template.yaml') });
  return stack.resolve((stack as any)._toCloudFormation());
}

const codePath = codeDirectory();

function cdk(context: Record<string, string>): RawTemplate {
  const stack = new SlackIngressStack(newApp({ codePath, redriveCodePath: codePath, ...context }), 'Stack', { ingress: ingressProps });
  return Template.fromStack(stack).toJSON() as RawTemplate;
}

const secret = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
const topic = 'arn:aws:sns:us-east-1:111122223333:alarms';

for (const [name, parameters, context] of [
  ['with the default settings', {}, {}],
  [
    'with every setting changed',
    {
      Architecture: 'x86_64',
      QueueType: 'standard',
      VisibilitySeconds: '7200',
      MaxMessageAgeSeconds: '10800',
      SigningSecretArn: secret,
      DedupTtlSeconds: '90000',
      DedupKey: 'message',
      BotEvents: 'own',
      DmConversation: 'thread',
      ControlEvents: 'agent_session_stopped,message_deleted',
      WarmWriteUnits: '100000',
      Tracing: 'off',
      AlarmTopicArn: topic,
    },
    {
      architecture: 'x86_64',
      queueType: 'standard',
      visibilityMinutes: '120',
      maxMessageAgeMinutes: '180',
      signingSecretArn: secret,
      dedupTtlSeconds: '90000',
      dedupKey: 'message',
      botEvents: 'own',
      dmConversation: 'thread',
      controlEvents: 'agent_session_stopped,message_deleted',
      warmWriteUnits: '100000',
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
    assert.deepEqual(Object.keys(theirs.resources).sort(), Object.keys(ours.resources).sort());
    for (const [name, resource] of Object.entries(ours.resources)) {
      assert.deepEqual(theirs.resources[name], resource, name);
    }
    assert.deepEqual(theirs.outputs, ours.outputs);
  });
}
