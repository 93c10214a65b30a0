/**
 * The names of members that the engine gives its events (Pulumi CLI sdk/go/common/apitype/events.go), and the operations
 * that it counts in `resourceChanges` (history.go).
 */
export const engineWords: ReadonlySet<string> = new Set(
  `PolicyPacks after before cancelEvent color config continuationToken custom delete detailedDiff diagnosticEvent
  diffKind diffs done durationSeconds enforcementLevel ephemeral error errorEvent events external failed hideDiffs id
  initErrors inputDiff inputs isPreview keys logical maybeCorrupt message metadata new old op outputs parent passed
  planning policyAnalyzeStackSummaryEvent policyAnalyzeSummaryEvent policyEvent policyLoadEvent policyName
  policyPackName policyPackVersion policyPackVersionTag policyRemediateSummaryEvent policyRemediationEvent prefix
  preludeEvent progressEvent protect provider received resOpFailedEvent resOutputsEvent resourceChanges
  resourcePreEvent resourceUrn result retainOnDelete sequence severity startDebuggingEvent status stdoutEvent steps
  streamID summaryEvent taint timestamp total type urn
  same create update delete replace create-replacement delete-replaced read read-replacement refresh discard
  discard-replaced remove-pending-replace import import-replacement`.split(/\s+/),
);

/** Members whose values are words of the engine too: at one that it does not know, the CLI panics. */
export const engineWordMembers: ReadonlySet<string> = new Set([
  'op',
  'diffKind',
  'severity',
  'enforcementLevel',
  'result',
  'color',
]);
