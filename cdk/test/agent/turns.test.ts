// Questions that are answered together: whom that is told, and that nothing is said of it unless it is wanted.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import { agentTemplate, only, settleIn } from '../support';

function told(template: Template): unknown[] {
  const { TURNS: ofSettle, WHO_MAY_ASK } = settleIn(template).Properties.Environment.Variables;
  const { TURNS: ofAgent } = only(template, 'AWS::BedrockAgentCore::Runtime').Properties.EnvironmentVariables;
  return [ofSettle, WHO_MAY_ASK, ofAgent];
}

test('agent-settle and the agent are told so, and agent-settle whose questions it may give', () => {
  const { template } = agentTemplate({ turns: 'together', alsoAnswers: ['guests'] });
  assert.deepEqual(told(template), ['together', 'members,guests', 'together']);
});

test('neither is told anything where each question has an answer of its own', () => {
  for (const props of [{}, { turns: 'each' }] as const) {
    assert.deepEqual(told(agentTemplate(props).template), [undefined, undefined, undefined]);
  }
});
