// What each setting of `cdk -c` does to the agent's stack, which values are refused, and the CDK app itself.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks } from 'cdk-nag';
import { AgentStack } from '../../lib/agent/stack';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { agentProps } from '../../lib/settings/agent';
import { wantsAgent } from '../../lib/settings/context';
import { ingressProps } from '../../lib/settings/ingress';
import {
  CONTEXT,
  REPOSITORY,
  agentCoreRole,
  agentDirectory,
  codeDirectory,
  codeSettings,
  dispatchIn,
  ingressIn,
  isQueue,
  newApp,
  only,
  roleOf,
  settleIn,
  temporaryDirectory,
  tracedAgentDirectory,
  withImports,
} from '../support';
import { CONTEXTS } from '../snapshot/contexts';

const codePath = codeDirectory();
const x86 = codeDirectory('x86_64');
const agentCodePath = agentDirectory();
const code = (architecture?: unknown) => ({ ...codeSettings(architecture === 'x86_64' ? x86 : codePath), agentCodePath });

const tracedAgent = tracedAgentDirectory();

function stacks(context: Record<string, unknown>) {
  const app = newApp({ ...code(context.architecture), agent: 'true', ...context });
  const producer = new SlackIngressStack(app, 'Ingress', { ingress: ingressProps });
  const stack = new AgentStack(app, 'Agent', { ingress: producer.ingress, agent: agentProps });
  return { app, producer, stack };
}

function deployed(context: Record<string, unknown> = {}) {
  const { stack, producer } = stacks(context);
  return withImports(stack, producer);
}

const secret = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf';
const trelloSecretArn = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:trello-AbCdEf';
const topic = 'arn:aws:sns:us-east-1:111122223333:alarms';
const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';

test('the settings reach the stack', () => {
  const { template, ingress } = deployed({
    architecture: 'x86_64',
    thinking: 'strands:amazon.nova-lite-v1:0',
    tools: 'post_to_slack,add_reaction',
    answer: 'stream',
    botTokenSecretArn: secret,
    agentTimeoutSeconds: '110',
    agentEvents: 'all',
    alsoAnswers: 'guests, external',
    maxAttempts: 4,
    giveUpAfterMinutes: '60',
    postWaitSeconds: '100',
    unansweredAfterMinutes: '7',
    dispatchConcurrency: '20',
    alarmTopicArn: topic,
    removalPolicy: 'destroy',
  });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Architectures: ['x86_64'],
    Timeout: 124,
    Environment: {
      Variables: {
        AGENT_TIMEOUT_SECONDS: '110',
        AGENT_EVENTS: 'all',
        MAX_ATTEMPTS: '4',
        GIVE_UP_AFTER_SECONDS: '3600',
        POST_WAIT_SECONDS: '100',
      },
    },
  });
  template.allResourcesProperties('AWS::Lambda::Function', { Environment: { Variables: { POST_WAIT_SECONDS: '100' } } });
  template.hasResourceProperties('AWS::CloudWatch::Alarm', { Threshold: 7 * 60 * 1000 });
  template.hasResourceProperties('AWS::Lambda::EventSourceMapping', { ScalingConfig: { MaximumConcurrency: 20 } });
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', {
    EnvironmentVariables: { THINKING: 'strands:amazon.nova-lite-v1:0', TOOLS: 'post_to_slack,add_reaction', ANSWER: 'stream' },
  });
  template.hasResourceProperties('AWS::BedrockAgentCore::ApiKeyCredentialProvider', {
    ApiKeySecretConfig: { SecretId: secret },
  });
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [topic] });
  const logs = Object.values(template.findResources('AWS::Logs::LogGroup'));
  assert.deepEqual(logs.map((it) => it.DeletionPolicy), ['Delete', 'Delete', 'Delete']);
  // Six times the dispatcher's time-out.
  assert.equal(only(ingress, 'AWS::SQS::Queue', isQueue).Properties.VisibilityTimeout, 744);
});

test('the limits of a day reach agent-settle, and their alarm the stack', () => {
  const limits = (context: Record<string, unknown>) => {
    const { template } = deployed(context);
    const { QUESTIONS_A_DAY, TOKENS_A_DAY, TOOL_CALLS_A_DAY, TOKENS_A_QUESTION } = settleIn(template).Properties.Environment.Variables;
    const alarms = Object.values(template.findResources('AWS::CloudWatch::Alarm', { Properties: { MetricName: 'Tokens' } }));
    return [QUESTIONS_A_DAY, TOKENS_A_DAY, TOOL_CALLS_A_DAY, TOKENS_A_QUESTION, alarms.map((it) => it.Properties.Threshold)];
  };
  const none = [undefined, undefined, undefined, undefined, []];
  assert.deepEqual(limits({}), none);
  assert.deepEqual(limits({ questionsADay: '', tokensADay: '', toolCallsADay: '', tokensAQuestion: '', alarmTokensADay: '' }), none);
  assert.deepEqual(
    limits({
      questionsADay: 'workspace:1000, person : 20',
      tokensADay: 'channel:60000',
      toolCallsADay: 'person:5,channel:50',
      tokensAQuestion: '50000',
      alarmTokensADay: '5000000',
    }),
    ['person:20,workspace:1000', 'channel:60000', 'person:5,channel:50', '50000', [5_000_000]],
  );
});

