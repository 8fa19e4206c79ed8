/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's first process: reads the program from QEMU's fw_cfg, runs its
 * steps and reports them on ttyS1. One file for each of these; this header is
 * what they know of one another. Errors are errno values, 0 is success.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* pvpanic's port: with -action panic=pause the guest stops at this very instruction. */
#define PVPANIC 0x505
#define PVPANIC_PANICKED 1

/* The directory that the program's files are unpacked into. */
#define PROGRAM_DIR "/program"

/* fwcfg.c: returns the file's content (malloc), NULL with errno where there is none. */
char *fwcfg_read(const char *name, uint32_t *size);

/* entropy.c: the kernel's random numbers depend on the seed alone. */
void entropy_credit(void);
void entropy_seed(const char *seed);

/* archive.c */
int archive_unpack(const char *archive, uint32_t size);
char *archive_text(const char *archive, uint32_t size, const char *name);
char *whole_file(const char *name, size_t limit, size_t *size);

/* report.c: the results port. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_mark(void);
void report_note(void);
void report_output(const char *text, size_t size);
void report_output_begin(void);
void report_output_end(void);
void report_escaped(const char *text);
int report_next_line(char *line, size_t size);
void report_silence(void); /* from here on the port is a shell's alone */
int port_next(void); /* a byte from the host, -1 where there is none now */
void port_write(const char *text, size_t size);
void bail_out(const char *what, int error) __attribute__((noreturn)); /* the kernel's doing */
void lab_fault(const char *what, int error) __attribute__((noreturn)); /* a limit or a fault of our own */
void leave(void) __attribute__((noreturn));

/* userland.c */
void userland_start(void);
void firmware_start(void);
void pci_rescan(const char *ids, int frozen);

/* peer.c: the other one of two guests. */
void peer_start(void);
void peer_tell(int fine);
int peer_wait(void);

/* captures.c: values that earlier steps gave a name. */
void capture_set(const char *name, const char *key, const char *value);
void capture_line(const char *name, const char *line);
char *captures_resolve(const char *text);

/* commands.c: one is prepared before its process is there, which then begins it. */
void command_prepare(const char *command, const char *for_shell);
void command_exec(void) __attribute__((noreturn));

/* children.c: everything that takes guest time waits here, so that children are reaped. */
#define NOT_READY 256 /* added to an errno, which is no exit status then */
struct child;
void children_start(uint64_t limit_ms);
void children_limit(uint64_t limit_ms);
uint64_t now_us(void);
void wait_ms(uint64_t ms);
struct child *child_spawn(const char *name, const char *command);
int child_wait_ready(struct child *child, uint64_t ms);
int child_run(const char *name, const char *command);
int child_call(int (*call)(char *argument), char *argument);
pid_t child_last(void);

/* needs.c: what the kernel lacks of what a step needs. */
const char *need_lacking(char *names);

/* health.c: whether the kernel is well. */
void health_start(void);
void health_loading(pid_t process);
void health_unloaded(void);
void health_report(void);
struct child *child_on(const char *terminal);
int child_ended(const struct child *child);

/* perturb.c: what the host does to an explored run's timing. */
void perturb_start(const char *numbers);
void perturb_pause(void);

/* shell.c */
void shell_serve(void);

/* steps.c */
#define STEP_FIELDS 5
int steps_run(char *text, int count);
void steps_serve(char *options);

#endif
