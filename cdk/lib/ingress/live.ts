// A published version of the ingress, the alias `live` that requests go to, and how the alias moves to a new version.

import { Duration, Validations } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as codedeploy from 'aws-cdk-lib/aws-codedeploy';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { alarmFactory } from '../common/alarm';
import { KEPT } from '../common/removal';

/** The name of the alias. */
export const LIVE = 'live';

/** How requests get to a new version. */
export type Gradual =
  | 'none'
  | 'all-at-once'
  | 'canary10percent5minutes'
  | 'canary10percent10minutes'
  | 'canary10percent15minutes'
  | 'canary10percent30minutes'
  | 'linear10percentevery1minute'
  | 'linear10percentevery2minutes'
  | 'linear10percentevery3minutes'
  | 'linear10percentevery10minutes';

type Way = Exclude<Gradual, 'none' | 'all-at-once'>;

/** CodeDeploy's own name for each of its ways. */
const WAYS: Record<Way, codedeploy.ILambdaDeploymentConfig> = {
  canary10percent5minutes: codedeploy.LambdaDeploymentConfig.CANARY_10PERCENT_5MINUTES,
  canary10percent10minutes: codedeploy.LambdaDeploymentConfig.CANARY_10PERCENT_10MINUTES,
  canary10percent15minutes: codedeploy.LambdaDeploymentConfig.CANARY_10PERCENT_15MINUTES,
  canary10percent30minutes: codedeploy.LambdaDeploymentConfig.CANARY_10PERCENT_30MINUTES,
  linear10percentevery1minute: codedeploy.LambdaDeploymentConfig.LINEAR_10PERCENT_EVERY_1MINUTE,
  linear10percentevery2minutes: codedeploy.LambdaDeploymentConfig.LINEAR_10PERCENT_EVERY_2MINUTES,
  linear10percentevery3minutes: codedeploy.LambdaDeploymentConfig.LINEAR_10PERCENT_EVERY_3MINUTES,
  linear10percentevery10minutes: codedeploy.LambdaDeploymentConfig.LINEAR_10PERCENT_EVERY_10MINUTES,
};

/** The values of `gradualDeployment`. */
export const GRADUAL: readonly Gradual[] = ['none', 'all-at-once', ...(Object.keys(WAYS) as Way[])];

/**
 * The version that a function has now, as the alias `live`. The versions before it stay, so that the alias can be moved back by
 * hand. The alias must be what the front door calls.
 */
export class Live extends Construct {
  readonly alias: lambda.Alias;
  private readonly version: lambda.Version;

  constructor(
    scope: Construct,
    id: string,
    private readonly fn: lambda.Function,
    /**
     * What replaces a resource that the function's variables name. The variables only refer to it, and would be the same text in the
     * template: without this, requests would go to a version that still has the old one.
     */
    replaces: string,
  ) {
    super(scope, id);
    fn.invalidateVersionBasedOn(replaces);
    this.version = fn.currentVersion;
    // CloudFormation would delete the version before as soon as the alias has left it. A version whose deployment went back is deleted:
    // Lambda publishes no second one of the same code, so that code could not be deployed once more.
    this.version.applyRemovalPolicy(KEPT);
    this.alias = new lambda.Alias(this, 'Alias', {
      aliasName: LIVE,
      version: this.version,
      description: 'slack-ingress: the version that requests go to',
    });
  }

  /**
   * Has CodeDeploy move the alias, a part of the requests at a time, and move it back when one of these alarms is raised meanwhile
   * or the new version fails.
   */
  moveGradually(way: Way, alarms: cloudwatch.Alarm[], topic?: sns.ITopic): void {
    const ofVersion: cloudwatch.Alarm[] = [];
    alarmFactory(this, ofVersion, topic)(
      'NewVersionErrors',
      'the version of the ingress that was deployed last crashes, times out or does not start',
      // The other alarms look at all versions together, so a tenth that fails is a tenth in them. Only Lambda tells the versions
      // apart, and only for what it counts itself.
      new cloudwatch.Metric({
        namespace: 'AWS/Lambda',
        metricName: 'Errors',
        dimensionsMap: {
          FunctionName: this.fn.functionName,
          Resource: `${this.fn.functionName}:${LIVE}`,
          ExecutedVersion: this.version.version,
        },
        statistic: 'Sum',
        period: Duration.minutes(1),
      }),
      0,
    );
    const group = new codedeploy.LambdaDeploymentGroup(this, 'Deployment', {
      alias: this.alias,
      deploymentConfig: WAYS[way],
      alarms: [...alarms, ...ofVersion],
    });
    // The alarm must look at the new version before the first request gets to it.
    for (const alarm of ofVersion) this.alias.node.addDependency(alarm);
    Validations.of(group).acknowledge({
      id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]',
      reason: "AWS's own policy for what CodeDeploy does to an alias. Only CodeDeploy may assume the role.",
    });
  }
}
