// What the constructs refuse of props, whoever gives them: the settings check values themselves, and an app in Python knows no
// TypeScript.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Duration, Lazy } from 'aws-cdk-lib';
import { outside } from '../../lib/common/limits';
import { agentStacks, synthesized } from '../support';

for (const [props, problem] of [
  [{ memorySize: 127 }, /SlackIngress: memorySize must be from 128 to 10240, and is: 127/],
  [{ memorySize: 10_241 }, /memorySize must be/],
  [{ reservedConcurrentExecutions: 0 }, /reservedConcurrentExecutions must be at least 1/],
  [{ throttle: { rateLimit: 0 } }, /throttle.rateLimit must be at least 1/],
  [{ throttle: { burstLimit: 0 } }, /throttle.burstLimit must be at least 1/],
  [{ visibilityTimeout: Duration.hours(13) }, /visibilityTimeout, in seconds, must be from 0 to 43200/],
  [{ retention: Duration.seconds(59) }, /retention, in seconds, must be from 60 to 1209600/],
  [{ maxReceiveCount: 0 }, /maxReceiveCount must be from 1 to 1000/],
  [{ dedupTtl: Duration.seconds(0) }, /dedupTtl, in seconds, must be from 1 to 315360000/],
  [{ warmWriteUnits: 3999 }, /warmWriteUnits must be at least 4000/],
  [{ ackBudget: Duration.millis(99) }, /ackBudget, in milliseconds, must be from 100 to 3000/],
  [{ frontDoor: 'alb' }, /SlackIngress: frontDoor must be one of http-api, function-url, and is: alb/],
  [{ queueType: 'FIFO' }, /queueType must be one of fifo, standard, and is: FIFO/],
  [{ dedupKey: 'id' }, /dedupKey must be one of/],
  [{ botEvents: 'all' }, /botEvents must be one of/],
  [{ dmConversation: 'root' }, /dmConversation must be one of/],
  [{ tracing: 'on' }, /tracing must be one of active, off/],
  [{ maxMessageAge: 'never' }, /maxMessageAge must be one of no alarm/],
] as const) {
  test(`refused by SlackIngress: ${JSON.stringify(props)}`, () => {
    assert.throws(() => synthesized(props as object), problem);
  });
}

for (const [props, problem] of [
  [{ agentProtocol: 'mcp' }, /SlackAgent: agentProtocol must be one of work, plain, and is: mcp/],
  [{ agentEvents: 'some' }, /agentEvents must be one of/],
  [{ alsoAnswers: ['everybody'] }, /alsoAnswers \(beside members\) must be one of guests, external, bots, and is: everybody/],
  [{ tracing: 'on' }, /tracing must be one of/],
  [{ turns: 'all' }, /SlackAgent: turns must be one of each, together, and is: all/],
  [{ turns: 'together', agentProtocol: 'plain' }, /turns together has no effect with agentProtocol plain/],
  [{ agent: { code: '.', answer: 'edit' } }, /agent.answer must be one of post, stream/],
  [{ agent: { code: '.', tracing: 'on' } }, /agent.tracing must be one of adot, off/],
  [{ agent: {} }, /the agent's code is needed/],
  [{ maxAttempts: 101 }, /maxAttempts must be from 1 to 100/],
  [{ batchSize: 11 }, /batchSize must be from 1 to 10/],
  [{ maxConcurrency: 1 }, /maxConcurrency must be from 2 to 1000/],
  [{ limits: { questionsADay: {} } }, /AgentSettle: limits.questionsADay must have a limit for one of person, channel, workspace/],
  [{ limits: { questionsADay: { people: 5 } } }, /limits.questionsADay, whom it is for, must be one of person, channel, workspace, and is: people/],
  [{ limits: { questionsADay: { person: 0 } } }, /limits.questionsADay.person must be from 1 to 1000000000000, and is: 0/],
  [{ limits: { tokensADay: { workspace: 1_000_000_000_001 } } }, /limits.tokensADay.workspace must be from 1 to 1000000000000/],
  [{ limits: { toolCallsADay: { channel: 1.5 } } }, /limits.toolCallsADay.channel must be a whole number, and is: 1.5/],
  [{ limits: { tokensAQuestion: 999 } }, /limits.tokensAQuestion must be from 1000 to 10000000, and is: 999/],
  [{ limits: { tokensADay: { person: 199_999 } } }, /limits.tokensADay.person must be at least what one attempt at a question may use, 200000 \(limits.tokensAQuestion\)/],
  [{ limits: { tokensADay: { person: 9999 }, tokensAQuestion: 10_000 } }, /limits.tokensADay.person .*, 10000 .*, and is: 9999/],
  [{ approvals: {} }, /SlackAgent: approvals must name a tool: leave it out if nobody is to be asked/],
  [{ approvals: { 'create card': 'asker' } }, /approvals must name tools, such as create_card or trello___create_card, and one is: create card/],
  [{ approvals: { ['x'.repeat(65)]: 'asker' } }, /approvals must name tools/],
  [{ approvals: { edit_canvas: 'everybody' } }, /approvals.edit_canvas must be "asker", a list of 1 to 20 ids of users .*, and is: "everybody"/],
  [{ approvals: { edit_canvas: 'U0123ABC' } }, /or the id of a user group such as "S0123ABC", and is: "U0123ABC"/],
  [{ approvals: { edit_canvas: [] } }, /approvals.edit_canvas must be .*, and is: \[\]/],
  [{ approvals: { edit_canvas: ['U0123ABC', 'asker'] } }, /and is: \["U0123ABC","asker"\]/],
  [{ approvals: { edit_canvas: ['S0123ABC'] } }, /and is: \["S0123ABC"\]/],
  [{ approvals: { edit_canvas: true } }, /and is: true/],
  [{ approvals: { edit_canvas: 'asker', canvases___edit_canvas: ['U0123ABC'] } }, /approvals names canvases___edit_canvas and edit_canvas: give one of the two/],
  [{ approvalHours: 24 }, /approvalHours has no effect without approvals/],
  [{ approvals: { edit_canvas: 'asker' }, approvalHours: 0 }, /approvalHours must be from 1 to 168, and is: 0/],
  [{ approvals: { edit_canvas: 'asker' }, approvalHours: 169 }, /approvalHours must be from 1 to 168, and is: 169/],
  [{ approvals: { edit_canvas: 'asker' }, approvalHours: 1.5 }, /approvalHours must be a whole number, and is: 1.5/],
  [{ approvals: { edit_canvas: 'asker' }, agentProtocol: 'plain' }, /approvals has no effect with agentProtocol plain/],
  [
    { approvals: { pay: 'asker' }, agent: { runtimeArn: 'arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/mine-AbCdEfGhIj' } },
    /approvals needs agent.toolsGateway: without it agent-settle calls no tool of this agent/,
  ],
  [{ alarmTokensADay: 0 }, /SlackAgent: alarmTokensADay must be from 1 to 1000000000000, and is: 0/],
  [{ alarmTokensADay: 0.5 }, /SlackAgent: alarmTokensADay must be a whole number/],
] as const) {
  test(`refused by SlackAgent: ${JSON.stringify(props)}`, () => {
    assert.throws(() => agentStacks(props as object), problem);
  });
}

test('a number that is known only later is not refused', () => {
  assert.equal(outside(Lazy.number({ produce: () => 1 }), { least: 128, most: 10_240 }), undefined);
});
