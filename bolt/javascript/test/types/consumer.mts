import { App } from '@slack/bolt';
import { SqsReceiver, SlackIngressBoltError, type Outcome } from 'slack-ingress-bolt';

const receiver = new SqsReceiver({ metrics: false });
export const app = new App({ token: 'xoxb', receiver });
export const handler = receiver.toHandler();
export const outcome: Outcome = 'nobody_listens';
export const error: Error = new SlackIngressBoltError('x');
