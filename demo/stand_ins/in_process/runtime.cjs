// Plays Lambda's runtime for Node.js: `node runtime.cjs folder/module.handler`. Amazon's own client for the Runtime API wants a
// C++ tool chain. Lambda's runtime also takes handlers with a callback, and ES modules; this one takes promises and CommonJS.
const { Agent, request } = require('node:http');
const { resolve } = require('node:path');

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');

function call(method, path, body) {
  return new Promise((done, fail) => {
    const sent = request({ agent, host, port, method, path: `/2018-06-01/runtime/${path}` }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => done({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
    });
    sent.on('error', fail);
    sent.end(body);
  });
}

const told = (error) => JSON.stringify({ errorType: error?.name, errorMessage: String(error), stackTrace: [error?.stack] });

async function main() {
  const [, file, name] = /^(.*)\.([^.]+)$/.exec(process.argv[2]);
  let handler;
  try {
    handler = require(resolve(file))[name];
    if (typeof handler !== 'function') throw new Error(`${process.argv[2]} is no function`);
    if (handler.length > 2) throw new Error('handlers with a callback are not played');
  } catch (error) {
    console.error(error);
    await call('POST', 'init/error', told(error));
    process.exit(1);
  }
  for (;;) {
    const { headers, body } = await call('GET', 'invocation/next');
    const id = headers['lambda-runtime-aws-request-id'];
    const context = {
      awsRequestId: id,
      functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
      invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
      getRemainingTimeInMillis: () => Number(headers['lambda-runtime-deadline-ms']) - Date.now(),
    };
    try {
      const answer = await handler(JSON.parse(body), context);
      await call('POST', `invocation/${id}/response`, JSON.stringify(answer ?? null));
    } catch (error) {
      console.error(error);
      await call('POST', `invocation/${id}/error`, told(error));
    }
  }
}

main();
