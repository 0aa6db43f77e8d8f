// The same listeners behind the queue of slack-ingress. The function's handler is `behind-the-queue.handler`.
const { App } = require('@slack/bolt');
const { SqsReceiver } = require('slack-ingress-bolt');

const receiver = new SqsReceiver(); // the guard's table is in BOLT_TABLE
const app = new App({ token: process.env.SLACK_BOT_TOKEN, receiver });
require('./listeners')(app);

exports.handler = receiver.toHandler();
