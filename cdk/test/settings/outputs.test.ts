// The outputs of the stacks, as docs/deploy.md lists them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AgentStack } from '../../lib/agent/stack';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { agentProps } from '../../lib/settings/agent';
import { twoRegions, wantsAgent } from '../../lib/settings/context';
import { ingressProps } from '../../lib/settings/ingress';
import { CONTEXTS } from '../snapshot/contexts';
import { REPOSITORY, codeSettings, newApp } from '../support';

const CODE = codeSettings();
const HOST = { domainName: 'slack.example.com', hostedZoneId: 'Z0123456789ABCDEFGHIJ' };
const ALL: Record<string, string>[] = [
  ...Object.values(CONTEXTS),
  { canary: 'true', dashboard: 'false' },
  { ...HOST, standbyRegion: 'us-west-2' },
  { ...HOST, activeRegion: 'us-west-2' },
  { agent: 'true', dashboard: 'false', agentRuntimeArn: 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj' },
  { agent: 'true', botTokenSecretArn: 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf' },
];

/** Returns the outputs for people, with `<id>` in place of an installation's. What one stack exports to the other is none. */
function outputsOf(stack: Stack): string[] {
  const outputs = Object.entries(Template.fromStack(stack).findOutputs('*'));
  return outputs.filter(([, it]) => it.Export === undefined).map(([name]) => name.replace(/(T0123ABC|E0456DEF)$/, '<id>'));
}

const found: { ingress: string[]; agent?: string[] }[] = ALL.map((context) => {
  const app = newApp({ ...CODE, ...context });
  const env = twoRegions(app) && { region: 'us-east-1' };
  const producer = new SlackIngressStack(app, 'SlackIngress', { env, ingress: ingressProps });
  const consumer = wantsAgent(app) ? new AgentStack(app, 'SlackIngressAgent', { env, ingress: producer.ingress, agent: agentProps }) : undefined;
  return { ingress: outputsOf(producer), agent: consumer && outputsOf(consumer) };
});

const guide = readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8');
const [, ofIngress, ofAgent] = /^\*\*Outputs\*\* of the stack:\n\n([^]*?)\n\nWith an agent the second stack adds\n\n([^]*?)\n\n/m.exec(guide) ?? [];

for (const [name, table, outputs] of [
  ['ingress', ofIngress, found.map((it) => it.ingress)],
  ['agent', ofAgent, found.flatMap((it) => (it.agent ? [it.agent] : []))],
] as const) {
  test(`docs/deploy.md lists every output of the stack, and no other: ${name}`, () => {
    assert.ok(table !== undefined);
    // The first letter of a setting is a small one.
    const listed = (text: string) => [...text.matchAll(/`([A-Z]\w*(?:<id>)?)`/g)].map(([, it]) => it!);
    assert.deepEqual(listed(table).sort(), [...new Set(outputs.flat())].sort());
    const [always = ''] = /^\| always \|.*$/m.exec(table) ?? [];
    const inAll = outputs.reduce((one, other) => one.filter((it) => other.includes(it)));
    assert.deepEqual(listed(always).sort(), inAll.sort());
  });
}