test('the approvals reach agent-settle, and the manifest is told whether a user group decides', () => {
  const approvals = (context: Record<string, unknown>) => {
    const { template } = deployed(context);
    const { APPROVALS, APPROVAL_SECONDS } = settleIn(template).Properties.Environment.Variables;
    return [APPROVALS, APPROVAL_SECONDS, template.findOutputs('AsksUserGroups').AsksUserGroups!.Value];
  };
  const trello = 'true';
  for (const context of [{}, { approvals: '', approvalHours: '' }]) assert.deepEqual(approvals(context), [undefined, undefined, 'false']);
  const [some, group] = ['{"create_card":"asker","canvases___edit_canvas":["U0123ABC","W0123ABC"]}', '{"create_card":"S0FINANCE"}'];
  assert.deepEqual(approvals({ trello, approvals: some }), [some, '604800', 'false']);
  assert.deepEqual(approvals({ trello, approvals: group, approvalHours: '1' }), [group, '3600', 'true']);
});

test('what is JSON on the command line may be an object in cdk.json', () => {
  const [approvals, suggestedPrompts] = [{ create_card: 'asker' }, { prompts: [{ title: 'Plan', message: "Plan my friend's day for $5." }] }];
  const { template } = deployed({ trello: 'true', approvals, suggestedPrompts, agentEnvironment: { ECHO_SECONDS: '3' } });
  const { APPROVALS, SUGGESTED_PROMPTS } = settleIn(template).Properties.Environment.Variables;
  assert.deepEqual([JSON.parse(APPROVALS), JSON.parse(SUGGESTED_PROMPTS)], [approvals, suggestedPrompts]);
  assert.equal(only(template, 'AWS::BedrockAgentCore::Runtime').Properties.EnvironmentVariables.ECHO_SECONDS, '3');
  // And a list may be one.
  const { template: guests } = deployed({ alsoAnswers: ['guests', 'external'] });
  assert.equal(dispatchIn(guests).Properties.Environment.Variables.WHO_MAY_ASK, 'members,guests,external');
  assert.throws(() => deployed({ approvals: ['create_card'] }), /approvals must be JSON/);
  assert.throws(() => deployed({ turns: { together: 'true' } }), /turns must be one of each, together, and is: \{"together":"true"\}/);
});

test('approvals may name the tools of an agent that exists, whatever they are called', () => {
  const [agentToolsGatewayArn, agentToolsGatewayUrl] = ['arn:aws:bedrock-agentcore:us-east-1:111122223333:gateway/tools-abcdefghij', 'https://tools.example.com/mcp'];
  const { template } = deployed({ agentRuntimeArn: runtimeArn, agentToolsGatewayArn, agentToolsGatewayUrl, approvals: '{"pay":"S0FINANCE"}' });
  assert.equal(settleIn(template).Properties.Environment.Variables.APPROVALS, '{"pay":"S0FINANCE"}');
});

test('with trello=true there are tools for Trello, with a secret of the stack or of your own', () => {
  const targets = (context: Record<string, unknown>) => {
    const { template } = deployed(context);
    const secrets = Object.values(template.findResources('AWS::BedrockAgentCore::ApiKeyCredentialProvider'))
      .map((it) => it.Properties.ApiKeySecretConfig)
      .filter((it) => it.JsonKey === 'authorization')
      .map((it) => it.SecretId);
    const names = Object.values(template.findResources('AWS::BedrockAgentCore::GatewayTarget')).map((it) => it.Properties.Name);
    return { trello: names.includes('trello'), secrets };
  };
  for (const trello of [undefined, '', 'false']) assert.deepEqual(targets({ trello }), { trello: false, secrets: [] });
  const created = targets({ trello: 'true' });
  assert.deepEqual([created.trello, Object.keys(created.secrets[0])], [true, ['Ref']]);
  assert.deepEqual(targets({ trello: 'true', trelloSecretArn }), { trello: true, secrets: [trelloSecretArn] });
});

test('what the pane in Slack shows is set for agent-settle, and the manifest is told of the prompts', () => {
  const pane = (context: Record<string, unknown>) => {
    const { template } = deployed(context);
    const { SUGGESTED_PROMPTS, SESSION_TITLES, FEEDBACK_BUTTONS } = settleIn(template).Properties.Environment.Variables;
    return [SUGGESTED_PROMPTS, SESSION_TITLES, FEEDBACK_BUTTONS, template.findOutputs('SuggestsPrompts').SuggestsPrompts!.Value];
  };
  const prompts = '{"title":"Hello","prompts":[{"title":"Plan","message":"Plan my day."}]}';
  assert.deepEqual(pane({}), [undefined, 'off', 'off', 'false']);
  assert.deepEqual(pane({ suggestedPrompts: prompts, sessionTitles: 'true', feedbackButtons: 'true' }), [prompts, 'on', 'on', 'true']);
});

