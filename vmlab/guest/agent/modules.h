/* SPDX-License-Identifier: GPL-2.0-only */
/* Each takes "NAME PARAMETER=VALUE ...", changes it, and returns 0 or the kernel's errno. */
#ifndef AGENT_MODULES_H
#define AGENT_MODULES_H

int module_insert(char *argument);
int module_probe(char *argument);
int module_remove(char *argument);

/* What the kernel asks for by itself: it is told whom to ask, and answered in a process of its own. */
#define REQUEST_WORDS 4 /* PATH -q -- NAME */
void modules_offer(void);
int module_asked_for(int count, char **words);
int module_answer(const char *name);

#endif
