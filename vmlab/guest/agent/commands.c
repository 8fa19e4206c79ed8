// SPDX-License-Identifier: GPL-2.0-only
/*
 * Begins the program that a command names. A command of plain words needs no shell: leaving it out
 * saves QEMU the translation of the shell's code in every guest. Whatever a shell would look at, and
 * whatever it has no program for, goes to the shell.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#define SHELL "/bin/sh"
#define MAX_WORDS 64
#define PLAIN                                                            \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" \
	"_@%+:,./-= "

/* What is the shell's own: its words, and commands that change or show the shell itself. */
static const char *const shells_own[] = {
	".", ":", "alias", "bg", "break", "builtin", "case", "cd", "chdir", "command", "continue",
	"declare", "do", "done", "elif", "else", "esac", "eval", "exec", "exit", "export", "fc", "fg",
	"fi", "for", "function", "getopts", "hash", "help", "history", "if", "in", "jobs", "kill",
	"let", "local", "pwd", "read", "readonly", "return", "select", "set", "shift", "source",
	"then", "time", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until",
	"wait", "while",
};

static int is_shells_own(const char *word)
{
	size_t i;

	for (i = 0; i < sizeof(shells_own) / sizeof(*shells_own); i++)
		if (!strcmp(word, shells_own[i]))
			return 1;
	return 0;
}

/* The words of a command that needs no shell, for execvp; NULL where it needs one. */
static char **plain_words(const char *command)
{
	static char *words[MAX_WORDS + 1];
	char *rest, *word;
	int count = 0;

	if (command[strspn(command, PLAIN)] || !(rest = strdup(command)))
		return NULL;
	while ((word = strsep(&rest, " "))) {
		if (!*word)
			continue;
		if (count == MAX_WORDS)
			return NULL;
		words[count++] = word;
	}
	words[count] = NULL;
	if (!count || strchr(words[0], '=') || is_shells_own(words[0]))
		return NULL;
	return words;
}

static char **words;
static const char *shells;

/* `for_shell` is how a shell is told the same. */
void command_prepare(const char *command, const char *for_shell)
{
	words = plain_words(command);
	shells = for_shell;
}

/* In the new process, which may share the agent's memory: it makes calls and nothing else. */
void command_exec(void)
{
	if (words)
		execvp(words[0], words);
	execl(SHELL, "sh", "-c", shells, NULL);
	_exit(127);
}
