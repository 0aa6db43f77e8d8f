// What happens to what holds data when it is removed from a stack, or its stack is deleted.

import { RemovalPolicy } from 'aws-cdk-lib';

/**
 * It stays in the account, and CloudFormation no longer knows it. If the deployment that creates it fails, it is deleted:
 * nobody has put anything into it then.
 */
export const KEPT = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE;
