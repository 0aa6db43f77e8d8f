// The CDK app: the ingress's stack and, if the settings ask for it, the agent's stack.

import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { AgentStack } from '../lib/agent/stack';
import { SlackIngressStack } from '../lib/ingress/stack';
import { agentProps } from '../lib/settings/agent';
import { settingsOf, twoRegions, wantsAgent } from '../lib/settings/context';
import { ingressProps } from '../lib/settings/ingress';
import { checkNames } from '../lib/settings/names';

function createStacks(app: App): void {
  checkNames(app);
  const name = settingsOf(app).formed('stackName') ?? 'SlackIngress';
  // One of two regions is another stack in each. A stack for any region has no region of its own, and can be deployed in all.
  const env = twoRegions(app) && { region: process.env.CDK_DEFAULT_REGION };
  const { ingress } = new SlackIngressStack(app, name, {
    env,
    description: 'slack-ingress: the front door for a Slack app that does slow work',
    ingress: ingressProps,
  });
  if (wantsAgent(app)) {
    new AgentStack(app, `${name}Agent`, {
      env,
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
