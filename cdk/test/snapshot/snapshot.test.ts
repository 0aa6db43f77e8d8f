// What is deployed, in whole templates: a change of one is seen in a review, and is deployed by nobody unseen.
//
//     UPDATE=1 npm test      writes the templates as they are now

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AgentStack } from '../../lib/agent/stack';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { agentProps } from '../../lib/settings/agent';
import { wantsAgent } from '../../lib/settings/context';
import { ingressProps } from '../../lib/settings/ingress';
import { codeSettings, newApp } from '../support';

const TEMPLATES = join(__dirname, 'templates');
const CODE = codeSettings();
const secret = (name: string) => `arn:aws:secretsmanager:us-east-1:111122223333:secret:${name}-AbCdEf`;

/** Returns a stack's template as text, without what depends on the bytes of code and of the OpenAPI documents. */
function textOf(stack: Stack): string {
  return `${JSON.stringify(Template.fromStack(stack).toJSON(), null, 1)
    .replace(/\b[0-9a-f]{64}\b/g, '<asset>')
    .replace(/"InlinePayload": ".*"/g, '"InlinePayload": "<an OpenAPI document>"')}\n`;
}

for (const [name, context] of Object.entries<Record<string, string>>({
  default: {},
  'function-url': { frontDoor: 'function-url', queueType: 'standard', removalPolicy: 'retain', signingSecretArn: secret('slack') },
  topic: { topicArn: 'arn:aws:sns:us-east-1:111122223333:events.fifo', tracing: 'off' },
  // What `slack-dev cost` counts, and the two at the top.
  agent: { agent: 'true' },
  'agent-with-everything': {
    agent: 'true',
    thinking: 'strands:eu.anthropic.claude-sonnet-4-5-20250929-v1:0',
    tools: 'post_to_slack',
    trello: 'true',
    memory: 'user',
    rotatingTokens: 'true',
    files: 'true',
    workspace: 'T0FIRST',
    moreWorkspaces: `T0123ABC,E0456DEF=${secret('more')}`,
    questionsADay: 'person:20,channel:100,workspace:1000',
    tokensADay: 'workspace:5000000',
    toolCallsADay: 'person:50',
    tokensAQuestion: '100000',
    approvals: '{"create_card":"asker","canvases___edit_canvas":["U0123ABC"],"add_reaction":"S0123ABC"}',
    approvalHours: '24',
    turns: 'together',
    alarmTokensADay: '10000000',
    audit: 'true',
    auditRedact: 'email,trello___create_card.desc',
    auditExportDays: '30',
    suggestedPrompts: '{"prompts":[{"title":"Plan","message":"Plan my day."}]}',
  },
})) {
  test(`the templates are as they were: ${name}`, () => {
    const app = newApp({ ...CODE, ...context });
    const producer = new SlackIngressStack(app, 'SlackIngress', { ingress: ingressProps });
    const stacks: Stack[] = [producer];
    if (wantsAgent(app)) stacks.push(new AgentStack(app, 'SlackIngressAgent', { ingress: producer.ingress, agent: agentProps }));
    for (const stack of stacks) {
      const file = join(TEMPLATES, `${name}.${stack.stackName}.json`);
      const text = textOf(stack);
      if (process.env.UPDATE) {
        mkdirSync(TEMPLATES, { recursive: true });
        writeFileSync(file, text);
      }
      assert.ok(existsSync(file), `${file} is not there: UPDATE=1 npm test writes it`);
      assert.equal(text, readFileSync(file, 'utf8'), `${file} (if this change is wanted: UPDATE=1 npm test)`);
    }
  });
}
