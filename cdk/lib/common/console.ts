// The address of CloudWatch's console, which has a name of its own in each partition.

import { Aws, CfnCondition, Fn, Stack } from 'aws-cdk-lib';

/** The domains behind `console.` in the partitions that are not AWS's usual one. */
const DOMAINS = { China: ['aws-cn', 'amazonaws.cn'], GovCloud: ['aws-us-gov', 'amazonaws-us-gov.com'] } as const;

/**
 * Returns the address of a dashboard of this stack. A stack may be synthesised before anybody knows its region, so CloudFormation
 * chooses the domain when it deploys. It is no mapping, which would let a deployment fail in a partition that is not in it.
 */
export function dashboardUrl(stack: Stack, dashboardName: string): string {
  const domain = Object.entries(DOMAINS).reduce<string>((otherwise, [name, [partition, its]]) => {
    const id = `IsIn${name}`;
    stack.node.tryFindChild(id) ?? new CfnCondition(stack, id, { expression: Fn.conditionEquals(Aws.PARTITION, partition) });
    return Fn.conditionIf(id, its, otherwise).toString();
  }, 'aws.amazon.com');
  const { region } = stack;
  return `https://${region}.console.${domain}/cloudwatch/home?region=${region}#dashboards/dashboard/${dashboardName}`;
}
