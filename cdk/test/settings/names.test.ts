// Which names are settings, and what is said of one that is none.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NEED_AN_AGENT, SETTINGS, checkNames } from '../../lib/settings/names';
import { CONTEXT, REPOSITORY, newApp } from '../support';

for (const [name, meant] of [
  ['queueTyp', 'queueType'],
  ['queuetype', 'queueType'],
  ['queue-type', 'queueType'],
  ['quueeType', 'queueType'],
  ['qeueType', 'queueType'],
  ['reservedConcurrentExecutions', 'reservedConcurrency'],
  ['visibilitySeconds', 'visibilityMinutes'],
  ['visibilityTimeout', 'visibilityMinutes'],
  ['signingSecret', 'signingSecretArn'],
  ['alarmTopic', 'alarmTopicArn'],
  ['memory_size', 'memorySize'],
  ['Memory', 'memory'],
  ['agents', 'agent'],
  ['architectur', 'architecture'],
] as const) {
  test(`${name} is no setting: ${meant} is meant`, () => {
    assert.throws(() => checkNames(newApp({ [name]: 'fifo' })), (error: Error) => {
      assert.equal(error.message, `${name} is no setting: do you mean ${meant}? (docs/deploy.md has them all)`);
      return true;
    });
  });
}

test('every unknown name is told, and no setting is named that is far from it', () => {
  assert.throws(() => checkNames(newApp({ colour: 'red', agent: 'true', queueTyp: 'fifo' })), {
    message: 'colour is no setting; queueTyp is no setting: do you mean queueType? (docs/deploy.md has them all)',
  });
});

test('every setting is let through, and what is the CDK\'s own', () => {
  const settings = Object.fromEntries(SETTINGS.map((name) => [name, 'x']));
  const own = {
    'aws:cdk:bundling-stacks': [],
    'aws:cdk:enable-path-metadata': true,
    'aws-cdk:enableDiffNoFail': true,
    '@aws-cdk/core:checkSecretUsage': true,
    '@aws-cdk-containers/ecs-service-extensions:enableDefaultLogDriver': true,
    'acknowledged-issue-numbers': [29483],
    'availability-zones:account=111122223333:region=us-east-1': ['us-east-1a'],
  };
  assert.doesNotThrow(() => checkNames(newApp({ ...settings, ...own })));
});

test('a setting that needs an agent is a setting', () => {
  const all: readonly string[] = SETTINGS;
  assert.deepEqual(NEED_AN_AGENT.filter((name) => !all.includes(name)), []);
});

test('the app stops at an unknown name, in one line', () => {
  const run = spawnSync(process.execPath, ['--import', 'tsx', 'bin/slack-ingress.ts'], {
    cwd: join(REPOSITORY, 'cdk'),
    env: { ...process.env, CDK_CONTEXT_JSON: JSON.stringify({ ...CONTEXT, queueTyp: 'standard' }) },
    encoding: 'utf8',
  });
  assert.equal(run.status, 1);
  assert.equal(run.stderr, 'slack-ingress: queueTyp is no setting: do you mean queueType? (docs/deploy.md has them all)\n');
});

