// What each setting of `cdk -c` does to the agent's stack, which values are refused, and the CDK app itself.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks } from 'cdk-nag';
import { AgentStack } from '../../lib/agent/stack.ts';
import { SlackIngressStack } from '../../lib/ingress/stack.ts';
import { agentProps } from '../../lib/settings/agent.ts';
import { wantsAgent } from '../../lib/settings/context.ts';
import { ingressProps } from '../../lib/settings/ingress.ts';
import {
  CONTEXT,
  REPOSITORY,
  agentDirectory,
  codeDirectory,
  ingressIn,
  isQueue,
  newApp,
  only,
  temporaryDirectory,
  withImports,
} from '../support.ts';

const codePath = codeDirectory();
const code = { codePath, redriveCodePath: codePath, dispatchCodePath: codePath, agentCodePath: agentDirectory() };

function stacks(context: Record<string, unknown>) {
  const app = newApp({ ...code, agent: 'true', ...context });
  const producer = new SlackIngressStack(app, 'Ingress', { ingress: ingressProps });
  const stack = new AgentStack(app, 'Agent', { ingress: producer.ingress, agent: agentProps });
  return { app, producer, stack };
}

function deployed(context: Record<string, unknown> = {}) {
  const { stack, producer } = stacks(context);
  return withImports(stack, producer);
}

const secret = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf';
const topic = 'arn:aws:sns:us-east-1:111122223333:alarms';
const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';

test('the settings reach the stack', () => {
  const { template, ingress } = deployed({
    architecture: 'x86_64',
    thinking: 'bedrock:amazon.nova-lite-v1:0',
    botTokenSecretArn: secret,
    agentTimeoutSeconds: '110',
    maxAttempts: 4,
    dispatchConcurrency: '20',
    alarmTopicArn: topic,
    removalPolicy: 'retain',
  });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Architectures: ['x86_64'],
    Timeout: 120,
    Environment: { Variables: { AGENT_TIMEOUT_SECONDS: '110', MAX_ATTEMPTS: '4' } },
  });
  template.hasResourceProperties('AWS::Lambda::EventSourceMapping', { ScalingConfig: { MaximumConcurrency: 20 } });
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', {
    EnvironmentVariables: { THINKING: 'bedrock:amazon.nova-lite-v1:0' },
  });
  template.hasResourceProperties('AWS::BedrockAgentCore::ApiKeyCredentialProvider', {
    ApiKeySecretConfig: { SecretId: secret },
  });
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [topic] });
  assert.equal(only(template, 'AWS::Logs::LogGroup').DeletionPolicy, 'Retain');
  // Six times the dispatcher's time-out.
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.VisibilityTimeout, 720);
});

test('with an agent, an event returns to the queue sooner and may be received more often, unless the settings say otherwise', () => {
  const queue = (context: Record<string, unknown>) => {
    const { VisibilityTimeout, RedrivePolicy } = only(deployed(context).ingress, 'AWS::SQS::Queue', isQueue).Properties;
    return [VisibilityTimeout, RedrivePolicy.maxReceiveCount];
  };
  assert.deepEqual(queue({}), [360, 100]);
  assert.deepEqual(queue({ visibilityMinutes: '10', maxReceiveCount: '50' }), [600, 50]);
});

test('with an agent, a deletion controls a conversation and does not wait in it, unless the settings say otherwise', () => {
  const controlEvents = (context: Record<string, unknown>) =>
    ingressIn(deployed(context).ingress).Properties.Environment.Variables.CONTROL_EVENTS;
  assert.equal(controlEvents({}), 'agent_session_stopped,message_deleted');
  assert.equal(controlEvents({ controlEvents: '' }), 'agent_session_stopped,message_deleted');
  assert.equal(controlEvents({ controlEvents: 'agent_session_stopped' }), 'agent_session_stopped');
  assert.equal(controlEvents({ controlEvents: 'none' }), '');
});

test('an agent may consume a standard queue', () => {
  const { template, ingress } = deployed({ queueType: 'standard' });
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.FifoQueue, undefined);
  template.resourceCountIs('AWS::Lambda::EventSourceMapping', 1);
});

test('an agent that is deployed already is called at its endpoint, and no other is deployed', () => {
  const { template } = deployed({ agentRuntimeArn: runtimeArn, agentRuntimeQualifier: 'prod' });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Environment: { Variables: { AGENT_RUNTIME_ARN: runtimeArn, AGENT_RUNTIME_QUALIFIER: 'prod' } },
  });
  template.resourceCountIs('AWS::BedrockAgentCore::Runtime', 0);
});

test('a setting with an empty value counts as not given', () => {
  const empty = { thinking: '', botTokenSecretArn: '', agentRuntimeArn: '', agentRuntimeQualifier: '', maxAttempts: '' };
  const { template } = deployed({ ...empty, agentTimeoutSeconds: '', dispatchConcurrency: '' });
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', { EnvironmentVariables: { THINKING: 'echo' } });
  assert.equal(wantsAgent(newApp({ agent: '', thinking: '' })), false);
});

