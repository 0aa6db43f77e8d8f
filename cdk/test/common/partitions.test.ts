// The stacks in China and in GovCloud: whatever names a partition, a console or a service names that of its own partition.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AgentStack } from '../../lib/agent/stack';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { agentProps } from '../../lib/settings/agent';
import { ingressProps } from '../../lib/settings/ingress';
import { codeSettings, newApp } from '../support';

const CODE = codeSettings();

/** Synthesises both stacks, in a region or for any. */
function stacksIn(region: string | undefined, context: Record<string, string> = {}): Stack[] {
  const env = region === undefined ? undefined : { account: '111122223333', region };
  const app = newApp({ ...CODE, agent: 'true', memory: 'user', thinking: 'strands:a.model', trello: 'true', rotatingTokens: 'true', approvals: '{"create_card":"asker"}', ...context });
  const producer = new SlackIngressStack(app, 'SlackIngress', { env, ingress: ingressProps });
  return [producer, new AgentStack(app, 'SlackIngressAgent', { env, ingress: producer.ingress, agent: agentProps })];
}

/** Returns a template as CloudFormation reads it in a partition: with the conditions on it resolved, and references to it. */
function readIn(partition: string, stack: Stack): any {
  const { Conditions: conditions = {}, ...template } = Template.fromStack(stack).toJSON();
  const read = (value: any): any => {
    if (Array.isArray(value)) return value.map(read);
    if (typeof value !== 'object' || value === null) return value;
    if (value.Ref === 'AWS::Partition') return partition;
    if (value['Fn::If'] && conditions[value['Fn::If'][0]]) {
      const [name, yes, no] = value['Fn::If'];
      const [left, right] = read(conditions[name]['Fn::Equals']);
      return read(left === right ? yes : no);
    }
    if (Array.isArray(value['Fn::Join'])) {
      const [separator, parts] = read(value['Fn::Join']);
      // What is known becomes one text, between what is not.
      return parts.map((it: unknown) => (typeof it === 'string' ? it : JSON.stringify(it))).join(separator);
    }
    return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, read(it)]));
  };
  return read(template);
}

/** What stands before the dashboard's name in the outputs that have its address. */
const consoles = (template: any) =>
  Object.entries<any>(template.Outputs)
    .filter(([name]) => name.endsWith('DashboardUrl'))
    .map(([, it]) => JSON.stringify(it.Value).match(/console\.[\w.-]+/)?.[0]);

for (const [region, partition, console] of [
  ['cn-north-1', 'aws-cn', 'console.amazonaws.cn'],
  ['us-gov-west-1', 'aws-us-gov', 'console.amazonaws-us-gov.com'],
] as const) {
  for (const [known, stacks] of [
    ['in a region that is known', stacksIn(region, { canary: 'true' })],
    ['in one that is not', stacksIn(undefined, { dashboard: 'true', frontDoor: 'function-url' })],
  ] as const) {
    test(`nothing of the usual partition is in the templates of ${partition}, ${known}`, () => {
      for (const stack of stacks) {
        const template = readIn(partition, stack);
        const text = JSON.stringify(template);
        const wrong = [...text.matchAll(/.{0,40}(arn:aws:|\baws\.amazon\.com).{0,40}/g)].map(([it]) => it);
        assert.deepEqual(wrong, [], stack.stackName);
        // Else the search above would find nothing in whatever it is given.
        assert.ok(text.includes(`arn:${partition}:`) || stack.stackName === 'SlackIngress', stack.stackName);
        assert.deepEqual(consoles(template), [console], stack.stackName);
      }
    });
  }
}

test('a partition without global inference profiles wants a model to be named, where the region is known', () => {
  for (const [region, partition] of [['cn-north-1', 'aws-cn'], ['us-gov-west-1', 'aws-us-gov'], ['us-iso-east-1', 'aws-iso'], ['eusc-de-east-1', 'aws-eusc']]) {
    assert.throws(() => stacksIn(region, { thinking: '' }), new RegExp(`is not in ${region} \\(${partition}\\): name a model .*thinking=strands:<model id>.*thinking=echo`));
    for (const thinking of ['echo', 'strands:a.model']) stacksIn(region, { memory: 'off', thinking });
  }
  // What the CDK does not know, CloudFormation and the agent will.
  for (const region of ['eu-central-1', 'mars-north-1', undefined]) stacksIn(region, { thinking: '' });
});

test('in the usual partition the addresses of the dashboards are as ever', () => {
  for (const stack of stacksIn('us-east-1')) assert.deepEqual(consoles(readIn('aws', stack)), ['console.aws.amazon.com']);
  for (const stack of stacksIn(undefined)) assert.deepEqual(consoles(readIn('aws', stack)), ['console.aws.amazon.com']);
});
