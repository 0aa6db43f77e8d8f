import { bolt, SqsReceiver } from './consumer.mjs';

export const quiet = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, getLevel: () => 'error', setName() {} };

/** An app behind our receiver, its Lambda handler, and the lines of the log. */
export function behindTheQueue(slack, { receiver: receiverOptions = {}, app: appOptions = {} } = {}) {
  const lines = [];
  const receiver = new SqsReceiver({
    metrics: false, responseUrlOrigins: [slack.url], writeLog: (line) => lines.push(JSON.parse(line)), ...receiverOptions,
  });
  const app = new bolt.App({
    ...(receiver.installer || appOptions.authorize ? {} : { token: 'xoxb-one' }),
    clientOptions: slack.clientOptions, logger: quiet, receiver, ...appOptions,
  });
  const handle = receiver.toHandler();
  return {
    app, receiver, lines, handle,
    /** Runs records as one batch, and returns the ids of those that stay on the queue. */
    run: async (...records) => (await handle({ Records: records }, invocation())).batchItemFailures.map((failure) => failure.itemIdentifier),
    outcomes: () => lines.filter((line) => line.outcome).map((line) => line.outcome),
    warnings: () => lines.filter((line) => line.level === 'WARN' && line.message),
  };
}

export const invocation = (milliseconds = 60_000) => {
  const end = Date.now() + milliseconds;
  return { getRemainingTimeInMillis: () => end - Date.now() };
};
