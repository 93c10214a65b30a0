/**
 * System calls that a container may make: the allowed ones of the profile that container engines ship
 * (containers/common `seccomp.json`), for x86-64 and without the ones that make, enter or change mounts, namespaces
 * and keyrings, as in Docker's default profile. `ptrace` stays: debuggers and tracers of a run's own processes need it.
 */
const allowedNames = `
  accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown
  chroot clock_adjtime clock_getres clock_gettime clock_nanosleep close close_range connect
  copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
  epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat
  faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
  fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
  futex_waitv futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64
  getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority
  getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
  getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
  io_getevents io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule
  landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr
  lremovexattr lseek lsetxattr lstat madvise mbind membarrier memfd_create memfd_secret mincore mkdir
  mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr mq_notify mq_open
  mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall
  munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
  pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6
  ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg
  remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
  rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
  rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
  sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg
  sendto set_mempolicy set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups
  setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid
  setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat
  statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
  timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd timerfd_create
  timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes
  vfork wait4 waitid write writev
`;

const refusedNames = `
  acct add_key bpf clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
  init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount mount_setattr
  move_mount move_pages name_to_handle_at open_by_handle_at open_tree perf_event_open personality pidfd_getfd
  pivot_root process_vm_readv process_vm_writev quotactl reboot request_key setdomainname sethostname setns
  settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup
`;

/** `CLONE_NEW*`: namespaces of its own would give a process capabilities that the container does not have. */
const cloneNewNamespaces = 0x7e02_0000;
/** Sockets to the host or the hypervisor (`AF_VSOCK`) belong to no network namespace: no rule of a network holds them. */
const addressFamilyVsock = 40;

const errnoOperationNotPermitted = 1;
const errnoNotImplemented = 38;

/**
 * The `linux.seccomp` section of an OCI configuration. What is refused for good reasons fails with EPERM. A call that is
 * not known here is told as not there, so that programs newer than this list fall back to older calls; so is `clone3`,
 * because its flags lie in memory where no filter can see them.
 */
export const seccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: errnoNotImplemented,
  architectures: ['SCMP_ARCH_X86_64'],
  syscalls: [
    { names: words(allowedNames), action: 'SCMP_ACT_ALLOW' },
    {
      names: ['clone'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value: cloneNewNamespaces, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
    },
    {
      names: ['socket'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value: addressFamilyVsock, op: 'SCMP_CMP_NE' }],
    },
    {
      names: ['socket'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: errnoOperationNotPermitted,
      args: [{ index: 0, value: addressFamilyVsock, op: 'SCMP_CMP_EQ' }],
    },
    { names: words(refusedNames), action: 'SCMP_ACT_ERRNO', errnoRet: errnoOperationNotPermitted },
  ],
} as const;

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
