// The CDK app: the ingress's stack and, if the settings ask for it, the agent's stack.

import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { AgentStack } from '../lib/agent/stack';
import { SlackIngressStack } from '../lib/ingress/stack';
import { agentProps } from '../lib/settings/agent';
import { settingsOf, wantsAgent } from '../lib/settings/context';
import { ingressProps } from '../lib/settings/ingress';
import { checkNames } from '../lib/settings/names';

function createStacks(app: App): void {
  checkNames(app);
  const name = settingsOf(app).formed('stackName') ?? 'SlackIngress';
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
}

try {
  createStacks(new App());
} catch (error) {
  // What is wrong with a setting is one line. `cdk --debug` shows where it was thrown as well.
  console.error(process.env.CDK_DEBUG ? error : `slack-ingress: ${(error as Error).message}`);
  process.exit(1);
}
