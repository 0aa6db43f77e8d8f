// Whether X-Ray traces the functions, for every function of the stacks.

import { Validations } from 'aws-cdk-lib';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';

/**
 * `active`: Lambda decides which invocations X-Ray records, and the function may send its segments. `off`: the function sends
 * nothing, and has no right to. Lambda gives each invocation a trace id all the same, and the log lines have it.
 */
export type Tracing = 'active' | 'off';

/** Returns the tracing of a function with this role, which gets the rights that it needs from the function. */
export function tracingOf(role: iam.Role, tracing: Tracing = 'active'): lambda.Tracing {
  if (tracing === 'off') return lambda.Tracing.DISABLED;
  Validations.of(role).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'X-Ray: PutTraceSegments and PutTelemetryRecords cannot be limited to resources.',
  });
  return lambda.Tracing.ACTIVE;
}
