// Tools of which a person is asked: what agent-settle is told, the schedules' group and role, who may do what, and that none of it is
// there unless it is wanted.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { APPROVAL_HOURS, problemsOfTools } from '../../lib/agent/approvals';
import { TRELLO_DOCUMENT } from '../../lib/agent/trello';
import {
  REPOSITORY,
  type Resource,
  agentStacks,
  agentTemplate,
  dispatchIn,
  isQueue,
  only,
  roleOf,
  rustSource,
  settleIn,
} from '../support';

const approvals = { edit_canvas: 'asker', slack___post_to_slack: ['U0123ABC', 'W0456DEF'], add_reaction: 'S0FINANCE' };
const { template, ingress } = agentTemplate({ approvals });
const settle = settleIn(template);
const queue = only(ingress, 'AWS::SQS::Queue', isQueue);
const group = only(template, 'AWS::Scheduler::ScheduleGroup');
const [partition, region, account] = ['AWS::Partition', 'AWS::Region', 'AWS::AccountId'].map((Ref) => ({ Ref }));
const join_ = (...parts: unknown[]) => ({ 'Fn::Join': ['', parts] });

/** The role that EventBridge Scheduler assumes. */
const scheduleRole = (its: Template) => {
  const { id } = only(its, 'AWS::IAM::Role', (it) => JSON.stringify(it.Properties.AssumeRolePolicyDocument).includes('scheduler.amazonaws.com'));
  return roleOf(its, { Type: '', Properties: { Role: { 'Fn::GetAtt': [id] } } });
};

test('agent-settle is told who decides, for how long, and where its schedules are, and is told nothing else', () => {
  const { Variables } = settle.Properties.Environment;
  const { Variables: without } = settleIn(agentTemplate().template).Properties.Environment;
  const added = Object.entries(Variables).filter(([name]) => !(name in without));
  assert.deepEqual(Object.fromEntries(added), {
    APPROVALS: JSON.stringify(approvals),
    APPROVAL_SECONDS: '604800',
    SCHEDULE_GROUP: group.Properties.Name,
    SCHEDULE_ROLE: { 'Fn::GetAtt': [scheduleRole(template).id, 'Arn'] },
  });
  const { APPROVAL_SECONDS } = settleIn(agentTemplate({ approvals, approvalHours: 2 }).template).Properties.Environment.Variables;
  assert.equal(APPROVAL_SECONDS, '7200');
});

test('agent-settle reads each of these variables', () => {
  const source = rustSource('src/config');
  for (const name of ['APPROVALS', 'APPROVAL_SECONDS', 'SCHEDULE_GROUP', 'SCHEDULE_ROLE']) assert.ok(source.includes(`"${name}"`), name);
  const seconds = (APPROVAL_HOURS.most * 3600).toLocaleString('en').replace(',', '_');
  assert.ok(rustSource('src/work').includes(`MAX_TIME: Duration = Duration::from_secs(${seconds})`));
});

test('agent-settle may create schedules in this group, which act by this role, and nothing more than without approvals', () => {
  const plain = agentTemplate();
  const before = roleOf(plain.template, settleIn(plain.template)).statements;
  const { statements } = roleOf(template, settle);
  assert.deepEqual(statements.slice(0, before.length), before);
  assert.deepEqual(statements.slice(before.length), [
    {
      Effect: 'Allow',
      Action: 'scheduler:CreateSchedule',
      Resource: join_('arn:', partition, ':scheduler:', region, ':', account, `:schedule/${group.Properties.Name}/*`),
    },
    {
      Effect: 'Allow',
      Action: 'iam:PassRole',
      Resource: { 'Fn::GetAtt': [scheduleRole(template).id, 'Arn'] },
      Condition: { StringEquals: { 'iam:PassedToService': 'scheduler.amazonaws.com' } },
    },
  ]);
  assert.match(group.Properties.Name, /^[0-9A-Za-z_.-]{1,64}$/);
});

