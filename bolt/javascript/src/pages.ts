/** Bolt's pages for installing an app, in a Lambda function of their own behind an HTTP API. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SlackIngressBoltError } from './errors';
import { installerOf, type OAuthOptions } from './installer';

/** What an HTTP API sends (payload format 2.0), as far as it is read here. The types of `@types/aws-lambda` fit. */
export interface HttpApiEvent {
  rawPath: string;
  rawQueryString: string;
  headers: Record<string, string | undefined>;
  cookies?: string[] | undefined;
  requestContext: { http: { method: string } };
}

/** What it takes for an answer. */
export interface HttpApiResult {
  statusCode: number;
  headers: Record<string, string>;
  cookies: string[];
  body: string;
}

export type PagesHandler = (event: HttpApiEvent) => Promise<HttpApiResult>;

/** Headers of one connection, which is not the browser's. */
const OF_A_CONNECTION = ['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date'];

/**
 * The handler for a Lambda function with the two pages by which people install the app: `GET /slack/install` and
 * `GET /slack/oauth_redirect`, or what `installerOptions` names. Bolt's `AwsLambdaReceiver` has no such pages; these are of its
 * `InstallProvider`.
 *
 * @param options the same as the app's behind the queue, with the same `installationStore`
 */
export function installPages(options: OAuthOptions): PagesHandler {
  const installer = installerOf(options);
  if (installer === undefined) throw new SlackIngressBoltError('the pages for installing need clientId, clientSecret and stateSecret');
  if (options.installationStore === undefined) {
    throw new SlackIngressBoltError('the pages for installing need an installationStore, where the app behind the queue finds what was installed');
  }
  const { installerOptions: more = {}, redirectUri, scopes = [] } = options;
  const { installPath = '/slack/install', redirectUriPath = '/slack/oauth_redirect' } = more;
  // Bolt's own receivers make it of the same.
  const url: NonNullable<Parameters<typeof installer.handleInstallPath>[3]> = {
    scopes,
    ...(more.userScopes === undefined ? {} : { userScopes: more.userScopes }),
    ...(more.metadata === undefined ? {} : { metadata: more.metadata }),
    ...(redirectUri === undefined ? {} : { redirectUri }),
  };
  return async (event) => {
    const method = event?.requestContext?.http?.method;
    if (method === undefined) throw new SlackIngressBoltError('this is no request of an HTTP API with payload format 2.0');
    if (method === 'GET' && event.rawPath === installPath) {
      return overHttp(event, (req, res) => installer.handleInstallPath(req, res, more.installPathOptions, url));
    }
    if (method === 'GET' && event.rawPath === redirectUriPath) {
      // Without a verified state there is none that has them in it.
      const known = more.stateVerification === false ? url : undefined;
      return overHttp(event, (req, res) => installer.handleCallback(req, res, more.callbackOptions, known));
    }
    return { statusCode: 404, headers: { 'content-type': 'text/plain' }, cookies: [], body: 'Not found' };
  };
}

/**
 * Has a request of the HTTP API answered by what takes requests and responses of Node.js. They are real ones, of a server on the
 * loopback interface that lives for this request, because Bolt and an app's own pages may use anything of theirs.
 */
async function overHttp(event: HttpApiEvent, page: (...of: Parameters<RequestListener>) => Promise<void>): Promise<HttpApiResult> {
  let answering: Promise<void> = Promise.resolve();
  const server = createServer((req, res) => {
    answering = page(req, res).catch(() => {
      // Bolt has logged why.
      if (!res.headersSent) res.writeHead(500, { 'content-type': 'text/plain' });
      res.end('This page could not be made.');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const headers = Object.fromEntries(
      Object.entries(event.headers).filter(([name, value]) => value !== undefined && !OF_A_CONNECTION.includes(name.toLowerCase())),
    );
    const sent = request({
      host: '127.0.0.1', port: (server.address() as AddressInfo).port, agent: false,
      path: event.rawQueryString === '' ? event.rawPath : `${event.rawPath}?${event.rawQueryString}`,
      headers: { ...headers, ...(event.cookies === undefined ? {} : { cookie: event.cookies.join('; ') }) },
    });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    // Bolt may go on behind its answer, and Lambda stops the process when the handler has ended.
    await answering;
    const { 'set-cookie': cookies = [], ...others } = response.headers;
    return {
      statusCode: response.statusCode ?? 500,
      headers: Object.fromEntries(
        Object.entries(others).filter(([name]) => !OF_A_CONNECTION.includes(name)).map(([name, value]) => [name, String(value)]),
      ),
      cookies,
      body: Buffer.concat(chunks).toString(),
    };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
