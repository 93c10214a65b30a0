/** When a process was asked to stop, and how soon. */
export interface StopRequests {
  /** SIGTERM, or what is more urgent: begin nothing new, let end what is under way. */
  readonly toDrain: Promise<void>;
  /** SIGINT, or a second signal: give up what is under way. */
  readonly toStop: Promise<void>;
}

/** Listens for SIGTERM and SIGINT. A signal after `toStop` ends the process at once. */
export function listenForStop(): StopRequests {
  const drain = Promise.withResolvers<void>();
  const stop = Promise.withResolvers<void>();
  let urgency = 0;
  const hear = (atLeast: number) => {
    urgency = Math.max(urgency + 1, atLeast);
    drain.resolve();
    if (urgency >= 2) stop.resolve();
    if (urgency >= 3) process.exit(130);
  };
  process.on('SIGTERM', () => hear(1));
  process.on('SIGINT', () => hear(2));
  return { toDrain: drain.promise, toStop: stop.promise };
}
