import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { AgentStack } from '../lib/agent-stack.ts';
import { agentProps, ingressProps, setting, wantsAgent } from '../lib/settings.ts';
import { SlackIngressStack } from '../lib/slack-ingress-stack.ts';

const app = new App();
const name = setting(app, 'stackName') ?? 'SlackIngress';
const { ingress } = new SlackIngressStack(app, name, {
  description: 'slack-ingress: the front door for a Slack app that does slow work',
  ingress: ingressProps,
});
if (wantsAgent(app)) {
  new AgentStack(app, `${name}Agent`, {
    description: 'slack-ingress: an agent on the queue, and its tools',
    ingress,
    agent: agentProps,
  });
}
// A finding fails the synthesis.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
