/** Prints how many CPUs the control groups of a container give it: time in each period, in version 2 or 1. */
export const hostCpuCount = `
  cd /sys/fs/cgroup
  read quota period < cpu.max || { read quota < cpu/cpu.cfs_quota_us; read period < cpu/cpu.cfs_period_us; }
  echo $((quota / period))`;
