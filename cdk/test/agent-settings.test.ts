import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks } from 'cdk-nag';
import { AgentStack } from '../lib/agent-stack.ts';
import { agentProps, ingressProps, wantsAgent } from '../lib/settings.ts';
import { SlackIngressStack } from '../lib/slack-ingress-stack.ts';
import {
  CONTEXT,
  REPOSITORY,
  agentDirectory,
  codeDirectory,
  isQueue,
  newApp,
  only,
  temporaryDirectory,
  withImports,
} from './support.ts';

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

test('settings reach the stack', () => {
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
  // The queue is made for it.
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.VisibilityTimeout, 720);
});

test('with an agent the queue gives an event back sooner and oftener, unless it is told not to', () => {
  const queue = (context: Record<string, unknown>) => {
    const { VisibilityTimeout, RedrivePolicy } = only(deployed(context).ingress, 'AWS::SQS::Queue', isQueue).Properties;
    return [VisibilityTimeout, RedrivePolicy.maxReceiveCount];
  };
  assert.deepEqual(queue({}), [360, 100]);
  assert.deepEqual(queue({ visibilityMinutes: '10', maxReceiveCount: '50' }), [600, 50]);
});

test('an agent on a standard queue', () => {
  const { template, ingress } = deployed({ queueType: 'standard' });
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.FifoQueue, undefined);
  template.resourceCountIs('AWS::Lambda::EventSourceMapping', 1);
});

test('an agent that is there already', () => {
  const { template } = deployed({ agentRuntimeArn: runtimeArn, agentRuntimeQualifier: 'prod' });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Environment: { Variables: { AGENT_RUNTIME_ARN: runtimeArn, AGENT_RUNTIME_QUALIFIER: 'prod' } },
  });
  template.resourceCountIs('AWS::BedrockAgentCore::Runtime', 0);
});

test('an empty setting counts as none', () => {
  const empty = { thinking: '', botTokenSecretArn: '', agentRuntimeArn: '', agentRuntimeQualifier: '', maxAttempts: '' };
  const { template } = deployed({ ...empty, agentTimeoutSeconds: '', dispatchConcurrency: '' });
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', { EnvironmentVariables: { THINKING: 'echo' } });
  assert.equal(wantsAgent(newApp({ agent: '', thinking: '' })), false);
});

for (const [context, problem] of [
  [{ agent: 'yes' }, /agent is none of true, false: yes/],
  [{ agent: 'false', thinking: 'echo' }, /thinking is of the agent, and there is none without agent=true/],
  [{ agent: '', agentRuntimeArn: runtimeArn }, /agentRuntimeArn is of the agent/],
  [{ topicArn: topic }, /agent and topicArn: one of them/],
  [{ dispatchCodePath: '' }, /go together, and dispatchCodePath is missing/],
  [{ codePath: '', redriveCodePath: '' }, /go together, and codePath, redriveCodePath is missing/],
  [{ dispatchCodePath: '/nowhere' }, /not there: \/nowhere/],
  [{ agentCodePath: '/nowhere' }, /not there: \/nowhere \(make agent-zip\)/],
  [{ agentCodePath: codePath }, /neither a .zip nor a directory that holds "main.py"/],
  [{ agentRuntimeArn: 'mine' }, /agentRuntimeArn is no ARN of an AgentCore Runtime: mine/],
  [{ agentRuntimeArn: `${runtimeArn}/runtime-endpoint/DEFAULT` }, /no ARN of an AgentCore Runtime/],
  [{ agentRuntimeArn: runtimeArn, thinking: 'echo' }, /thinking and agentRuntimeArn: one of them/],
  [{ agentRuntimeArn: runtimeArn, botTokenSecretArn: secret }, /botTokenSecretArn and agentRuntimeArn: one of them/],
  [{ agentRuntimeQualifier: 'prod' }, /agentRuntimeQualifier and agentRuntimeArn: both or neither/],
  [{ agentTimeoutSeconds: '1 min' }, /agentTimeoutSeconds is no whole number/],
  [{ agentTimeoutSeconds: '891' }, /1 s to 890 s/],
  [{ maxReceiveCount: '8' }, /after 8 receives/],
  [{ thinking: 'hard' }, /neither "echo" nor/],
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

/** Synthesizes with cdk-nag looking; what nobody has acknowledged is an error. */
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
  test(`cdk-nag finds nothing that is not explained: ${JSON.stringify(context)}`, () => {
    assert.equal(checked(context), '');
  });
}

test('cdk-nag does look, at the roles of the agent too', () => {
  const wider = (stack: AgentStack) => {
    const [actions, resources] = [['s3:GetObject'], ['arn:aws:s3:::all/*']];
    stack.runtime!.role.addToPolicy(new iam.PolicyStatement({ actions, resources }));
  };
  assert.match(checked({}, wider), /AwsSolutions-IAM5\[Resource::arn:aws:s3:::all\/\*\]/);
});

/** The command's own program, as the CLI runs it. */
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

test('the program makes the agent when it is asked to, and names it after its ingress', () => {
  assert.deepEqual(synthesize({}), ['SlackIngress']);
  assert.deepEqual(synthesize({ agent: 'true' }), ['SlackIngress', 'SlackIngressAgent']);
  assert.deepEqual(synthesize({ agent: 'true', stackName: 'Other' }), ['Other', 'OtherAgent']);
});

test('two of them in one account do not share names', () => {
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
