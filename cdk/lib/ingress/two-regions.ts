// Two regions, of which one receives what Slack sends: the host that both answer to, the switch between them, and the table by
// which a consumer in one region knows what was done in the other. docs/two-regions.md says what that promises, and what not.

import { Duration, type RemovalPolicy, Stack, Token } from 'aws-cdk-lib';
import * as apigatewayv2 from 'aws-cdk-lib/aws-apigatewayv2';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as route53 from 'aws-cdk-lib/aws-route53';
import { Construct } from 'constructs';

/** A host in lower case, as Route 53 and API Gateway have it. */
export const HOST = /^(?=.{4,200}$)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/;

/**
 * The sets of regions in which DynamoDB has tables that are strongly consistent over regions. Such a table is in three regions of
 * one set (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html).
 */
const REGION_SETS = [
  ['us-east-1', 'us-east-2', 'us-west-2'],
  ['eu-west-1', 'eu-central-1', 'eu-west-3', 'eu-west-2'],
  ['ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3'],
];

/** The metric by which a person says which region receives what Slack sends: 1 for the standby, 0 for the active region. */
const SWITCH = { namespace: 'SlackIngress', metricName: 'UseStandby' };

/** One of two regions, and where the other one is. */
export interface TwoRegionsProps {
  /** The host that Slack posts to, the same in both regions, such as `slack.example.com`. */
  readonly domainName: string;
  /** The id of the public hosted zone in Route 53 that the host is in. */
  readonly hostedZoneId: string;
  /**
   * The region of the standby. It makes this stack the active one. The standby must have been deployed before.
   * @default none: `activeRegion` is given
   */
  readonly standbyRegion?: string;
  /**
   * The active region. It makes this stack the standby.
   * @default none: `standbyRegion` is given
   */
  readonly activeRegion?: string;
}

export interface TwoRegionsParts extends TwoRegionsProps {
  readonly api: apigatewayv2.IHttpApi;
  readonly stage: apigatewayv2.IHttpStage;
  readonly removalPolicy: RemovalPolicy;
}

/** What one region needs beside its ingress to be one of two. The standby has what is needed when the active region is gone. */
export class TwoRegions extends Construct {
  /** What Slack posts to, `https://…`, without a slash at the end. */
  readonly url: string;
  /** The table in which consumers of both regions keep what they have done. */
  readonly guardTable: dynamodb.ITable;
  /** The commands that switch to the standby and back; absent in the active region. */
  readonly switchCommands?: { readonly toStandby: string; readonly back: string };

