// What the package offers to apps in TypeScript, JavaScript and Python. Everything that these signatures name is offered too:
// jsii demands it.

export { SlackAgent } from './agent/agent';
export { AgentGateway, type AgentGatewayProps, type ToolProps } from './agent/gateway';
export type {
  ADay,
  AgentLimits,
  AuditTrail,
  ExistingAgent,
  MoreWorkspace,
  OwnAgent,
  RememberedPeople,
  SlackAgentProps,
  SuggestedPrompt,
  SuggestedPrompts,
  ToolsGateway,
  TrelloProps,
  WorkspacesProps,
} from './agent/props';
export { type FastPathProps } from './ingress/fast-path';
export { type InstallPagesProps } from './ingress/http-api';
export { IngressMetrics } from './ingress/metrics';
export { SlackIngress, type SlackIngressProps } from './ingress/slack-ingress';
export { type TwoRegionsProps } from './ingress/two-regions';
