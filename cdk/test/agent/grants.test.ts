// The exact rights of the dispatcher, agent-settle, the two Gateways and the agent, and who may assume their roles.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { Duration } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  REPOSITORY,
  type Resource,
  agentCoreRole,
  agentDirectory,
  agentTemplate,
  dispatchIn,
  isDeadLetterQueue,
  isQueue,
  isSettleGateway,
  isToolsGateway,
  only,
  roleOf,
  settleIn,
  tracedAgentDirectory,
} from '../support';

const code = agentDirectory();
const { template, ingress } = agentTemplate();
const arn = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });
const allow = (Action: string | string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource });
const join = (...parts: unknown[]) => ({ 'Fn::Join': ['', parts] });
const ref = (Ref: string) => ({ Ref });
const [partition, region, account] = ['AWS::Partition', 'AWS::Region', 'AWS::AccountId'].map(ref);
/** The ARN of a resource in this account and region. */
const local = (service: string, resource: string) => join('arn:', partition, `:${service}:`, region, ':', account, `:${resource}`);

const fn = dispatchIn(template);
const settle = settleIn(template);
const table = only(ingress, 'AWS::DynamoDB::Table');
const queue = only(ingress, 'AWS::SQS::Queue', isQueue);
const deadLetterQueue = only(ingress, 'AWS::SQS::Queue', isDeadLetterQueue);
const gateway = only(template, 'AWS::BedrockAgentCore::Gateway', isToolsGateway);
const settleGateway = only(template, 'AWS::BedrockAgentCore::Gateway', isSettleGateway);
const runtime = only(template, 'AWS::BedrockAgentCore::Runtime');
const endpoint = only(template, 'AWS::BedrockAgentCore::RuntimeEndpoint');
const credential = only(template, 'AWS::BedrockAgentCore::ApiKeyCredentialProvider');
const token = only(template, 'AWS::SecretsManager::Secret');
const dispatchRole = roleOf(template, fn);
const settleRole = roleOf(template, settle);
const gatewayRole = agentCoreRole(template, 'AWS::BedrockAgentCore::Gateway', isToolsGateway);
const settleGatewayRole = agentCoreRole(template, 'AWS::BedrockAgentCore::Gateway', isSettleGateway);
const runtimeRole = agentCoreRole(template, 'AWS::BedrockAgentCore::Runtime');

/** The three parts of a right to a global inference profile, as AWS's guide has them, and no wildcard. */
const globalGrants = (action: string, model: string) => {
  const profile = local('bedrock', `inference-profile/global.${model}`);
  return [
    allow(action, profile),
    {
      ...allow(action, [
        join('arn:', partition, ':bedrock:', region, `::foundation-model/${model}`),
        join('arn:', partition, `:bedrock:::foundation-model/${model}`),
      ]),
      Condition: { StringEquals: { 'bedrock:InferenceProfileArn': profile } },
    },
  ];
};

const runtimeStatementsOf = (agent: Parameters<typeof agentTemplate>[0]) =>
  agentCoreRole(agentTemplate(agent).template, 'AWS::BedrockAgentCore::Runtime').statements;

/** What each function may do of its own: write its log, and traces, whose actions cannot be limited to resources. */
const own = (fn: typeof settle) => [
  allow(['logs:CreateLogStream', 'logs:PutLogEvents'], arn(fn.Properties.LoggingConfig.LogGroup.Ref)),
  allow(['xray:PutTelemetryRecords', 'xray:PutTraceSegments'], '*'),
];

/** The work records: neither the ingress's records of events nor the parked events, and nothing can be deleted. */
const records = {
  ...allow(['dynamodb:GetItem', 'dynamodb:UpdateItem'], arn(table.id)),
  Condition: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['dispatch#*'] } },
};