test('the schedules may put messages on the queue of the events, and nothing else, and no other schedule may act by their role', () => {
  const { role, statements } = scheduleRole(template);
  assert.deepEqual(statements, [{ Effect: 'Allow', Action: 'sqs:SendMessage', Resource: { 'Fn::GetAtt': [queue.id, 'Arn'] } }]);
  assert.deepEqual(role.Properties.AssumeRolePolicyDocument.Statement, [
    {
      Effect: 'Allow',
      Action: 'sts:AssumeRole',
      Principal: { Service: 'scheduler.amazonaws.com' },
      Condition: { StringEquals: { 'aws:SourceAccount': account, 'aws:SourceArn': { 'Fn::GetAtt': [group.id, 'Arn'] } } },
    },
  ]);
  assert.equal(role.Properties.ManagedPolicyArns, undefined);
});

test('nobody else may create a schedule, or pass a role on', () => {
  const policies = Object.values(template.findResources('AWS::IAM::Policy') as Record<string, Resource>).map((it) => it.Properties);
  const having = (action: RegExp) => policies.filter((it) => action.test(JSON.stringify(it.PolicyDocument)));
  const its = JSON.stringify([{ Ref: roleOf(template, settle).id }]);
  for (const action of [/scheduler:/, /iam:PassRole/]) {
    assert.deepEqual(having(action).map((it) => JSON.stringify(it.Roles)), [its], String(action));
  }
  assert.doesNotMatch(JSON.stringify(roleOf(template, dispatchIn(template)).statements), /scheduler|PassRole/);
});

test('without approvals nothing of it exists, and nothing else changes', () => {
  const without = agentTemplate().template.toJSON();
  assert.doesNotMatch(JSON.stringify(without), /scheduler|APPROVAL|SCHEDULE_/i);
  const added = Object.entries<any>(template.toJSON().Resources).filter(([id]) => !(id in without.Resources));
  assert.deepEqual(added.map(([, it]) => it.Type).sort(), ['AWS::CloudWatch::Alarm', 'AWS::IAM::Policy', 'AWS::IAM::Role', 'AWS::Scheduler::ScheduleGroup']);
});

test('with the group its schedules are deleted when the stack is removed, or nobody is to be asked any more', () => {
  assert.equal(group.DeletionPolicy, 'Delete');
});

test('a tool that is added to the Gateway may be named', () => {
  const { stack } = agentStacks({ approvals: { trello___create_card: 'asker' } });
  assert.throws(() => Template.fromStack(stack), /approvals names trello___create_card, which is none of the agent's tools/);
  const { stack: later } = agentStacks({ approvals: { trello___create_card: 'asker' } });
  later.agent.gateway!.addTool('trello', { document: TRELLO_DOCUMENT, secret: later.agent.botToken });
  assert.doesNotThrow(() => Template.fromStack(later));
});

test('an operation may have underscores anywhere, and of people there are as many as agent-settle takes', () => {
  assert.deepEqual(problemsOfTools({ _archive: 'asker', create___card: 'asker' }, ['trello____archive', 'trello___create___card']), []);
  assert.equal(problemsOfTools({ archive: 'asker' }, ['trello____archive']).length, 1);
  const people = (many: number) => Array.from({ length: many }, (_, it) => `U${it}`);
  assert.doesNotThrow(() => agentStacks({ approvals: { add_reaction: people(20) } }));
  assert.throws(() => agentStacks({ approvals: { add_reaction: people(21) } }), /a list of 1 to 20 ids of users/);
  assert.ok(rustSource('src/config').includes('const MAX_PEOPLE: usize = 20;'));
});

test('the agent is told which tools a person decides about, so that it takes none of them for one that only reads', () => {
  const { stack } = agentStacks({ approvals: { find_canvas_sections: 'asker', slack___post_to_slack: ['U0123ABC'] } });
  const template = Template.fromStack(stack);
  template.hasResourceProperties('AWS::BedrockAgentCore::Runtime', {
    EnvironmentVariables: Match.objectLike({ APPROVAL_TOOLS: 'find_canvas_sections,slack___post_to_slack' }),
  });
  const source = readFileSync(join(REPOSITORY, 'agent/slack_agent/thinking/__init__.py'), 'utf8');
  assert.ok(source.includes('"APPROVAL_TOOLS"'));
});