test('files are read if that is set, and the manifest is told', () => {
  const files = (context: Record<string, unknown>) => {
    const { template } = deployed(context);
    return [
      settleIn(template).Properties.Environment.Variables.SLACK_BOT_TOKEN_ARN !== undefined,
      template.findOutputs('ReadsFiles').ReadsFiles!.Value,
    ];
  };
  for (const context of [{}, { files: 'false' }]) assert.deepEqual(files(context), [false, 'false']);
  assert.deepEqual(files({ files: 'true' }), [true, 'true']);
  assert.throws(() => files({ files: 'yes' }), /files must be one of/);
});

test('prompts that agent-settle would not start with are refused', () => {
  const prompt = { title: 'Plan', message: 'Plan my day.' };
  for (const wrong of [
    'Plan my day',
    '[]',
    'null',
    '7',
    JSON.stringify({ prompts: [] }),
    JSON.stringify({ prompts: Array(5).fill(prompt) }),
    JSON.stringify({ prompts: [{ title: 'Plan' }] }),
    JSON.stringify({ prompts: [{ ...prompt, icon: 'x' }] }),
    JSON.stringify({ prompts: [prompt], title: ' ' }),
    JSON.stringify({ prompts: [prompt], titel: 'Hello' }),
  ]) {
    assert.throws(() => deployed({ suggestedPrompts: wrong }), /suggestedPrompts must be JSON such as/, wrong);
  }
});

test('with an agent, the queue gives nothing up, keeps it for two weeks, and has no alarm on its age', () => {
  const queue = (context: Record<string, unknown>) => {
    const { ingress } = deployed(context);
    const { VisibilityTimeout, MessageRetentionPeriod, RedrivePolicy } = only(ingress, 'AWS::SQS::Queue', isQueue).Properties;
    const alarms = Object.keys(ingress.findResources('AWS::CloudWatch::Alarm'));
    assert.deepEqual(alarms.filter((it) => /OldMessages/.test(it)), []);
    return [VisibilityTimeout, MessageRetentionPeriod, RedrivePolicy.maxReceiveCount];
  };
  assert.deepEqual(queue({}), [360, 14 * 86400, 1000]);
  assert.deepEqual(queue({ visibilityMinutes: '10' }), [600, 14 * 86400, 1000]);
  assert.deepEqual(queue({ agentProtocol: 'plain' }), [6 * 885, 14 * 86400, 1000]);
});

test("with an agent a direct message's threads are its conversations, for the ingress and the dispatcher, unless the app is no agent", () => {
  const conversations = (context: Record<string, unknown>) => {
    const { template, ingress } = deployed(context);
    return [ingressIn(ingress), dispatchIn(template)].map((it) => it.Properties.Environment.Variables.DM_CONVERSATION);
  };
  const view = (context: Record<string, unknown>) => deployed(context).template.findOutputs('AgentView').AgentView!.Value;
  assert.deepEqual([conversations({}), view({})], [['thread', 'thread'], 'true']);
  const plainApp = { agentView: 'false' };
  assert.deepEqual([conversations(plainApp), view(plainApp)], [['channel', 'channel'], 'false']);
  assert.deepEqual(conversations({ ...plainApp, dmConversation: 'thread' }), ['thread', 'thread']);
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

test('a harness stands in the place of a runtime, with the protocol plain', () => {
  const harness = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:harness/Assistant-AbCdEfGhIj';
  const { template } = deployed({ agentRuntimeArn: harness, agentProtocol: 'plain' });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Environment: { Variables: { AGENT_RUNTIME_ARN: harness, AGENT_PROTOCOL: 'plain' } },
  });
  assert.throws(() => deployed({ agentRuntimeArn: harness }), /agentProtocol must be plain/);
});

test('without tracing no function sends to X-Ray or may, and nothing else changes', () => {
  const { template, ingress } = deployed({ tracing: 'off' });
  for (const its of [template, ingress]) {
    for (const { Properties } of Object.values(its.findResources('AWS::Lambda::Function'))) assert.equal(Properties.TracingConfig, undefined);
    assert.doesNotMatch(JSON.stringify(its.toJSON()), /xray:/);
  }
  const with_ = deployed({ tracing: 'active' });
  const without = (it: Record<string, any>) => {
    const { TracingConfig, PolicyDocument, ...rest } = it.Properties;
    const Statement = PolicyDocument?.Statement.filter((it: any) => !String(it.Action).includes('xray:'));
    return { ...it, Properties: { ...rest, Statement } };
  };
  const others = (it: typeof template) =>
    Object.fromEntries(Object.entries<any>(it.toJSON().Resources).map(([id, resource]) => [id, without(resource)]));
  assert.deepEqual(others(template), others(with_.template));
  assert.deepEqual(others(ingress), others(with_.ingress));
});

