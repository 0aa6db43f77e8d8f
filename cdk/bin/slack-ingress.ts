// The CDK app: the ingress's stack and, if the settings ask for it, the agent's stack.

import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { AgentStack } from '../lib/agent/stack';
import { SlackIngressStack } from '../lib/ingress/stack';
import { agentProps } from '../lib/settings/agent';
import { setting, wantsAgent } from '../lib/settings/context';
import { ingressProps } from '../lib/settings/ingress';

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
// The synthesis fails if cdk-nag finds anything that the constructs have not acknowledged with a reason.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
