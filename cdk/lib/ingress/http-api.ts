// The HTTP API that Slack posts to.

import { type RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as apigateway from 'aws-cdk-lib/aws-apigateway';
import * as apigatewayv2 from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { type FrontDoorMetrics, METRIC_FIELDS, httpApiMetrics } from './front-door';

/**
 * The paths that Slack posts to. The function tells events, commands and interactions apart by the body, not by the
 * path.
 */
export const PATHS = ['/slack/events', '/slack/commands', '/slack/interactions'] as const;

/** The paths of Bolt's two pages for installing. They are the defaults of Bolt for JavaScript and for Python. */
export const INSTALL_PATHS = { install: '/slack/install', redirect: '/slack/oauth_redirect' } as const;

/** The pages by which people install an app in their workspaces (OAuth). */
export interface InstallPagesProps {
  /**
   * The function that answers with the pages: Bolt's own, with the installation store of the app behind the queue. It gets what an
   * HTTP API sends (payload format 2.0).
   */
  readonly handler: lambda.IFunction;
}

/** The fields of a line in the access log. The body and the signature are not among them. */
const ACCESS_LOG = {
  requestId: '$context.requestId',
  time: '$context.requestTime',
  ip: '$context.identity.sourceIp',
  userAgent: '$context.identity.userAgent',
  routeKey: '$context.routeKey',
  error: '$context.error.message',
  ...METRIC_FIELDS,
  integrationLatency: '$context.integrationLatency',
  responseLatency: '$context.responseLatency',
};

export interface IngressHttpApiProps {
  readonly function: lambda.IFunction;
  readonly throttle: apigatewayv2.ThrottleSettings;
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
  /** @default only Slack's routes */
  readonly installPages?: InstallPagesProps;
  /** The key that the access log is encrypted with. @default a key of AWS's */
  readonly encryptionKey?: kms.IKey;
}

/** An API Gateway HTTP API whose only routes are Slack's and, if they are wanted, those of the pages for installing. */
export class IngressHttpApi extends Construct {
  /** The API's URL, `https://…`, without a slash at the end. */
  readonly url: string;
  readonly api: apigatewayv2.HttpApi;
  readonly stage: apigatewayv2.HttpStage;
  readonly metrics: FrontDoorMetrics;

  constructor(scope: Construct, id: string, props: IngressHttpApiProps) {
    super(scope, id);
    const accessLog = new logs.LogGroup(this, 'AccessLog', {
      retention: props.logRetention,
      removalPolicy: props.removalPolicy,
      encryptionKey: props.encryptionKey,
    });
    const api = (this.api = new apigatewayv2.HttpApi(this, 'Resource', {
      apiName: Stack.of(this).stackName,
      description: 'slack-ingress: what Slack posts',
      createDefaultStage: false,
      // The routes are open on purpose: the function verifies Slack's signature. The pages are for whoever has a browser.
      defaultAuthorizer: new apigatewayv2.HttpNoneAuthorizer(),
    }));
    this.stage = new apigatewayv2.HttpStage(this, 'Stage', {
      httpApi: api,
      autoDeploy: true,
      throttle: props.throttle,
      // They would be metrics of each route, which cost extra. Whatever is drawn or watched is of the whole API, and free.
      detailedMetricsEnabled: false,
      accessLogSettings: {
        destination: new apigatewayv2.LogGroupLogDestination(accessLog),
        format: apigateway.AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
    });
    const integration = new HttpLambdaIntegration('Function', props.function);
    for (const path of PATHS) {
      api.addRoutes({ path, methods: [apigatewayv2.HttpMethod.POST], integration });
    }
    if (props.installPages) {
      const pages = new HttpLambdaIntegration('InstallPages', props.installPages.handler);
      for (const path of Object.values(INSTALL_PATHS)) {
        api.addRoutes({ path, methods: [apigatewayv2.HttpMethod.GET], integration: pages });
      }
    }
    // The only stage is `$default`. Its path is empty, so the API's endpoint is the whole URL.
    this.url = api.apiEndpoint;
    this.metrics = httpApiMetrics(this, api, accessLog, props.installPages !== undefined);

    Validations.of(this).acknowledge({
      id: 'AwsSolutions-APIG4',
      reason:
        "Slack cannot sign for AWS's authorizers. The function verifies Slack's own signature before it acts on the body." +
        (props.installPages ? ' The pages for installing are for everybody, and Bolt verifies the state that it gave out.' : ''),
    });
  }
}
