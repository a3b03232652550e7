// A construct of the two files that `make package` writes.
import { Stack, aws_iam as iam, aws_s3_assets as assets } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Construct } from "constructs";

export class TokenKeeper extends Construct {
  /** `files` is the path of both files without their endings. `parameters` are those of docs/CONFIGURATION.md. */
  constructor(scope, id, { files, parameters }) {
    super(scope, id);
    const code = new assets.Asset(this, "Code", { path: `${files}.zip` });
    this.template = new CfnInclude(this, "Template", {
      templateFile: `${files}.template.json`,
      preserveLogicalIds: false, // a stack can have several
      parameters: {
        ServiceName: `${Stack.of(this).stackName}-${id}`, // otherwise two in one stack would share their alarms
        ...parameters,
        CodeBucket: code.s3BucketName,
        CodeKey: code.s3ObjectKey,
      },
    });
    const policy = this.template.getResource("ConsumerPolicy");
    this.consumerPolicy = iam.ManagedPolicy.fromManagedPolicyArn(this, "ConsumerPolicy", policy.ref);
  }
}