test('the dispatcher may call exactly what it and its event source call, on its own resources only', () => {
  assert.deepEqual(dispatchRole.statements, [
    ...own(fn),
    records,
    allow(
      ['sqs:ChangeMessageVisibility', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage'],
      arn(queue.id),
    ),
    allow(['sqs:GetQueueAttributes', 'sqs:SendMessage'], arn(deadLetterQueue.id)),
    allow('bedrock-agentcore:InvokeAgentRuntime', [
      { 'Fn::GetAtt': [runtime.id, 'AgentRuntimeArn'] },
      { 'Fn::GetAtt': [endpoint.id, 'AgentRuntimeEndpointArn'] },
    ]),
    allow('lambda:InvokeFunction', arn(settle.id)),
  ]);
});

test('agent-settle may write work records, keep and delete messages, and call the two gateways, and nothing else', () => {
  assert.deepEqual(settleRole.statements, [
    ...own(settle),
    records,
    allow(['sqs:ChangeMessageVisibility', 'sqs:DeleteMessage'], arn(queue.id)),
    allow('bedrock-agentcore:InvokeGateway', [
      { 'Fn::GetAtt': [gateway.id, 'GatewayArn'] },
      { 'Fn::GetAtt': [settleGateway.id, 'GatewayArn'] },
    ]),
  ]);
});

test("only agent-settle may call its gateway, only it and the agent the tools', and nobody but the two may invoke agent-settle", () => {
  const who = (action: string, resource: unknown) =>
    Object.entries({ dispatchRole, settleRole, gatewayRole, settleGatewayRole, runtimeRole })
      .filter(([, { statements }]) =>
        statements.some((it) => it.Action === action && JSON.stringify(it.Resource).includes(JSON.stringify(resource))),
      )
      .map(([name]) => name);
  const invoke = 'bedrock-agentcore:InvokeGateway';
  assert.deepEqual(who(invoke, { 'Fn::GetAtt': [settleGateway.id, 'GatewayArn'] }), ['settleRole']);
  assert.deepEqual(who(invoke, { 'Fn::GetAtt': [gateway.id, 'GatewayArn'] }), ['settleRole', 'runtimeRole']);
  assert.deepEqual(who('lambda:InvokeFunction', arn(settle.id)), ['dispatchRole', 'runtimeRole']);
  for (const { id } of [queue, deadLetterQueue, table, fn]) {
    assert.doesNotMatch(JSON.stringify(runtimeRole.statements), new RegExp(id), `the agent's role names ${id}`);
  }
});

test('beside an agent that is deployed already, agent-settle may call its own gateway only', () => {
  const { template } = agentTemplate({ agent: { runtimeArn: 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj' } });
  const settle = settleIn(template);
  const own = only(template, 'AWS::BedrockAgentCore::Gateway', isSettleGateway);
  assert.deepEqual(
    roleOf(template, settle).statements.find((it) => it.Action === 'bedrock-agentcore:InvokeGateway'),
    allow('bedrock-agentcore:InvokeGateway', { 'Fn::GetAtt': [own.id, 'GatewayArn'] }),
  );
  assert.equal(settle.Properties.Environment.Variables.TOOLS_GATEWAY_URL, undefined);
});

test('of an agent that is deployed already, agent-settle may call the Gateway with its tools', () => {
  const toolsGateway = { url: 'https://tools.example/mcp', arn: 'arn:aws:bedrock-agentcore:us-east-1:111122223333:gateway/tools-abcdefghij' };
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';
  const { template } = agentTemplate({ agent: { runtimeArn, toolsGateway } });
  const settle = settleIn(template);
  const own = only(template, 'AWS::BedrockAgentCore::Gateway', isSettleGateway);
  assert.deepEqual(
    roleOf(template, settle).statements.find((it) => it.Action === 'bedrock-agentcore:InvokeGateway'),
    allow('bedrock-agentcore:InvokeGateway', [toolsGateway.arn, { 'Fn::GetAtt': [own.id, 'GatewayArn'] }]),
  );
  assert.equal(settle.Properties.Environment.Variables.TOOLS_GATEWAY_URL, toolsGateway.url);
});

test('an agent that is deployed already may be invoked at one endpoint, and no other agent may be invoked', () => {
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj';
  for (const [qualifier, name] of [[undefined, 'DEFAULT'], ['prod', 'prod']] as const) {
    const { template } = agentTemplate({ agent: { runtimeArn, qualifier } });
    assert.deepEqual(
      roleOf(template, dispatchIn(template)).statements.find((it) => it.Action === 'bedrock-agentcore:InvokeAgentRuntime'),
      allow('bedrock-agentcore:InvokeAgentRuntime', [runtimeArn, `${runtimeArn}/runtime-endpoint/${name}`]),
    );
  }
});

test('a harness may be invoked, and no other agent may be invoked', () => {
  const runtimeArn = 'arn:aws:bedrock-agentcore:us-east-1:111122223333:harness/Assistant-AbCdEfGhIj';
  const plain = { agentProtocol: 'plain', agentTimeout: Duration.seconds(30) } as const;
  const { template } = agentTemplate({ agent: { runtimeArn }, ...plain });
  const ofAgentCore = roleOf(template, dispatchIn(template)).statements.filter((it) => JSON.stringify(it.Action).includes('bedrock-agentcore'));
  assert.deepEqual(ofAgentCore, [allow(['bedrock-agentcore:InvokeAgentRuntime', 'bedrock-agentcore:InvokeHarness'], runtimeArn)]);
  assert.throws(() => agentTemplate({ agent: { runtimeArn } }), /agentProtocol must be plain/);
  assert.throws(() => agentTemplate({ agent: { runtimeArn }, ...plain, agentEvents: 'all' }), /agentEvents must be questions/);
});

for (const [name, its, role] of [
  ["the tools'", gateway, gatewayRole],
  ["agent-settle's", settleGateway, settleGatewayRole],
] as const) {
  test(`${name} gateway may get its own identity's token, this credential and this secret, and nothing else`, () => {
    const directory = local('bedrock-agentcore', 'workload-identity-directory/default');
    const identity = local(
      'bedrock-agentcore',
      `workload-identity-directory/default/workload-identity/${its.Properties.Name}-*`,
    );
    assert.deepEqual(role.statements, [
      allow('bedrock-agentcore:GetWorkloadAccessToken', [directory, identity]),
      allow('bedrock-agentcore:GetResourceApiKey', [
        { 'Fn::GetAtt': [credential.id, 'CredentialProviderArn'] },
        local('bedrock-agentcore', 'token-vault/default'),
        directory,
        identity,
      ]),
      allow('secretsmanager:GetSecretValue', ref(token.id)),
    ]);
  });
}

test('the agent may call its tools, invoke agent-settle, write its log, ask its model and fetch its code, and nothing else', () => {
  const groups = `log-group:/aws/bedrock-agentcore/runtimes/${runtime.Properties.AgentRuntimeName}-*`;
  const { Bucket, Prefix } = runtime.Properties.AgentRuntimeArtifact.CodeConfiguration.Code.S3;
  assert.deepEqual(runtimeRole.statements, [
    allow('bedrock-agentcore:InvokeGateway', { 'Fn::GetAtt': [gateway.id, 'GatewayArn'] }),
    allow('lambda:InvokeFunction', arn(settle.id)),
    allow(['logs:CreateLogGroup', 'logs:DescribeLogStreams'], local('logs', groups)),
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], local('logs', `${groups}:log-stream:*`)),
    allow('logs:DescribeLogGroups', local('logs', 'log-group:*')),
    ...globalGrants('bedrock:InvokeModelWithResponseStream', 'anthropic.claude-sonnet-4-6'),
    allow('s3:GetObject', join('arn:', partition, ':s3:::', Bucket, `/${Prefix}`)),
  ]);
});

/** The rights on models of an agent with this setting. */
const modelGrants = (thinking?: string) =>
  runtimeStatementsOf({ agent: { code: code, thinking } }).filter((it) => String(it.Action).startsWith('bedrock:'));

test('an agent that echoes may call no model', () => {
  assert.deepEqual(modelGrants('echo'), []);
});

test('an agent of which nothing is said may have the answers of one model streamed, by its global profile', () => {
  assert.equal(runtime.Properties.EnvironmentVariables.THINKING, 'strands:global.anthropic.claude-sonnet-4-6');
  assert.deepEqual(modelGrants(), globalGrants('bedrock:InvokeModelWithResponseStream', 'anthropic.claude-sonnet-4-6'));
});

test('an agent that thinks with a model may call that model only, in its own region', () => {
  for (const model of ['anthropic.claude-sonnet-4-5-20250929-v1:0', 'zai.glm-4.6', 'us-lab.model-v1']) {
    assert.deepEqual(modelGrants(`bedrock:${model}`), [
      allow('bedrock:InvokeModel', join('arn:', partition, ':bedrock:', region, `::foundation-model/${model}`)),
    ]);
  }
});

test('an agent that thinks by Strands may have that model\'s answer streamed, and nothing else', () => {
  assert.deepEqual(modelGrants('strands:zai.glm-4.6'), [
    allow('bedrock:InvokeModelWithResponseStream', join('arn:', partition, ':bedrock:', region, '::foundation-model/zai.glm-4.6')),
  ]);
});

test('an agent with an inference profile may call the profile, and through it the model in any region', () => {
  const model = 'anthropic.claude-sonnet-4-5-20250929-v1:0';
  for (const geography of ['us', 'eu', 'jp', 'us-gov']) {
    const profile = local('bedrock', `inference-profile/${geography}.${model}`);
    assert.deepEqual(modelGrants(`bedrock:${geography}.${model}`), [
      allow('bedrock:InvokeModel', profile),
      {
        ...allow('bedrock:InvokeModel', join('arn:', partition, `:bedrock:*::foundation-model/${model}`)),
        Condition: { StringEquals: { 'bedrock:InferenceProfileArn': profile } },
      },
    ]);
  }
});

test('an agent with a global profile may call the profile, and through it the model here and the one without a region', () => {
  const model = 'anthropic.claude-sonnet-4-5-20250929-v1:0';
  assert.deepEqual(modelGrants(`bedrock:global.${model}`), globalGrants('bedrock:InvokeModel', model));
});

test('an agent that is traced may send spans, ask which to send, and nothing else', () => {
  const statements = runtimeStatementsOf({ agent: { code: tracedAgentDirectory(), tracing: 'adot' } });
  assert.deepEqual(
    statements.filter((it) => it.Resource === '*'),
    [allow(['xray:GetSamplingRules', 'xray:GetSamplingTargets', 'xray:PutTelemetryRecords', 'xray:PutTraceSegments'], '*')],
  );
  assert.equal(statements.length, runtimeRole.statements.length + 1);
  const artifact = agentcore.AgentRuntimeArtifact.fromImageUri('111122223333.dkr.ecr.us-east-1.amazonaws.com/agent:v1');
  assert.throws(() => runtimeStatementsOf({ agent: { artifact, tracing: 'adot' } }), /tracing has no effect on it/);
});

test('an agent that is an image may pull that image', () => {
  const statements = runtimeStatementsOf((scope) => {
    const repository = ecr.Repository.fromRepositoryName(scope, 'Repository', 'agent');
    return { agent: { artifact: agentcore.AgentRuntimeArtifact.fromEcrRepository(repository, 'v1') } };
  });
  assert.deepEqual(statements.slice(7), [
    allow(
      ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      local('ecr', 'repository/agent'),
    ),
    // This action cannot be limited to resources.
    allow('ecr:GetAuthorizationToken', '*'),
  ]);
});

test('an imported bot token is granted by its whole ARN, and its KMS key through Secrets Manager only', () => {
  const whole = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf';
  const key = 'arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012';
  const { template } = agentTemplate((scope) => ({
    botToken: secretsmanager.Secret.fromSecretAttributes(scope, 'Secret', {
      secretCompleteArn: whole,
      encryptionKey: kms.Key.fromKeyArn(scope, 'Key', key),
    }),
  }));
  template.resourceCountIs('AWS::SecretsManager::Secret', 0);
  for (const where of [isToolsGateway, isSettleGateway]) {
    assert.deepEqual(agentCoreRole(template, 'AWS::BedrockAgentCore::Gateway', where).statements.slice(2), [
      allow('secretsmanager:GetSecretValue', whole),
      {
        ...allow('kms:Decrypt', key),
        Condition: { StringEquals: { 'kms:ViaService': join('secretsmanager.', region, '.amazonaws.com') } },
      },
    ]);
  }
});

test('agent-settle may read the bot token if files are read, by its whole ARN, and not otherwise', () => {
  const secrets = (template: typeof ingress) =>
    roleOf(template, settleIn(template)).statements.filter((it) => /secretsmanager|kms/.test(JSON.stringify(it.Action)));
  assert.deepEqual(secrets(template), []);
  assert.equal(settle.Properties.Environment.Variables.SLACK_BOT_TOKEN_ARN, undefined);
  const withFiles = agentTemplate({ files: true }).template;
  const created = only(withFiles, 'AWS::SecretsManager::Secret');
  assert.deepEqual(secrets(withFiles), [allow('secretsmanager:GetSecretValue', ref(created.id))]);
  assert.deepEqual(settleIn(withFiles).Properties.Environment.Variables.SLACK_BOT_TOKEN_ARN, ref(created.id));

  const whole = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf';
  const key = 'arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012';
  const imported = agentTemplate((scope) => ({
    files: true,
    botToken: secretsmanager.Secret.fromSecretAttributes(scope, 'Secret', {
      secretCompleteArn: whole,
      encryptionKey: kms.Key.fromKeyArn(scope, 'Key', key),
    }),
  })).template;
  assert.deepEqual(secrets(imported), [
    allow('secretsmanager:GetSecretValue', whole),
    {
      ...allow('kms:Decrypt', key),
      Condition: { StringEquals: { 'kms:ViaService': join('secretsmanager.', region, '.amazonaws.com') } },
    },
  ]);
  // Nobody else gets it: neither the dispatcher nor the agent, in whose machine any code has its role.
  for (const role of [roleOf(withFiles, dispatchIn(withFiles)), agentCoreRole(withFiles, 'AWS::BedrockAgentCore::Runtime')]) {
    assert.doesNotMatch(JSON.stringify(role.statements), /secretsmanager/);
  }
});

test("with tools for Trello, the tools' gateway may also read Trello's credential, and agent-settle's may not", () => {
  const { template } = agentTemplate({ agent: { code, trello: {} } });
  const reads = (where: typeof isToolsGateway) => {
    const { statements } = agentCoreRole(template, 'AWS::BedrockAgentCore::Gateway', where);
    assert.equal(statements.length, 3);
    return [statements[1].Resource.map((it: any) => it['Fn::GetAtt']?.[0]).filter(Boolean), statements[2]];
  };
  const ids = (key: string) => {
    const secret = only(template, 'AWS::SecretsManager::Secret', (it) => it.Properties.GenerateSecretString.GenerateStringKey === key);
    const provider = only(
      template,
      'AWS::BedrockAgentCore::ApiKeyCredentialProvider',
      (it) => it.Properties.ApiKeySecretConfig.SecretId.Ref === secret.id,
    );
    return { secret: ref(secret.id), provider: provider.id };
  };
  const [bot, trello] = [ids('token'), ids('authorization')];
  assert.deepEqual(reads(isToolsGateway), [
    [bot.provider, trello.provider],
    allow('secretsmanager:GetSecretValue', [bot.secret, trello.secret]),
  ]);
  assert.deepEqual(reads(isSettleGateway), [[bot.provider], allow('secretsmanager:GetSecretValue', bot.secret)]);
});

test('each of the five has its own role, with one policy and no other, inline, managed or attached', () => {
  const roles = [dispatchRole, settleRole, gatewayRole, settleGatewayRole, runtimeRole];
  assert.equal(new Set(roles.map((it) => it.id)).size, 5);
  for (const { id, role, policy } of roles) {
    assert.deepEqual(Object.keys(role.Properties).sort(), ['AssumeRolePolicyDocument', 'Description']);
    assert.deepEqual(policy.Properties.Roles, [ref(id)]);
  }
  template.resourceCountIs('AWS::IAM::Role', 5);
  template.resourceCountIs('AWS::IAM::Policy', 5);
  template.resourceCountIs('AWS::IAM::ManagedPolicy', 0);
});

test("only Lambda may assume the functions' roles, and only AgentCore the others, for these gateways and this runtime", () => {
  const trust = ({ role }: typeof dispatchRole) => role.Properties.AssumeRolePolicyDocument.Statement;
  const agentCore = (resource: string) => [
    {
      ...{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'bedrock-agentcore.amazonaws.com' } },
      Condition: {
        StringEquals: { 'aws:SourceAccount': account },
        ArnLike: { 'aws:SourceArn': local('bedrock-agentcore', resource) },
      },
    },
  ];
  for (const role of [dispatchRole, settleRole]) {
    assert.deepEqual(trust(role), [
      { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } },
    ]);
  }
  assert.deepEqual(trust(settleGatewayRole), agentCore(`gateway/${settleGateway.Properties.Name}-??????????`));
  assert.deepEqual(trust(gatewayRole), agentCore(`gateway/${gateway.Properties.Name}-??????????`));
  assert.deepEqual(trust(runtimeRole), agentCore(`runtime/${runtime.Properties.AgentRuntimeName}*`));
});

