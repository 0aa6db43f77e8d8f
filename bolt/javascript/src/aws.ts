import { SlackIngressBoltError } from './errors';

/**
 * A client of the AWS SDK, loaded when it is needed. Lambda's runtime carries the SDK, so it is an optional peer dependency:
 * as a dependency it would make every zip larger by megabytes.
 */
export function sdk(name: '@aws-sdk/client-dynamodb' | '@aws-sdk/client-sqs'): unknown {
  try {
    // Not `require(name)`: a bundler has to see the names.
    return name === '@aws-sdk/client-sqs' ? require('@aws-sdk/client-sqs') : require('@aws-sdk/client-dynamodb');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    throw new SlackIngressBoltError(`${name} is not there. Outside of Lambda, install it: npm install ${name}`, { cause: error });
  }
}

/**
 * The time-outs of a client. Of a request that takes longer the SDK only warns, unless it is told to throw; older versions of it
 * do not know that, and end a request by the time-out of a socket on which nothing comes.
 */
export const answersWithin = (milliseconds: number) => ({
  connectionTimeout: 1_000, requestTimeout: milliseconds, socketTimeout: milliseconds, throwOnRequestTimeout: true,
});