test('an agent with OpenTelemetry is started under it, and its log events are not exported', () => {
  const runtime = (agentTracing?: string) =>
    only(deployed({ agentCodePath: tracedAgent, agentTracing }).template, 'AWS::BedrockAgentCore::Runtime').Properties;
  const traced = runtime('adot');
  assert.deepEqual(traced.AgentRuntimeArtifact.CodeConfiguration.EntryPoint, ['opentelemetry-instrument', 'main.py']);
  const { OTEL_LOGS_EXPORTER, OTEL_METRICS_EXPORTER } = traced.EnvironmentVariables;
  assert.deepEqual([OTEL_LOGS_EXPORTER, OTEL_METRICS_EXPORTER], ['none', 'none']);
  for (const agentTracing of [undefined, 'off']) {
    const { AgentRuntimeArtifact, EnvironmentVariables } = runtime(agentTracing);
    assert.deepEqual(AgentRuntimeArtifact.CodeConfiguration.EntryPoint, ['main.py']);
    assert.doesNotMatch(JSON.stringify(EnvironmentVariables), /OTEL/);
  }
});

test('the workspaces that are answered reach agent-settle', () => {
  const targets = (context: Record<string, string>) => {
    const { template } = deployed(context);
    const isSettle = (it: any) => !('AGENT_RUNTIME_ARN' in it.Properties.Environment.Variables);
    return only(template, 'AWS::Lambda::Function', isSettle).Properties.Environment.Variables.GATEWAY_TARGETS;
  };
  assert.equal(targets({}), undefined);
  assert.equal(targets({ workspace: 'T0FIRST' }), '{"T0FIRST":"slack"}');
  assert.deepEqual(JSON.parse(targets({ workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC, E0456DEF' })), {
    T0FIRST: 'slack',
    T0123ABC: 'slack-t0123abc',
    E0456DEF: 'slack-e0456def',
  });
});

test('with rotatingTokens=true there is a function that looks after every secret, also one that is given', () => {
  const given = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack/T0123ABC-AbCdEf';
  const secrets = (context: Record<string, unknown>) => {
    const functions = Object.values(deployed(context).template.findResources('AWS::Lambda::Function'));
    return functions.flatMap((it) => it.Properties.Environment.Variables.BOT_TOKEN_SECRETS ?? []);
  };
  for (const rotatingTokens of [undefined, 'false']) assert.deepEqual(secrets({ rotatingTokens }), []);
  assert.equal(secrets({ rotatingTokens: 'true' }).length, 1);
  assert.deepEqual(
    secrets({ rotatingTokens: 'true', botTokenSecretArn: secret, workspace: 'T0FIRST', moreWorkspaces: `T0123ABC=${given}` }),
    [`${secret},${given}`],
  );
});

test('of a workspace whose secret is given, no secret is created and nothing is still to be put', () => {
  const given = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack/T0123ABC-AbCdEf';
  const { template } = deployed({ workspace: 'T0FIRST', moreWorkspaces: `T0123ABC=${given},E0456DEF` });
  const outputs = template.findOutputs('*');
  assert.equal(outputs.BotTokenSecretArnT0123ABC!.Value, given);
  assert.deepEqual([outputs.PutTheBotTokenT0123ABC, outputs.PutTheBotTokenE0456DEF === undefined], [undefined, false]);
  template.hasResourceProperties('AWS::BedrockAgentCore::ApiKeyCredentialProvider', { ApiKeySecretConfig: { SecretId: given } });
});

test('what all functions have in common is set for these too', () => {
  const { template } = deployed({
    logLevel: 'debug',
    logRetentionDays: '7',
    dashboard: 'false',
    dispatchTimeoutSeconds: '100',
    dispatchBatchSize: '5',
    retentionMinutes: '14400',
  });
  template.allResourcesProperties('AWS::Lambda::Function', { Environment: { Variables: { RUST_LOG: 'debug' } } });
  template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 7 });
  template.resourceCountIs('AWS::CloudWatch::Dashboard', 0);
  assert.equal(dispatchIn(template).Properties.Timeout, 100);
  assert.equal(only(template, 'AWS::Lambda::EventSourceMapping').Properties.BatchSize, 5);
});

test("the queue waits for a dispatcher's time-out that is set", () => {
  const { ingress } = deployed({ dispatchTimeoutSeconds: '900' });
  const { VisibilityTimeout, MessageRetentionPeriod } = only(ingress, 'AWS::SQS::Queue', isQueue).Properties;
  assert.deepEqual([VisibilityTimeout, MessageRetentionPeriod], [6 * 900, 14 * 86_400]);
});

test("the agent gets the environment that is set, and what is its own stays", () => {
  const { template } = deployed({ thinking: 'echo', agentEnvironment: '{"ECHO_SECONDS": "3"}' });
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', { EnvironmentVariables: { ECHO_SECONDS: '3', THINKING: 'echo' } });
});

test('the agent may be an image in ECR, which its role may pull', () => {
  const { template } = deployed({ agentImageUri: '111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/agent:v1.2' });
  const { AgentRuntimeArtifact } = only(template, 'AWS::BedrockAgentCore::Runtime').Properties;
  const uri = JSON.stringify(AgentRuntimeArtifact.ContainerConfiguration.ContainerUri);
  assert.match(uri, /111122223333\.dkr\.ecr\.eu-west-1\..*\/team\/agent:v1\.2/);
  const { statements } = agentCoreRole(template, 'AWS::BedrockAgentCore::Runtime');
  const pulls = statements.filter((it) => JSON.stringify(it.Action).includes('ecr:BatchGetImage'));
  assert.deepEqual(pulls.map((it) => JSON.stringify(it.Resource).includes(':ecr:eu-west-1:111122223333:repository/team/agent')), [true]);
});

