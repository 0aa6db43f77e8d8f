import { type RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as apigateway from 'aws-cdk-lib/aws-apigateway';
import * as apigatewayv2 from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

/** Slack posts to these; the function takes all of them, by what they carry. */
export const PATHS = ['/slack/events', '/slack/commands', '/slack/interactions'] as const;

/** What a line of the access log holds: nothing of the body, no signature. */
const ACCESS_LOG = {
  requestId: '$context.requestId',
  time: '$context.requestTime',
  ip: '$context.identity.sourceIp',
  userAgent: '$context.identity.userAgent',
  routeKey: '$context.routeKey',
  status: '$context.status',
  error: '$context.error.message',
  integrationError: '$context.integrationErrorMessage',
  integrationLatency: '$context.integrationLatency',
  responseLatency: '$context.responseLatency',
};

export interface IngressHttpApiProps {
  readonly function: lambda.IFunction;
  readonly throttle: apigatewayv2.ThrottleSettings;
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
}

/** An API Gateway HTTP API with nothing but Slack's routes. */
export class IngressHttpApi extends Construct {
  /** `https://…`, without a slash at the end. */
  readonly url: string;

  constructor(scope: Construct, id: string, props: IngressHttpApiProps) {
    super(scope, id);
    const accessLog = new logs.LogGroup(this, 'AccessLog', {
      retention: props.logRetention,
      removalPolicy: props.removalPolicy,
    });
    const api = new apigatewayv2.HttpApi(this, 'Resource', {
      apiName: Stack.of(this).stackName,
      description: 'slack-ingress: what Slack posts',
      createDefaultStage: false,
      // Said outright: an open route is meant.
      defaultAuthorizer: new apigatewayv2.HttpNoneAuthorizer(),
    });
    new apigatewayv2.HttpStage(this, 'Stage', {
      httpApi: api,
      autoDeploy: true,
      throttle: props.throttle,
      detailedMetricsEnabled: true,
      accessLogSettings: {
        destination: new apigatewayv2.LogGroupLogDestination(accessLog),
        format: apigateway.AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
    });
    const integration = new HttpLambdaIntegration('Function', props.function);
    for (const path of PATHS) {
      api.addRoutes({ path, methods: [apigatewayv2.HttpMethod.POST], integration });
    }
    // The one stage is `$default`, whose path is empty.
    this.url = api.apiEndpoint;

    Validations.of(this).acknowledge({
      id: 'AwsSolutions-APIG4',
      reason: "Slack cannot sign for an authorizer of AWS's. The function verifies Slack's own signature before it acts on the body.",
    });
  }
}
