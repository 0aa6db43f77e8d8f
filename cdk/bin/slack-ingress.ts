import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { ingressProps, setting } from '../lib/settings.ts';
import { SlackIngressStack } from '../lib/slack-ingress-stack.ts';

const app = new App();
new SlackIngressStack(app, setting(app, 'stackName') ?? 'SlackIngress', {
  description: 'slack-ingress: the front door for a Slack app that does slow work',
  ingress: ingressProps,
});
// A finding fails the synthesis.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