test("agent-settle calls the tools of an agent that exists, through that agent's Gateway", () => {
  const [arn, url] = ['arn:aws:bedrock-agentcore:us-east-1:111122223333:gateway/tools-abcdefghij', 'https://tools.example.com/mcp'];
  const { template } = deployed({ agentRuntimeArn: runtimeArn, agentToolsGatewayArn: arn, agentToolsGatewayUrl: url });
  assert.equal(settleIn(template).Properties.Environment.Variables.TOOLS_GATEWAY_URL, url);
  const { statements } = roleOf(template, settleIn(template));
  const gateways = statements.filter((it) => it.Action === 'bedrock-agentcore:InvokeGateway').flatMap((it) => it.Resource);
  assert.ok(gateways.includes(arn));
});

test('a setting with an empty value counts as not given', () => {
  const empty = { thinking: '', tools: '', botTokenSecretArn: '', agentRuntimeArn: '', agentRuntimeQualifier: '', maxAttempts: '' };
  const { template } = deployed({ ...empty, agentTimeoutSeconds: '', dispatchConcurrency: '' });
  template.resourceCountIs('AWS::SecretsManager::Secret', 1);
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', { EnvironmentVariables: { THINKING: 'strands:global.anthropic.claude-sonnet-4-6' } });
  assert.equal(wantsAgent(newApp({ agent: '', thinking: '' })), false);
});

