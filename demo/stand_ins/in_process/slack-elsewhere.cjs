// Leads a Bolt app to the stand-ins of Slack, so that its code may be what it would be for Slack itself. Node.js loads this
// before the app (`--require`). What it changes are defaults of what the app requires: where Slack's Web API is
// (SLACK_API_URL), and where a `response_url` may lead (SLACK_HOOKS_URL).
const Module = require('node:module');

const changed = new Map([
  ['@slack/bolt', (bolt) => ({
    ...bolt,
    App: class extends bolt.App {
      constructor(options = {}) {
        super({ ...options, clientOptions: { slackApiUrl: `${process.env.SLACK_API_URL}/`, ...options.clientOptions } });
      }
    },
  })],
  ['slack-ingress-bolt', (ours) => {
    const withDefaults = (options = {}) => ({ responseUrlOrigins: [process.env.SLACK_HOOKS_URL], ...options });
    return {
      ...ours,
      SqsReceiver: class extends ours.SqsReceiver {
        constructor(options) {
          super(withDefaults(options));
        }
      },
      sqsHandler: (app, options) => ours.sqsHandler(app, withDefaults(options)),
    };
  }],
]);

const load = Module._load;
const known = new Map();
Module._load = function loadChanged(request, ...others) {
  const exported = load.call(this, request, ...others);
  const change = changed.get(request);
  if (change === undefined) return exported;
  if (!known.has(exported)) known.set(exported, change(exported));
  return known.get(exported);
};
