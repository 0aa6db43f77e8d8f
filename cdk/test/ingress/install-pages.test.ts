// Bolt's pages for installing: two more routes of the HTTP API, which lead to another function.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack, Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { Construct } from 'constructs';
import { PATHS } from '../../lib/ingress/http-api';
import { SlackIngress, type SlackIngressProps } from '../../lib/ingress/slack-ingress';
import { REPOSITORY, type Resource, functions, ingressIn, newApp, only, synthesized } from '../support';

const ARN = 'arn:aws:lambda:us-east-1:111122223333:function:pages';
/** A function of this account that another stack has. */
const handlerOf = (scope: Construct) =>
  lambda.Function.fromFunctionAttributes(scope, 'Pages', { functionArn: ARN, sameEnvironment: true });

const env = { region: 'eu-central-1', account: '111122223333' };

function withPages(props: Partial<SlackIngressProps> = {}) {
  const app = newApp();
  const stack = new Stack(app, 'Stack', { env });
  return { app, stack, ingress: new SlackIngress(stack, 'Ingress', { ...functions(), installPages: { handler: handlerOf(stack) }, ...props }) };
}

const { stack, ingress } = withPages();
const template = Template.fromStack(stack);
const api = only(template, 'AWS::ApiGatewayV2::Api').id;
const routes = Object.values(template.findResources('AWS::ApiGatewayV2::Route')).map((it) => it.Properties);

/** What a route's requests go to. */
function leadsTo(route: Resource['Properties']): unknown {
  const id: string = route.Target['Fn::Join'][1][1].Ref;
  const integration = template.findResources('AWS::ApiGatewayV2::Integration')[id]!.Properties;
  assert.equal(integration.PayloadFormatVersion, '2.0');
  return integration.IntegrationUri;
}

test("the API has Slack's routes and two GET routes more, which lead to the pages' function", () => {
  const own = { 'Fn::GetAtt': [ingressIn(template).id, 'Arn'] };
  assert.deepEqual(
    routes.map((it) => [it.RouteKey, it.AuthorizationType, leadsTo(it)]),
    [
      ...PATHS.map((path) => [`POST ${path}`, 'NONE', own]),
      ['GET /slack/install', 'NONE', ARN],
      ['GET /slack/oauth_redirect', 'NONE', ARN],
    ],
  );
});

test("the API may invoke the pages' function, for these two routes alone", () => {
  const permissions = Object.values(template.findResources('AWS::Lambda::Permission')).map((it) => it.Properties);
  const ofPages = permissions.filter((it) => it.FunctionName === ARN);
  assert.deepEqual(
    ofPages.map((it) => [it.Action, it.Principal, it.SourceArn['Fn::Join'][1].slice(-2)]),
    ['/*/*/slack/install', '/*/*/slack/oauth_redirect'].map((path) => [
      'lambda:InvokeFunction',
      'apigateway.amazonaws.com',
      [{ Ref: api }, path],
    ]),
  );
});

test('the ingress has no right to the pages, and nothing else is different', () => {
  const added = ['AWS::ApiGatewayV2::Integration', 'AWS::ApiGatewayV2::Route', 'AWS::Lambda::Permission'];
  const others = (of: Template) =>
    Object.entries(of.toJSON().Resources as Record<string, any>).filter(
      ([id, it]) => !added.includes(it.Type) && !id.includes('ApiErrorsFilter'),
    );
  const plain = new Stack(newApp(), 'Stack', { env });
  new SlackIngress(plain, 'Ingress', functions());
  assert.deepEqual(others(template), others(Template.fromStack(plain)));
});

test('the construct says where the pages are, and with two regions they are at the common host', () => {
  const endpoint = { 'Fn::GetAtt': [api, 'ApiEndpoint'] };
  assert.deepEqual(stack.resolve([ingress.installUrl, ingress.oauthRedirectUrl]), [
    { 'Fn::Join': ['', [endpoint, '/slack/install']] },
    { 'Fn::Join': ['', [endpoint, '/slack/oauth_redirect']] },
  ]);
  const two = withPages({ twoRegions: { domainName: 'slack.example.com', hostedZoneId: 'Z1', activeRegion: 'eu-west-1' } });
  assert.deepEqual(
    [two.ingress.installUrl, two.ingress.oauthRedirectUrl],
    ['https://slack.example.com/slack/install', 'https://slack.example.com/slack/oauth_redirect'],
  );
  const none = new SlackIngress(new Stack(newApp(), 'None'), 'Ingress', functions());
  assert.deepEqual([none.installUrl, none.oauthRedirectUrl], [undefined, undefined]);
});

test('a page that does not come is no request of Slack that did not get through', () => {
  const errors = (of: Template) =>
    only(of, 'AWS::Logs::MetricFilter', (it) => it.Properties.MetricTransformations[0].MetricName === 'ApiErrors').Properties.FilterPattern;
  assert.match(errors(template), / && \(\$\.routeKey != "GET \*"\) && /);
  assert.doesNotMatch(errors(synthesized()), /routeKey/);
  const format = only(template, 'AWS::ApiGatewayV2::Stage').Properties.AccessLogSettings.Format;
  assert.equal(JSON.parse(format).routeKey, '$context.routeKey');
});

test('a Function URL has no routes, so the pages are refused', () => {
  assert.throws(
    () => synthesized((scope) => ({ frontDoor: 'function-url', installPages: { handler: handlerOf(scope) } })),
    /a Function URL has no routes, and the pages for installing need two/,
  );
});

test('cdk-nag has no finding that is not acknowledged', () => {
  const { app } = withPages();
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  app.synth();
});

test('template.yaml has no pages, as docs/deploy.md says', () => {
  const sam = readFileSync(join(REPOSITORY, 'template.yaml'), 'utf8');
  assert.doesNotMatch(sam, /slack\/install|oauth_redirect/);
  const [, page] = readFileSync(join(REPOSITORY, 'docs/deploy.md'), 'utf8').split('## With SAM');
  assert.match(page!, /`installPages` is a prop of the construct alone/);
});