for (const [context, problem] of [
  [{ agent: 'yes' }, /agent must be one of true, false, and is: yes/],
  [{ agent: 'false', thinking: 'echo' }, /thinking has no effect without an agent: set agent=true/],
  [{ agent: '', agentRuntimeArn: runtimeArn }, /agentRuntimeArn has no effect without an agent/],
  [{ topicArn: topic }, /agent and topicArn cannot both be set/],
  [{ dispatchCodePath: '' }, /must be given together, but these are missing: dispatchCodePath/],
  [{ codePath: '', redriveCodePath: '' }, /must be given together, but these are missing: codePath, redriveCodePath/],
  [{ dispatchCodePath: '/nowhere' }, /does not exist: \/nowhere/],
  [{ agentCodePath: '/nowhere' }, /does not exist: \/nowhere \(make agent-zip\)/],
  [{ agentCodePath: codePath }, /must be a .zip or a directory that contains "main.py"/],
  [{ agentRuntimeArn: 'mine' }, /agentRuntimeArn must be the ARN of an AgentCore Runtime, and is: mine/],
  [{ agentRuntimeArn: `${runtimeArn}/runtime-endpoint/DEFAULT` }, /must be the ARN of an AgentCore Runtime/],
  [{ agentRuntimeArn: runtimeArn, thinking: 'echo' }, /thinking and agentRuntimeArn cannot both be set/],
  [{ agentRuntimeArn: runtimeArn, botTokenSecretArn: secret }, /botTokenSecretArn and agentRuntimeArn cannot both be set/],
  [{ agentRuntimeQualifier: 'prod' }, /agentRuntimeQualifier has no effect without agentRuntimeArn/],
  [{ agentTimeoutSeconds: '1 min' }, /agentTimeoutSeconds must be a whole number/],
  [{ agentTimeoutSeconds: '891' }, /1 s to 890 s/],
  [{ maxReceiveCount: '8' }, /after 8 receives/],
  [{ thinking: 'hard' }, /must be "echo" or/],
] as const) {
  test(`refused: ${JSON.stringify(context)}`, () => {
    assert.throws(() => deployed(context), problem);
  });
}

test('the agent may be a zip', () => {
  const directory = temporaryDirectory();
  const zip = join(directory, 'agent.zip');
  writeFileSync(zip, '');
  assert.doesNotThrow(() => deployed({ agentCodePath: zip }));
});

/** Synthesizes with cdk-nag, and returns its report if it has findings that are not acknowledged. */
function checked(context: Record<string, unknown>, prepare: (stack: AgentStack) => void = () => {}): string {
  const { app, stack } = stacks(context);
  prepare(stack);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  try {
    app.synth();
    return '';
  } catch (error) {
    assert.match(String(error), /Validation failed/);
    return readFileSync(join(app.outdir, 'validation-report.json'), 'utf8');
  }
}

for (const context of [
  {},
  { thinking: 'bedrock:eu.anthropic.claude-sonnet-4-5-20250929-v1:0', botTokenSecretArn: secret },
  { agentRuntimeArn: runtimeArn },
]) {
  test(`cdk-nag has no finding that is not acknowledged: ${JSON.stringify(context)}`, () => {
    assert.equal(checked(context), '');
  });
}

test("cdk-nag does check the stack, and the agent's roles in it", () => {
  const wider = (stack: AgentStack) => {
    const [actions, resources] = [['s3:GetObject'], ['arn:aws:s3:::all/*']];
    stack.runtime!.role.addToPolicy(new iam.PolicyStatement({ actions, resources }));
  };
  assert.match(checked({}, wider), /AwsSolutions-IAM5\[Resource::arn:aws:s3:::all\/\*\]/);
});

/** Runs the CDK app as the CDK's command line does, and returns the names of the stacks that it creates. */
function synthesize(context: Record<string, string>): string[] {
  const out = temporaryDirectory();
  const run = spawnSync(process.execPath, ['--import', 'tsx', 'bin/slack-ingress.ts'], {
    cwd: join(REPOSITORY, 'cdk'),
    env: { ...process.env, CDK_OUTDIR: out, CDK_CONTEXT_JSON: JSON.stringify({ ...CONTEXT, ...code, ...context }) },
    encoding: 'utf8',
  });
  assert.equal(run.status, 0, run.stderr);
  const { artifacts } = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'));
  return Object.entries<any>(artifacts)
    .filter(([, it]) => it.type === 'aws:cloudformation:stack')
    .map(([name]) => name);
}

test("the app creates the agent's stack if the settings ask for it, and names it after its ingress", () => {
  assert.deepEqual(synthesize({}), ['SlackIngress']);
  assert.deepEqual(synthesize({ agent: 'true' }), ['SlackIngress', 'SlackIngressAgent']);
  assert.deepEqual(synthesize({ agent: 'true', stackName: 'Other' }), ['Other', 'OtherAgent']);
});

test('two agents in one account have different names', () => {
  const names = (stackName: string) => {
    const app = newApp({ ...code, agent: 'true' });
    const producer = new SlackIngressStack(app, stackName, { ingress: ingressProps });
    const { template } = withImports(new AgentStack(app, `${stackName}Agent`, { ingress: producer.ingress, agent: agentProps }), producer);
    return [
      only(template, 'AWS::BedrockAgentCore::Gateway').Properties.Name,
      only(template, 'AWS::BedrockAgentCore::Runtime').Properties.AgentRuntimeName,
      only(template, 'AWS::BedrockAgentCore::ApiKeyCredentialProvider').Properties.Name,
    ];
  };
  const [one, other] = [names('One'), names('Other')];
  assert.equal(new Set([...one, ...other]).size, 6);
});