for (const [context, problem] of [
  [{ agent: 'yes' }, /agent must be one of true, false, and is: yes/],
  [{ agent: 'false', thinking: 'echo' }, /thinking has no effect without an agent: set agent=true/],
  [{ agent: '', agentRuntimeArn: runtimeArn }, /agentRuntimeArn has no effect without an agent/],
  [{ topicArn: topic }, /agent and topicArn cannot both be set/],
  [{ dispatchCodePath: '' }, /must be given together, but these are missing: dispatchCodePath/],
  [{ settleCodePath: '' }, /must be given together, but these are missing: settleCodePath/],
  [{ settleCodePath: '/no-such-file-7f3c' }, /does not exist: \/no-such-file-7f3c/],
  [{ codePath: '', redriveCodePath: '' }, /must be given together, but these are missing: codePath, redriveCodePath/],
  [{ dispatchCodePath: '/no-such-file-7f3c' }, /does not exist: \/no-such-file-7f3c/],
  [{ agentCodePath: '/no-such-file-7f3c' }, /does not exist: \/no-such-file-7f3c \(make agent-zip\)/],
  [{ agentCodePath: codePath }, /must be a .zip or a directory that contains "main.py"/],
  [{ agentRuntimeArn: 'mine' }, /agentRuntimeArn must be the ARN of an AgentCore Runtime or of a harness, and is: mine/],
  [{ agentRuntimeArn: `${runtimeArn}/runtime-endpoint/DEFAULT` }, /must be the ARN of an AgentCore Runtime/],
  [{ agentRuntimeArn: runtimeArn, thinking: 'echo' }, /thinking and agentRuntimeArn cannot both be set/],
  [{ tools: 'post_to_slack,create_card' }, /tools names create_card, which is one of Trello's: set trello=true/],
  [{ tools: 'trello___list_cards', trello: 'false' }, /tools names trello___list_cards/],
  [{ agentRuntimeArn: runtimeArn, tools: 'post_to_slack' }, /tools and agentRuntimeArn cannot both be set/],
  [{ agent: 'false', tools: 'post_to_slack' }, /tools has no effect without an agent/],
  [{ trello: 'yes' }, /trello must be one of true, false, and is: yes/],
  [{ trelloSecretArn }, /trelloSecretArn has no effect without the tools for Trello: set trello=true/],
  [{ agent: 'false', trello: 'true' }, /trello has no effect without an agent/],
  [{ agent: 'false', trelloSecretArn }, /trelloSecretArn has no effect without an agent/],
  [{ agentRuntimeArn: runtimeArn, trello: 'true' }, /trello and agentRuntimeArn cannot both be set/],
  [{ agentRuntimeArn: runtimeArn, trelloSecretArn }, /trelloSecretArn and agentRuntimeArn cannot both be set/],
  [{ agentRuntimeQualifier: 'prod' }, /agentRuntimeQualifier has no effect without agentRuntimeArn/],
  [{ agentTimeoutSeconds: '1 min' }, /agentTimeoutSeconds must be a whole number/],
  [{ agentTimeoutSeconds: '886' }, /agentTimeoutSeconds must be from 1 to 885, and is: 886/],
  [{ agentProtocol: 'plain', agentTimeoutSeconds: '841' }, /1 s to 840 s/],
  [{ agentProtocol: 'mcp' }, /agentProtocol must be one of work, plain/],
  [{ agentEvents: 'some' }, /agentEvents must be one of questions, all/],
  [{ alsoAnswers: 'members' }, /alsoAnswers \(beside members\) must be one of guests, external, bots/],
  [{ alsoAnswers: 'guests,bots' }, /alsoAnswers=bots has no effect while the ingress drops what bots write: set botEvents=own/],
  [{ agentView: 'yes' }, /agentView must be one of true, false/],
  [{ dmConversation: 'channel' }, /dmConversation=channel needs agentView=false/],
  [{ agent: 'false', agentView: 'true' }, /agentView has no effect without an agent/],
  [{ agent: '', unansweredAfterMinutes: '5' }, /unansweredAfterMinutes has no effect without an agent/],
  [{ giveUpAfterMinutes: String(14 * 24 * 60) }, /giveUpAfterMinutes must be from 1 to 18720/],
  [{ postWaitSeconds: '901' }, /postWaitSeconds must be from 1 to 900/],
  [{ maxMessageAgeMinutes: '60' }, /unansweredAfterMinutes takes its place/],
  [{ maxReceiveCount: '100' }, /after 100 receives/],
  ...['person', 'person:', 'person:0', 'people:5', 'channel:1e3', 'person:-1', 'person:1.5', 'person:5,', 'workspace:1000000000001'].map(
    (wrong) => [{ questionsADay: wrong }, /questionsADay must be person:20, channel:100 or workspace:1000, with a number from 1 to 1000000000000/] as const,
  ),
  [{ tokensADay: '5000000' }, /tokensADay must be person:20, .*, and one is: 5000000$/],
  [{ toolCallsADay: 'person:5, nobody:6' }, /toolCallsADay must be person:20, .*, and one is: nobody:6$/],
  [{ questionsADay: 'person:5,channel:7,person:6' }, /questionsADay: person is there twice/],
  [{ tokensAQuestion: '999' }, /tokensAQuestion must be from 1000 to 10000000, and is: 999/],
  [{ tokensAQuestion: '10000001' }, /tokensAQuestion must be from 1000 to 10000000/],
  [{ tokensAQuestion: 'many' }, /tokensAQuestion must be a whole number/],
  [{ tokensADay: 'workspace:5000000,person:199999' }, /tokensADay.person must be at least what one attempt at a question may use, 200000 .*, and is: 199999/],
  [{ tokensADay: 'channel:60000', tokensAQuestion: '60001' }, /tokensADay.channel must be at least what one attempt at a question may use, 60001 .*tokensAQuestion/],
  [{ alarmTokensADay: '0' }, /alarmTokensADay must be from 1 to 1000000000000, and is: 0/],
  [{ alarmTokensADay: '5e6' }, /alarmTokensADay must be a whole number/],
  [{ agent: 'false', questionsADay: 'person:20' }, /questionsADay has no effect without an agent/],
  [{ agent: 'false', alarmTokensADay: '5000000' }, /alarmTokensADay has no effect without an agent/],
  ...['yes', '[]', 'null', '"asker"', '7'].map((wrong) => [{ approvals: wrong }, /approvals must be JSON such as \{"create_card": "asker"\}/] as const),
  [{ approvals: '{}' }, /approvals must name a tool/],
  [{ approvals: '{"create_canvas": "me"}' }, /approvals.create_canvas must be "asker", .*, and is: "me"/],
  [{ approvals: '{"create_card": "asker"}' }, /approvals names create_card, which is none of the agent's tools: slack___post_to_slack, /],
  [{ approvals: '{"trello___edit_canvas": "asker"}' }, /approvals names trello___edit_canvas, which is none of the agent's tools/],
  [{ approvalHours: '24' }, /approvalHours has no effect without approvals/],
  [{ approvals: '{"edit_canvas":"asker"}', approvalHours: '169' }, /approvalHours must be from 1 to 168, and is: 169/],
  [{ approvals: '{"edit_canvas":"asker"}', agentProtocol: 'plain' }, /approvals has no effect with agentProtocol plain/],
  [{ agentRuntimeArn: runtimeArn, approvals: '{"pay":"asker"}' }, /approvals needs agent.toolsGateway/],
  [{ agent: 'false', approvals: '{"edit_canvas":"asker"}' }, /approvals has no effect without an agent/],
  [{ agent: 'false', approvalHours: '24' }, /approvalHours has no effect without an agent/],
  [{ auditDays: '30' }, /auditDays has no effect without an audit trail: set audit=true/],
  [{ audit: 'true', auditDays: '0' }, /auditDays must be from 1 to 3653, and is: 0/],
  [{ audit: 'true', auditExportDays: '4000' }, /auditExportDays must be from 1 to 3653/],
  [{ audit: 'yes' }, /audit must be one of/],
  [{ agent: 'false', audit: 'true' }, /audit has no effect without an agent/],
  [{ tracing: 'passive' }, /tracing must be one of active, off/],
  [{ agentTracing: 'true' }, /agentTracing must be one of adot, off/],
  [{ answer: 'edit' }, /answer must be one of post, stream/],
  [{ agentRuntimeArn: runtimeArn, answer: 'stream' }, /answer and agentRuntimeArn cannot both be set/],
  [{ agent: 'false', answer: 'stream' }, /answer has no effect without an agent/],
  [{ memory: 'on' }, /memory must be one of user, off, and is: on/],
  [{ memory: 'user', thinking: 'echo' }, /a memory needs a model that uses it .*, and it is: echo/],
  [{ memory: 'user', thinking: 'bedrock:zai.glm-4.6', memoryDays: '30' }, /memoryDays must be from 31 to 3650, and is: 30/],
  [{ memory: 'user', thinking: 'bedrock:zai.glm-4.6', memoryDays: '3651' }, /and is: 3651/],
  [{ memoryDays: '90' }, /memoryDays has no effect without a memory: set memory=user/],
  [{ memory: 'off', memoryDays: '90' }, /memoryDays has no effect without a memory/],
  [{ agentRuntimeArn: runtimeArn, memory: 'user' }, /memory and agentRuntimeArn cannot both be set/],
  [{ agent: 'false', memory: 'user' }, /memory has no effect without an agent/],
  [{ agentTimeoutSeconds: '110', dispatchTimeoutSeconds: '120' }, /timeout must be 14 s longer than agentTimeout/],
  [{ dispatchTimeoutSeconds: '901' }, /dispatchTimeoutSeconds must be from 1 to 900/],
  [{ dispatchBatchSize: '11' }, /dispatchBatchSize must be from 1 to 10/],
  [{ dispatchConcurrency: '1' }, /dispatchConcurrency must be from 2 to 1000/],
  [{ maxAttempts: '0' }, /maxAttempts must be from 1 to 100/],
  [{ unansweredAfterMinutes: '0' }, /unansweredAfterMinutes must be from 1 to 20160/],
  [{ retentionMinutes: '1440' }, /the queue deletes a message before the dispatcher gives it up/],
  [{ botTokenSecretArn: 'bot' }, /botTokenSecretArn must be the whole ARN of a secret/],
  [{ trello: 'true', trelloSecretArn: 'trello' }, /trelloSecretArn must be the whole ARN of a secret/],
  [{ agentEnvironment: 'ECHO_SECONDS=3' }, /agentEnvironment must be JSON/],
  [{ agentEnvironment: '{"ECHO_SECONDS": 3}' }, /agentEnvironment must be JSON .*, with texts alone/],
  [{ agentEnvironment: '["ECHO_SECONDS"]' }, /agentEnvironment must be JSON/],
  [{ agentRuntimeArn: runtimeArn, agentEnvironment: '{}' }, /agentEnvironment and agentRuntimeArn cannot both be set/],
  [{ agentImageUri: 'agent:latest' }, /agentImageUri must be an image in ECR/],
  [{ agentImageUri: '111122223333.dkr.ecr.eu-west-1.amazonaws.com/agent' }, /agentImageUri must be an image in ECR/],
  [{ agentRuntimeArn: runtimeArn, agentImageUri: 'x' }, /agentImageUri and agentRuntimeArn cannot both be set/],
  [{ agentImageUri: '111122223333.dkr.ecr.eu-west-1.amazonaws.com/agent:1', agentTracing: 'adot' }, /agentTracing and agentImageUri cannot both be set/],
  [{ agentToolsGatewayUrl: 'https://tools.example.com/mcp' }, /agentToolsGatewayUrl has no effect without agentRuntimeArn/],
  [{ agentRuntimeArn: runtimeArn, agentToolsGatewayUrl: 'https://tools.example.com/mcp' }, /must be given together/],
  [{ agentRuntimeArn: runtimeArn, agentToolsGatewayArn: runtimeArn }, /agentToolsGatewayArn must be the ARN of an AgentCore Gateway/],
  [{ agent: 'false', dispatchBatchSize: '2' }, /dispatchBatchSize has no effect without an agent/],
  [{ agent: 'false', agentEnvironment: '{}' }, /agentEnvironment has no effect without an agent/],
  [{ architecture: 'x86_64', dispatchCodePath: codePath }, /agent-dispatch .* was built for arm64/],
  [{ agentTracing: 'adot' }, /does not contain the AWS Distro for OpenTelemetry: .*make agent-zip/],
  [{ agentRuntimeArn: runtimeArn, agentTracing: 'adot' }, /agentTracing and agentRuntimeArn cannot both be set/],
  [{ agent: 'false', agentTracing: 'adot' }, /agentTracing has no effect without an agent/],
  [{ thinking: 'hard' }, /must be "echo" or/],
  [{ moreWorkspaces: 'T0123ABC' }, /moreWorkspaces needs workspace/],
  [{ workspace: 'acme' }, /id of a workspace \(T…\) or of an organisation \(E…\), and one is: acme/],
  [{ workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC,,E0456DEF' }, /and one is: $/],
  [{ workspace: 'T0FIRST', moreWorkspaces: 'T0FIRST' }, /T0FIRST stands twice/],
  [{ workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC=' }, /the whole ARN of a secret must follow T0123ABC=/],
  [{ workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC=slack/bot' }, /the whole ARN of a secret must follow T0123ABC=/],
  [{ rotatingTokens: 'true', rotationCodePath: '' }, /must be given together, but these are missing: rotationCodePath/],
  [{ agent: 'false', rotatingTokens: 'true' }, /rotatingTokens has no effect without an agent/],
  [{ agent: 'false', workspace: 'T0FIRST' }, /workspace has no effect without an agent/],
  [{ agent: 'false', moreWorkspaces: 'T0FIRST' }, /moreWorkspaces has no effect without an agent/],
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

const encryptionKeyArn = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

for (const context of [
  ...Object.values(CONTEXTS).filter((it) => it.agent === 'true'),
  {},
  { thinking: 'bedrock:eu.anthropic.claude-sonnet-4-5-20250929-v1:0', botTokenSecretArn: secret },
  { trello: 'true' },
  { trello: 'true', trelloSecretArn },
  { agentRuntimeArn: runtimeArn, botTokenSecretArn: secret },
  { agentRuntimeArn: runtimeArn, agentProtocol: 'plain', agentView: 'false' },
  { thinking: 'bedrock:zai.glm-4.6', memory: 'user' },
  { thinking: 'echo' },
  { tracing: 'off' },
  { agentTracing: 'adot', agentCodePath: tracedAgent },
  { agentImageUri: '111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/agent:v1.2' },
  { workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC,E0456DEF', trello: 'true' },
  { rotatingTokens: 'true', workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC' },
  { approvals: '{"edit_canvas":"asker"}' },
  { audit: 'true' },
  { audit: 'true', auditExportDays: '30' },
  { audit: 'true', auditExportDays: '30', encryptionKeyArn, files: 'true', rotatingTokens: 'true', approvals: '{"edit_canvas":"asker"}' },
  { files: 'true', workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC' },
  { turns: 'together', questionsADay: 'person:20', tokensADay: 'workspace:5000000', alarmTokensADay: '10000000' },
  { gradualDeployment: 'canary10percent10minutes' },
]) {
  test(`cdk-nag has no finding that is not acknowledged: ${JSON.stringify(context)}`, () => {
    assert.equal(checked(context), '');
  });
}

test("cdk-nag does check the stack, and the agent's roles in it", () => {
  const wider = (stack: AgentStack) => {
    const [actions, resources] = [['s3:GetObject'], ['arn:aws:s3:::all/*']];
    stack.agent.agentRole!.addToPolicy(new iam.PolicyStatement({ actions, resources }));
  };
  assert.match(checked({}, wider), /AwsSolutions-IAM5\[Resource::arn:aws:s3:::all\/\*\]/);
});

/** Runs the CDK app as the CDK's command line does, and returns the names of the stacks that it creates. */
function synthesize(context: Record<string, string>, env: Record<string, string> = {}): string[] {
  const out = temporaryDirectory();
  const run = spawnSync(process.execPath, ['--import', 'tsx', 'bin/slack-ingress.ts'], {
    cwd: join(REPOSITORY, 'cdk'),
    env: { ...process.env, ...env, CDK_OUTDIR: out, CDK_CONTEXT_JSON: JSON.stringify({ ...CONTEXT, ...code(), ...context }) },
    encoding: 'utf8',
  });
  assert.equal(run.status, 0, run.stderr);
  const { artifacts } = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'));
  return Object.entries<any>(artifacts)
    .filter(([, it]) => it.type === 'aws:cloudformation:stack')
    .map(([name]) => name);
}

test('where the model that nobody has named cannot be, the app stops, and says how to name one', () => {
  const inChina = { CDK_DEFAULT_REGION: 'cn-north-1' };
  assert.throws(() => synthesize({ agent: 'true' }, inChina), /claude-sonnet-4-6, .*, is not in cn-north-1 \(aws-cn\): .*-c thinking=strands:<model id>.*-c thinking=echo/);
  for (const context of [{ thinking: 'echo' }, { thinking: 'strands:a.model' }, { agentRuntimeArn: runtimeArn }] as Record<string, string>[]) {
    assert.deepEqual(synthesize({ agent: 'true', ...context }, inChina), ['SlackIngress', 'SlackIngressAgent']);
  }
  assert.deepEqual(synthesize({}, inChina), ['SlackIngress']);
});

test("the app creates the agent's stack if the settings ask for it, and names it after its ingress", () => {
  assert.deepEqual(synthesize({}), ['SlackIngress']);
  assert.deepEqual(synthesize({ agent: 'true' }), ['SlackIngress', 'SlackIngressAgent']);
  assert.deepEqual(synthesize({ agent: 'true', stackName: 'Other' }), ['Other', 'OtherAgent']);
});

test('two agents in one account have different names', () => {
  const names = (stackName: string) => {
    const app = newApp({ ...code(), agent: 'true' });
    const producer = new SlackIngressStack(app, stackName, { ingress: ingressProps });
    const { template } = withImports(new AgentStack(app, `${stackName}Agent`, { ingress: producer.ingress, agent: agentProps }), producer);
    return [
      ...Object.values(template.findResources('AWS::BedrockAgentCore::Gateway')).map((it) => it.Properties.Name),
      only(template, 'AWS::BedrockAgentCore::Runtime').Properties.AgentRuntimeName,
      only(template, 'AWS::BedrockAgentCore::ApiKeyCredentialProvider').Properties.Name,
    ];
  };
  const [one, other] = [names('One'), names('Other')];
  assert.equal(new Set([...one, ...other]).size, 8);
});
