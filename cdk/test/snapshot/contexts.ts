// The settings of the templates in this folder. Other tests look at the same ones.

const secret = (name: string) => `arn:aws:secretsmanager:us-east-1:111122223333:secret:${name}-AbCdEf`;

export const CONTEXTS: Record<string, Record<string, string>> = {
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
};
