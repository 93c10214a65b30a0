/*
 * Process 1 of a Slipway guest. It mounts what the container needs, starts the container with crun, and tells the
 * runner over a virtio-serial port how it goes. See README.md for the messages.
 */
#ifndef SLIPWAY_INIT_H
#define SLIPWAY_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where things are in the guest. The runner's container configuration names these paths (guest-paths.ts). */
#define ETC "/etc"
#define BUNDLE "/run/bundle"
#define ROOT BUNDLE "/rootfs"
#define TOOLBOX "/run/toolbox"
#define DEVICES "/run/devices"
#define VOLUME "/run/volume"
#define CONTAINER_GROUP "/sys/fs/cgroup/slipway"

/* The files, lowest first: each calls only files that stand above it here, and init.c all of them. */

/* end.c: reports that the guest cannot go on, and powers off. */
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void power_off(void) __attribute__((noreturn));
/* `function` is called before the guest gives up: it tells the runner, once there is a way to it. */
void before_giving_up(void (*function)(const char *message));

/* files.c */
void write_file(const char *path, const char *bytes, size_t length);
/* Reads at most `size - 1` bytes and ends them with a zero; the empty string where there is no such file. */
void read_file(const char *path, char *text, size_t size);
/* The number that a text has after `name`, or that a file begins with; 0 where there is none. */
long number_after(const char *text, const char *name);
long long number_in_file(const char *path);
void make_folder(const char *path);
void pause_milliseconds(long milliseconds);

/* ports.c: the virtio-serial ports, by name */
int port_open(const char *name, int flags);

/* channel.c: the init channel */
void channel_open(void);
int channel_descriptor(void);
/* `body` is the content of a `file` message, else empty. */
typedef void (*message_handler)(char *words, const char *body, size_t body_length);
/* Reads what is there and hands complete messages to `handle`. Returns false when nobody is at the other end. */
bool channel_read(message_handler handle);
/* Sends one line; `format` is JSON and takes `%s` only for text that went through `quoted`. */
void channel_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whether a line can be sent without waiting: where nobody reads, what is told each second must not hold up process 1. */
bool channel_has_room(void);
/* `text` as a JSON string with its quotation marks, cut to what a line may hold. Valid until the fourth next call. */
const char *quoted(const char *text);

/* clock.c */
void clock_set(const char *seconds);
double clock_monotonic_seconds(void);
/* How fast the kernel takes the timer of its processors to be; 0 when it uses none. */
long long clock_timer_hertz(void);

/* modules.c */
void modules_load(const char *list);

/* mounts.c */
void mounts_prepare(void);
/* The disks that are never written to, and then the volume with the overlay of it over the image. */
void mounts_read_only_disks(void);
void mounts_volume(void);
/* Mounts the disk at SCSI target `target` read-only at DEVICES/name, and reports, while everything else goes on. */
void mounts_late_device(const char *name, unsigned target);
struct volume_room {
  long long free_bytes, used_bytes, total_bytes, free_files, total_files;
};
struct volume_room mounts_volume_room(void);
/* The device of the disk at a SCSI target, once the kernel has it. Answers what went wrong, or NULL. */
const char *mounts_find_late_disk(unsigned target, char *device, size_t size);

/* read-ahead.c */
/* Has the kernel read what the toolbox lists of its files, while everything else goes on. */
void read_ahead(void);

/* network.c */
void network_up(void);

/* identity.c: the host name out of ETC, where the machine id is too */
void identity_take(void);

/* thrashing.c */
/* Has the kernel kill a process of a container that thrashes. Called each second, or when `elapsed_seconds` have gone by. */
void thrashing_look(int elapsed_seconds);

/* shortages.c */
void shortages_watch(void);
int shortages_descriptor(void);
/* Reports when the kernel has killed another process for want of memory. */
void shortages_read(void);
void shortages_report(void);

/* container.c */
void container_prepare(void);
/* `end_mark` is written to the container's channel when nobody of the container can write to it any more. */
void container_start(const char *end_mark);
void container_signal(int number);
pid_t container_process_id(void);
/*
 * Whose end is next, as waitpid has it. The container can be over before crun, which tells which process it is, has ended:
 * it waits then.
 */
pid_t container_awaited(void);
/* A child of process 1 ended. */
void container_child_ended(pid_t process, int status);
int container_output_descriptor(void);
void container_output_read(void);
bool container_has_started(void);

/* folders.c: reports the largest folders of the volume, or those with the most files, while everything else goes on. */
void folders_report(bool count_files);

/* cache.c: both report what came of it, while everything else goes on */
void cache_mount(unsigned target, bool is_new, long milliseconds);
void cache_seal(void);

/* usage.c */
void usage_start(void);
int usage_descriptor(void);
/* Reports what the container uses. */
void usage_report(void);
void usage_watch(void);

#endif
