/**
 * A time as the deployment calls answer it: `2022-10-17 22:12:34.834`, in UTC. Clients parse it with a fixed layout
 * (Go's `time.DateTime`), so it must not be RFC 3339.
 */
export function formatSqlTime(time: Date): string {
  return time.toISOString().replace('T', ' ').replace('Z', '');
}