  constructor(scope: Construct, id: string, props: TwoRegionsParts) {
    super(scope, id);
    const { domainName, hostedZoneId } = props;
    const { region } = Stack.of(this);
    const witness = witnessOf(region, props);
    this.url = `https://${domainName}`;

    // ── the host ───────────────────────────────────────────────────────────────────────────────────────
    const zone = route53.PublicHostedZone.fromPublicHostedZoneId(this, 'Zone', hostedZoneId);
    const certificate = new acm.Certificate(this, 'Certificate', {
      domainName,
      // Both regions have a certificate of their own for the host. ACM accepts the same DNS record for both.
      validation: acm.CertificateValidation.fromDns(zone),
    });
    const domain = new apigatewayv2.DomainName(this, 'Domain', { domainName, certificate });
    new apigatewayv2.ApiMapping(this, 'Mapping', { api: props.api, domainName: domain, stage: props.stage });

    // ── the switch ─────────────────────────────────────────────────────────────────────────────────────
    const isStandby = props.activeRegion !== undefined;
    // The health check finds the alarm by this name, in the other region.
    const alarmName = `slack-ingress-standby-${domainName}`;
    if (isStandby) {
      new cloudwatch.Alarm(this, 'Switch', {
        alarmName,
        alarmDescription: `A person has switched ${domainName} to this region, the standby (docs/two-regions.md)`,
        metric: new cloudwatch.Metric({
          ...SWITCH,
          dimensionsMap: { Domain: domainName },
          statistic: 'Maximum',
          period: Duration.minutes(1),
        }),
        threshold: 1,
        comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluationPeriods: 1,
        // Whoever switches sends one value. It holds until another one is sent.
        treatMissingData: cloudwatch.TreatMissingData.IGNORE,
      });
      const command = (value: number) =>
        `aws cloudwatch put-metric-data --region ${region} --namespace ${SWITCH.namespace} --metric-name ${SWITCH.metricName} ` +
        `--dimensions Domain=${domainName} --value ${value}`;
      this.switchCommands = { toStandby: command(1), back: command(0) };
    }
    const healthCheck = isStandby
      ? undefined
      : new route53.CfnHealthCheck(this, 'HealthCheck', {
          healthCheckConfig: {
            type: 'CLOUDWATCH_METRIC',
            alarmIdentifier: { name: alarmName, region: props.standbyRegion! },
            // The same here: the last value holds.
            insufficientDataHealthStatus: 'LastKnownStatus',
          },
        });
    new route53.CfnRecordSet(this, 'Record', {
      name: `${domainName}.`,
      hostedZoneId,
      type: 'A',
      aliasTarget: {
        dnsName: domain.regionalDomainName,
        hostedZoneId: domain.regionalHostedZoneId,
        // Of the active region's record: if API Gateway as a whole is down there, Route 53 switches by itself. Slack could reach
        // nobody then. The standby's record counts as healthy always, or Route 53 would switch back.
        evaluateTargetHealth: !isStandby,
      },
      failover: isStandby ? 'SECONDARY' : 'PRIMARY',
      setIdentifier: isStandby ? 'standby' : 'active',
      healthCheckId: healthCheck?.attrHealthCheckId,
    });

    // ── the guard ──────────────────────────────────────────────────────────────────────────────────────
    const tableName = `slack-ingress-guard.${domainName}`;
    if (isStandby) {
      new dynamodb.TableV2(this, 'Guard', {
        tableName,
        partitionKey: { name: 'event_id', type: dynamodb.AttributeType.STRING },
        multiRegionConsistency: dynamodb.MultiRegionConsistency.STRONG,
        replicas: [{ region: props.activeRegion! }],
        witnessRegion: witness,
        billing: dynamodb.Billing.onDemand(),
        removalPolicy: props.removalPolicy,
      });
    }
    // By its name in both regions: an agent's stack that imported it from this one would keep the settings from ever being left out.
    this.guardTable = dynamodb.Table.fromTableName(this, 'GuardByName', tableName);
  }
}

/**
 * Returns the third region of the guard's table, which holds a copy and serves nobody. It is always the same for two regions.
 *
 * @throws Error if the two regions cannot be a pair
 */
function witnessOf(own: string, props: TwoRegionsProps): string {
  const { domainName, standbyRegion, activeRegion } = props;
  const other = standbyRegion ?? activeRegion;
  check(HOST.test(domainName), `domainName must be a host such as slack.example.com, and is: ${domainName}`);
  check(standbyRegion === undefined || activeRegion === undefined, 'standbyRegion and activeRegion cannot both be given: a stack is the active one or the standby');
  if (other === undefined) throw new Error('SlackIngress: twoRegions needs standbyRegion, in the active region, or activeRegion, in the standby');
  check(!Token.isUnresolved(own), 'with two regions the stack must know its own: set env.region, or AWS_REGION for the CDK');
  check(other !== own, `${standbyRegion === undefined ? 'activeRegion' : 'standbyRegion'} is ${own}, the region of this stack itself`);
  const set = REGION_SETS.find((it) => it.includes(own));
  const witness = set?.includes(other) ? set.find((it) => it !== own && it !== other) : undefined;
  if (witness === undefined) {
    const sets = REGION_SETS.map((it) => it.join(', ')).join('; or ');
    throw new Error(`SlackIngress: ${own} and ${other} cannot share a strongly consistent table. Both regions must be of one of these sets: ${sets}`);
  }
  return witness;
}

function check(holds: boolean, problem: string): void {
  if (!holds) throw new Error(`SlackIngress: ${problem}`);
}
