// Two keepers in one stack, and the role of a service that reads the token of one of them.
import { App, Stack, aws_iam as iam } from "aws-cdk-lib";
import { TokenKeeper } from "./token-keeper.js";

const files = process.env.KEEPER_FILES ?? "tango-token-keeper-1.0.0";
const stack = new Stack(new App(), "Tokens");
const shop = new TokenKeeper(stack, "Shop", { files, parameters: { Environment: "production" } });
new TokenKeeper(stack, "Trial", { files, parameters: { Environment: "sandbox", DashboardState: "DISABLED" } });
new iam.Role(stack, "Orders", {
  assumedBy: new iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
  managedPolicies: [shop.consumerPolicy],
});
