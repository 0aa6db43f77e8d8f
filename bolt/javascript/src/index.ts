/**
 * Runs a Bolt for JavaScript app behind the SQS queue of slack-ingress.
 *
 * Read `receiver.ts` first, then `dispatch.ts`: what is done with one message.
 */
export { SlackIngressBoltError } from './errors';
export type { Installer, OAuthOptions } from './installer';
export type { Outcome } from './log';
export { type HttpApiEvent, type HttpApiResult, installPages, type PagesHandler } from './pages';
export { SqsReceiver, sqsHandler, type StartOptions } from './receiver';
export type { SqsReceiverOptions } from './settings';
export type { LambdaContext, SqsAttribute, SqsBatchResponse, SqsEvent, SqsHandler, SqsRecord } from './sqs';