/** Which settings set each prop, and by which file's interface. */
const SETTINGS_OF: Record<string, Record<string, string[]>> = {
  SlackIngressProps: {
    code: ['codePath'],
    redriveCode: ['redriveCodePath'],
    architecture: ['architecture'],
    memorySize: ['memorySize'],
    reservedConcurrentExecutions: ['reservedConcurrency'],
    forAgent: ['agent'],
    frontDoor: ['frontDoor'],
    throttle: ['throttleRate', 'throttleBurst'],
    // A function of somebody's own app, which a setting cannot make.
    installPages: [],
    twoRegions: ['domainName', 'hostedZoneId', 'standbyRegion', 'activeRegion'],
    topic: ['topicArn', 'topicKeyArn'],
    queueType: ['queueType'],
    visibilityTimeout: ['visibilityMinutes'],
    maxReceiveCount: ['maxReceiveCount'],
    retention: ['retentionMinutes'],
    maxMessageAge: ['maxMessageAgeMinutes'],
    encryptionKey: ['encryptionKeyArn'],
    signingSecret: ['signingSecretArn', 'secretsKeyArn'],
    dedupTtl: ['dedupTtlSeconds'],
    dedupKey: ['dedupKey'],
    botEvents: ['botEvents'],
    dmConversation: ['dmConversation'],
    controlEvents: ['controlEvents'],
    warmWriteUnits: ['warmWriteUnits'],
    ackBudget: ['ackBudgetMs'],
    gradualDeployment: ['gradualDeployment'],
    fastPath: ['fastPath', 'fastPathTokenSecretArn'],
    logLevel: ['logLevel'],
    tracing: ['tracing'],
    logRetention: ['logRetentionDays'],
    alarmTopic: ['alarmTopicArn'],
    canary: ['canary'],
    dashboard: ['dashboard'],
    removalPolicy: ['removalPolicy'],
  },
  SlackAgentProps: {
    // The app has one ingress.
    ingress: [],
    agent: ['agent'],
    agentProtocol: ['agentProtocol'],
    agentTimeout: ['agentTimeoutSeconds'],
    agentEvents: ['agentEvents'],
    alsoAnswers: ['alsoAnswers'],
    turns: ['turns'],
    maxAttempts: ['maxAttempts'],
    giveUpAfter: ['giveUpAfterMinutes'],
    limits: ['questionsADay', 'tokensADay', 'toolCallsADay', 'tokensAQuestion'],
    audit: ['audit', 'auditDays', 'auditRedact', 'auditTexts', 'auditExportDays'],
    botToken: ['botTokenSecretArn'],
    workspaces: ['workspace', 'moreWorkspaces'],
    rotatingTokens: ['rotatingTokens'],
    agentView: ['agentView'],
    files: ['files'],
    suggestedPrompts: ['suggestedPrompts'],
    sessionTitles: ['sessionTitles'],
    feedbackButtons: ['feedbackButtons'],
    dispatchCode: ['dispatchCodePath'],
    settleCode: ['settleCodePath'],
    rotationCode: ['rotationCodePath'],
    architecture: ['architecture'],
    timeout: ['dispatchTimeoutSeconds'],
    batchSize: ['dispatchBatchSize'],
    maxConcurrency: ['dispatchConcurrency'],
    postWait: ['postWaitSeconds'],
    unansweredAfter: ['unansweredAfterMinutes'],
    alarmTokensADay: ['alarmTokensADay'],
    approvals: ['approvals'],
    approvalHours: ['approvalHours'],
    alarmTopic: ['alarmTopicArn'],
    dashboard: ['dashboard'],
    logLevel: ['logLevel'],
    tracing: ['tracing'],
    logRetention: ['logRetentionDays'],
    removalPolicy: ['removalPolicy'],
  },
  OwnAgent: {
    code: ['agentCodePath'],
    artifact: ['agentImageUri'],
    thinking: ['thinking'],
    tools: ['tools'],
    trello: ['trello', 'trelloSecretArn'],
    environment: ['agentEnvironment'],
    tracing: ['agentTracing'],
    answer: ['answer'],
    memory: ['memory', 'memoryDays'],
  },
  ExistingAgent: {
    runtimeArn: ['agentRuntimeArn'],
    qualifier: ['agentRuntimeQualifier'],
    toolsGateway: ['agentToolsGatewayArn', 'agentToolsGatewayUrl'],
  },
};

test('every prop is reached by a setting, and every setting reaches a prop', () => {
  const agent = 'agent/props.ts';
  const files = { SlackIngressProps: 'ingress/slack-ingress.ts', SlackAgentProps: agent, OwnAgent: agent, ExistingAgent: agent };
  const all: readonly string[] = SETTINGS;
  for (const [name, file] of Object.entries(files)) {
    const source = readFileSync(join(REPOSITORY, 'cdk/lib', file), 'utf8');
    const [, body = ''] = new RegExp(`export interface ${name} [^{]*\\{\\n([^]*?)\\n\\}`).exec(source) ?? [];
    const props = [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, prop]) => prop!);
    assert.ok(props.length > 0, `${name} is not in ${file}`);
    assert.deepEqual(Object.keys(SETTINGS_OF[name]!).sort(), props.sort(), name);
    for (const settings of Object.values(SETTINGS_OF[name]!)) {
      for (const setting of settings) assert.ok(all.includes(setting), setting);
    }
  }
  const used = Object.values(SETTINGS_OF).flatMap((props) => Object.values(props).flat());
  // The stack's name is not the construct's.
  assert.deepEqual(SETTINGS.filter((it) => it !== 'stackName' && !used.includes(it)), []);
});