test('there is no access from outside: no permission on a function, no policy on the secret', () => {
  for (const type of ['AWS::Lambda::Permission', 'AWS::Lambda::Url', 'AWS::SecretsManager::ResourcePolicy']) {
    template.resourceCountIs(type, 0);
  }
  for (const { Properties } of [gateway, settleGateway]) assert.equal(Properties.AuthorizerType, 'AWS_IAM');
  assert.equal(runtime.Properties.AuthorizerConfiguration, undefined);
});

test("AgentCore's resources are created after the rights of their roles", () => {
  const target = (its: { id: string }, name: string) =>
    only(
      template,
      'AWS::BedrockAgentCore::GatewayTarget',
      (it) => it.Properties.GatewayIdentifier['Fn::GetAtt'][0] === its.id && it.Properties.Name === name,
    );
  for (const [resource, role] of [
    [gateway, gatewayRole],
    [target(gateway, 'slack'), gatewayRole],
    [target(gateway, 'canvases'), gatewayRole],
    [settleGateway, settleGatewayRole],
    [target(settleGateway, 'slack'), settleGatewayRole],
    [runtime, runtimeRole],
  ] as const) {
    assert.ok((resource as any).DependsOn.includes(role.policy.id), resource.Type);
  }
});

test('docs/agent.md names every right of these roles but those to their log and their traces, and no other', () => {
  const guide = readFileSync(path.join(REPOSITORY, 'docs/agent.md'), 'utf8');
  const { template } = agentTemplate({
    agent: { code, trello: {} },
    workspaces: { first: 'T0FIRST', more: ['T0123ABC'] },
    files: true,
    turns: 'together',
    limits: { questionsADay: { person: 20 } },
    approvals: { create_card: 'asker' },
    audit: { exportDays: 30 },
  });
  const roles = template.findResources('AWS::IAM::Role');
  for (const [row, owner] of [
    [/^\| `agent-dispatch` \| (.*?) \|/m, 'the dispatcher'],
    [/^\| `agent-settle` \| (.*?) \|/m, 'agent-settle'],
    [/^\| the schedules of `approvals` \| (.*?) \|/m, 'the schedules of agent-settle'],
    [/^\| the \[export\].*? \| (.*?) \|/m, 'the export of the audit trail'],
  ] as const) {
    const isOwners = (it: Resource) => roles[it.Properties.Roles[0].Ref]!.Properties.Description === `slack-ingress: what ${owner} may do, and nothing more`;
    const { Statement } = only(template, 'AWS::IAM::Policy', isOwners).Properties.PolicyDocument;
    const actions = new Set<string>(Statement.flatMap((it: any) => it.Action).filter((it: string) => !/^(logs|xray):/.test(it)));
    const named = [...(row.exec(guide)?.[1] ?? '').matchAll(/`([A-Z]\w+)`/g)].map(([, it]) => it!);
    assert.deepEqual([...new Set(named)].sort(), [...new Set([...actions].map((it) => it.split(':')[1]!))].sort(), owner);
  }
});
