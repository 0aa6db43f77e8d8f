// What the agent remembers of people: the memory, for how long, and who may use it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { AgentStack } from '../../lib/agent/stack';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { agentProps } from '../../lib/settings/agent';
import { ingressProps } from '../../lib/settings/ingress';
import { REPOSITORY, agentCoreRole, agentDirectory, agentTemplate, codeDirectory, newApp, only } from '../support';

const code = agentDirectory();
const thinking = 'strands:zai.glm-4.6';

test('without the setting there is no memory, and the agent has no right to one', () => {
  const { template } = agentTemplate({ agent: { code, thinking } });
  template.resourceCountIs('AWS::BedrockAgentCore::Memory', 0);
  const { statements } = agentCoreRole(template, 'AWS::BedrockAgentCore::Runtime');
  assert.doesNotMatch(JSON.stringify(statements), /Memory|CreateEvent/);
  const { EnvironmentVariables } = only(template, 'AWS::BedrockAgentCore::Runtime').Properties;
  assert.equal(EnvironmentVariables.MEMORY_ID, undefined);
  assert.ok(!('MemoryId' in template.findOutputs('*')));
});

test('the agent may write events to its memory and find records in it, and nothing else; nobody else may', () => {
  const { template } = agentTemplate({ agent: { code, thinking, memory: {} } });
  const without = agentTemplate({ agent: { code, thinking } }).template;
  const memory = only(template, 'AWS::BedrockAgentCore::Memory');
  const { statements } = agentCoreRole(template, 'AWS::BedrockAgentCore::Runtime');
  assert.deepEqual(
    statements.filter((it) => JSON.stringify(it).includes(memory.id)),
    [
      {
        Effect: 'Allow',
        Action: ['bedrock-agentcore:CreateEvent', 'bedrock-agentcore:RetrieveMemoryRecords'],
        Resource: { 'Fn::GetAtt': [memory.id, 'MemoryArn'] },
      },
    ],
  );
  assert.equal(statements.length, agentCoreRole(without, 'AWS::BedrockAgentCore::Runtime').statements.length + 1);
  const policies = Object.values(template.findResources('AWS::IAM::Policy'));
  assert.equal(policies.filter((it) => JSON.stringify(it).includes(memory.id)).length, 1);
  template.resourceCountIs('AWS::IAM::Role', Object.keys(without.findResources('AWS::IAM::Role')).length);
  const { EnvironmentVariables } = only(template, 'AWS::BedrockAgentCore::Runtime').Properties;
  assert.deepEqual(EnvironmentVariables.MEMORY_ID, { 'Fn::GetAtt': [memory.id, 'MemoryId'] });
});

test('what is remembered is kept apart by person, where the agent looks for it, and ends', () => {
  const memory = only(agentTemplate({ agent: { code, thinking, memory: { days: 40 } } }).template, 'AWS::BedrockAgentCore::Memory');
  const { Name, Description, ...rest } = memory.Properties;
  const strategy = (name: string, description: string) => ({
    Name: name,
    Description: description,
    NamespaceTemplates: [`/people/{actorId}/${name}/`],
    RecordExpirySpecification: { RecordExpiryDurationDays: 40 },
  });
  assert.deepEqual(rest, {
    EventExpiryDuration: 40,
    MemoryStrategies: [
      { SemanticMemoryStrategy: strategy('facts', 'facts that a person has mentioned') },
      { UserPreferenceMemoryStrategy: strategy('preferences', 'what a person prefers') },
    ],
  });
  // Its end is the beginning of the stack's id, so that the stack of the same name that comes after it can make one too.
  const [separator, [prefix, stack]] = Name['Fn::Join'];
  assert.equal(separator, '');
  assert.match(prefix, /^[a-zA-Z][a-zA-Z0-9_]{0,38}_$/);
  assert.deepEqual(stack, {
    'Fn::Select': [0, { 'Fn::Split': ['-', { 'Fn::Select': [2, { 'Fn::Split': ['/', { Ref: 'AWS::StackId' }] }] }] }],
  });
  assert.equal(memory.DeletionPolicy, 'RetainExceptOnCreate');
  const agent = readFileSync(join(REPOSITORY, 'agent/slack_agent/thinking/memory.py'), 'utf8');
  assert.ok(agent.includes('return f"/people/{actor}/"'));
});

test('the settings reach the memory', () => {
  const path = codeDirectory();
  const paths = Object.fromEntries(
    ['codePath', 'redriveCodePath', 'dispatchCodePath', 'settleCodePath'].map((name) => [name, path]),
  );
  const app = newApp({ ...paths, agentCodePath: code, agent: 'true', thinking, memory: 'user', memoryDays: '60', removalPolicy: 'destroy' });
  const { ingress } = new SlackIngressStack(app, 'Ingress', { ingress: ingressProps });
  const memory = only(Template.fromStack(new AgentStack(app, 'Agent', { ingress, agent: agentProps })), 'AWS::BedrockAgentCore::Memory');
  assert.deepEqual([memory.Properties.EventExpiryDuration, memory.DeletionPolicy], [60, 'Delete']);
});
