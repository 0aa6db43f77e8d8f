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
import { CONTEXTS } from './contexts';

const TEMPLATES = join(__dirname, 'templates');
const CODE = codeSettings();

/** Returns a stack's template as text, without what depends on the bytes of code and of the OpenAPI documents. */
function textOf(stack: Stack): string {
  return `${JSON.stringify(Template.fromStack(stack).toJSON(), null, 1)
    .replace(/\b[0-9a-f]{64}\b/g, '<asset>')
    .replace(/"InlinePayload": ".*"/g, '"InlinePayload": "<an OpenAPI document>"')}\n`;
}

for (const [name, context] of Object.entries(CONTEXTS)) {
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
