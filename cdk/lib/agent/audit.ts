// The audit trail: its table, what agent-settle may do with it and is told of it, and its export to S3 every day.

import { CfnDeletionPolicy, type CfnElement, type CfnResource, Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import { Construct } from 'constructs';
import { KEY_USE, throughService } from '../common/key';
import type { Bounds } from '../common/limits';
import { whole } from './limits';
import type { AuditTrail } from './props';

/** For how many days an entry or an export may be kept (src/config/settle.rs). */
export const AUDIT_DAYS: Bounds = { least: 1, most: 3653 };

/** A rule of what is left out (src/work/audit/redact.rs, which says more about it). */
const RULE = /^([A-Za-z0-9_-]+\.)?(\*|[^\s,"'{}[\]/.*]+)$/;

/** How many rules there may be at most (src/work/audit/redact.rs). */
const MOST_RULES = 200;

/** The index by which a person's entries are found; `slack-dev audit` asks for it. */
export const BY_PERSON = 'by_person';

/** Where in the bucket the exports are. */
const PREFIX = 'audit';

export interface AgentAuditProps extends AuditTrail {
  /** What happens to the table and the bucket when they are removed from the stack. */
  readonly removalPolicy: RemovalPolicy;
  /** The key that both are encrypted with. @default keys of AWS's */
  readonly encryptionKey?: kms.IKey;
}

/** A table for the audit trail, and a bucket with its exports. */
export class AgentAudit extends Construct {
  readonly table: dynamodb.Table;
  /** Where the exports are; absent if nothing is exported. */
  readonly bucket?: s3.Bucket;
  /** The group of the schedule that exports; absent likewise. */
  readonly exportSchedules?: scheduler.IScheduleGroup;
  /** What agent-settle is told. */
  readonly environment: Record<string, string>;

  constructor(scope: Construct, id: string, props: AgentAuditProps) {
    super(scope, id);
    const { removalPolicy, encryptionKey, redact = [], texts = true, exportDays } = props;
    const wrong = redact.find((rule) => !RULE.test(rule));
    if (wrong !== undefined) {
      throw new Error(`AgentAudit: redact must be names of arguments, such as email or trello___create_card.desc, and one is: ${wrong}`);
    }
    const lower = redact.map((rule) => rule.toLowerCase());
    const twice = lower.find((rule, at) => lower.indexOf(rule) < at);
    if (twice !== undefined) throw new Error(`AgentAudit: redact must name each argument once, whatever its case, and has twice: ${twice}`);
    if (redact.length > MOST_RULES) throw new Error(`AgentAudit: redact must have at most ${MOST_RULES} rules, and has ${redact.length}`);
    const days = whole('AgentAudit: days', props.days, AUDIT_DAYS);
    whole('AgentAudit: exportDays', exportDays, AUDIT_DAYS);
    this.table = new dynamodb.Table(this, 'Table', {
      partitionKey: { name: 'question_id', type: dynamodb.AttributeType.STRING },
      sortKey: { name: 'act', type: dynamodb.AttributeType.STRING },
      timeToLiveAttribute: 'expires_at',
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      encryption: encryptionKey ? dynamodb.TableEncryption.CUSTOMER_MANAGED : dynamodb.TableEncryption.DEFAULT,
      encryptionKey,
      // It is what an export is made of, and what is left if somebody deletes or overwrites entries.
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      removalPolicy,
    });
    this.table.addGlobalSecondaryIndex({
      indexName: BY_PERSON,
      partitionKey: { name: 'person', type: dynamodb.AttributeType.STRING },
      sortKey: { name: 'at', type: dynamodb.AttributeType.NUMBER },
      // What is written about a person is not kept in two places.
      projectionType: dynamodb.ProjectionType.KEYS_ONLY,
    });
    keepWhenReplaced(this.table);
    this.environment = {
      AUDIT_TABLE: this.table.tableName,
      ...(days === undefined ? {} : { AUDIT_DAYS: days }),
      ...(redact.length === 0 ? {} : { AUDIT_REDACT: redact.join(',') }),
      AUDIT_TEXTS: texts ? 'on' : 'off',
    };
    if (exportDays !== undefined) [this.bucket, this.exportSchedules] = this.exports(exportDays, props);
  }

  /** Lets a function add entries. It can neither read nor change nor delete any. */
  grantAdd(grant: (actions: string[], resources: string[]) => void): void {
    grant(['dynamodb:PutItem'], [this.table.tableArn]);
  }

  /** A bucket, and a schedule by which DynamoDB exports the whole table into it every night. No code of ours runs for it. */
  private exports(days: number, { removalPolicy, encryptionKey }: AgentAuditProps): [s3.Bucket, scheduler.IScheduleGroup] {
    const bucket = new s3.Bucket(this, 'Exports', {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      enforceSSL: true,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      encryption: encryptionKey ? s3.BucketEncryption.KMS : s3.BucketEncryption.S3_MANAGED,
      encryptionKey,
      bucketKeyEnabled: encryptionKey ? true : undefined,
      lifecycleRules: [{ expiration: Duration.days(days), abortIncompleteMultipartUploadAfter: Duration.days(1) }],
      removalPolicy,
    });
    keepWhenReplaced(bucket);
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason: 'Who reads the exports is known to CloudTrail, if its data events are on: docs/audit.md says how.',
    });
    const { partition, account } = Stack.of(this);
    // EventBridge Scheduler sends metrics of a group, and none of a schedule.
    const group = new scheduler.ScheduleGroup(this, 'ExportSchedules', { removalPolicy: RemovalPolicy.DESTROY });
    const role = new iam.Role(this, 'ExportRole', {
      description: 'slack-ingress: what the export of the audit trail may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('scheduler.amazonaws.com', {
        // Of its schedules, that of this group alone: nobody else's can have the service act by this role.
        conditions: { StringEquals: { 'aws:SourceAccount': account, 'aws:SourceArn': group.scheduleGroupArn } },
      }),
    });
    const grant = (actions: string[], resources: string[]) => role.addToPolicy(new iam.PolicyStatement({ actions, resources }));
    grant(['dynamodb:ExportTableToPointInTime'], [this.table.tableArn]);
    grant(['s3:AbortMultipartUpload', 's3:PutObject', 's3:PutObjectAcl'], [bucket.arnForObjects(`${PREFIX}/*`)]);
    const bucketId = Stack.of(this).getLogicalId(bucket.node.defaultChild as CfnElement);
    Validations.of(role).acknowledge({
      id: `AwsSolutions-IAM5[Resource::<${bucketId}.Arn>/${PREFIX}/*]`,
      reason: 'DynamoDB chooses the names of the objects of an export; the bucket is of this stack alone.',
    });
    if (encryptionKey) {
      role.addToPolicy(throughService(this, 'dynamodb', KEY_USE.read, encryptionKey));
      role.addToPolicy(throughService(this, 's3', KEY_USE.write, encryptionKey));
    }
    new scheduler.CfnSchedule(this, 'Export', {
      description: 'slack-ingress: exports the audit trail to S3',
      groupName: group.scheduleGroupName,
      scheduleExpression: 'cron(0 2 * * ? *)',
      flexibleTimeWindow: { mode: 'FLEXIBLE', maximumWindowInMinutes: 60 },
      target: {
        // Of what is exported nothing is left out: an incremental export needs the time of the one before, which a schedule does
        // not know.
        arn: `arn:${partition}:scheduler:::aws-sdk:dynamodb:exportTableToPointInTime`,
        roleArn: role.roleArn,
        input: Stack.of(this).toJsonString({
          TableArn: this.table.tableArn,
          S3Bucket: bucket.bucketName,
          S3Prefix: PREFIX,
          S3SseAlgorithm: encryptionKey ? 'KMS' : 'AES256',
          ...(encryptionKey ? { S3SseKmsKeyId: encryptionKey.keyArn } : {}),
          ExportFormat: 'DYNAMODB_JSON',
          ClientToken: '<aws.scheduler.execution-id>',
        }),
      },
    });
    return [bucket, group];
  }
}

function keepWhenReplaced({ node }: Construct): void {
  (node.defaultChild as CfnResource).cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
}
