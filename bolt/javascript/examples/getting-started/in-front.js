// The app as Bolt itself runs it on Lambda: it answers Slack. The function's handler is `in-front.handler`.
const { App, AwsLambdaReceiver } = require('@slack/bolt');

const receiver = new AwsLambdaReceiver({ signingSecret: process.env.SLACK_SIGNING_SECRET });
const app = new App({ token: process.env.SLACK_BOT_TOKEN, receiver, processBeforeResponse: true });
require('./listeners')(app);

exports.handler = receiver.toHandler();
