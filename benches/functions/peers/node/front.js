// Bolt for JavaScript in front, behind its receiver for Lambda: one app that verifies, listens and answers. Nothing is written
// down. The listener of a mention does nothing: what is timed is Bolt itself, and a listener's work would come on top. Bolt for
// JavaScript has no lazy listeners.

import bolt from '@slack/bolt';
import VIEW from '../placeholder.json' with { type: 'json' };
import { serve } from './runtime.js';

const { App, AwsLambdaReceiver } = bolt;
const { SLACK_API_URL, SLACK_BOT_TOKEN, SLACK_SIGNING_SECRET } = process.env;

const receiver = new AwsLambdaReceiver({ signingSecret: SLACK_SIGNING_SECRET });
const app = new App({
  // The app asks Slack at once whose token it is (`auth.test`).
  token: SLACK_BOT_TOKEN,
  receiver,
  processBeforeResponse: true,
  clientOptions: { slackApiUrl: `${SLACK_API_URL}/` },
});

app.event('app_mention', async () => {});

app.shortcut('neue_bestellung', async ({ ack, shortcut, client }) => {
  await ack();
  await client.views.open({ trigger_id: shortcut.trigger_id, view: VIEW });
});

receiver.start().then(serve);
