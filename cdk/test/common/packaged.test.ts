// The functions that come with the package. That they do, and are the right ones, is shown by test/package.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sns from 'aws-cdk-lib/aws-sns';
import { SlackIngress } from '../../lib/ingress/slack-ingress';
import { agentStacks, codeOf, newApp } from '../support';

const stack = () => new Stack(newApp(), 'Stack');

test('in the repository no function comes with the package, and what is missing is named', () => {
  assert.throws(() => new SlackIngress(stack(), 'Ingress'), /no slack-ingress for arm64 comes with this package .*functions\/arm64\/slack-ingress\.zip/);
  const architecture = lambda.Architecture.X86_64;
  assert.throws(() => new SlackIngress(stack(), 'Ingress', { architecture }), /no slack-ingress for x86_64 .*functions\/x86_64\/slack-ingress\.zip/);
  const scope = stack();
  const topic = sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:events');
  assert.throws(() => new SlackIngress(scope, 'Ingress', { topic }), /no slack-ingress for arm64 with sns .*slack-ingress-sns\.zip/);
});

test('the code of all functions is given, or of none: two versions must not use one table', () => {
  assert.throws(() => new SlackIngress(stack(), 'Ingress', { code: codeOf() }), /code and redriveCode must be given together/);
  assert.throws(() => new SlackIngress(stack(), 'Ingress', { redriveCode: codeOf() }), /must be given together/);
  assert.throws(() => agentStacks({ dispatchCode: undefined }), /the code of all functions must be given, or of none/);
  assert.throws(() => agentStacks({ settleCode: undefined }), /the code of all functions must be given, or of none/);
  assert.throws(() => agentStacks({ rotatingTokens: true }), /the code of all functions must be given, or of none/);
  assert.throws(() => agentStacks({ dispatchCode: undefined, settleCode: undefined }), /no agent-settle for arm64 comes with this package/);
});
