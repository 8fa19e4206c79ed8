// SPDX-License-Identifier: GPL-2.0-only
/* The program's archive, and files read whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define BLOCK 512
#define SIZE_AT 124

static void make_parents(const char *name)
{
	char path[BLOCK];
	const char *slash;

	for (slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(path, sizeof(path), "%.*s", (int)(slash - name), name);
		mkdir(path, 0755);
	}
}

static int unpack_file(const char *name, const char *content, size_t length)
{
	ssize_t written;
	int file;

	make_parents(name);
	file = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	if (file < 0)
		return errno;
	written = write(file, content, length);
	close(file);
	return written == (ssize_t)length ? 0 : EIO;
}

/* Unpacks the plain files of a ustar archive into the current directory. */
int archive_unpack(const char *archive, uint32_t size)
{
	uint32_t at = 0, length;
	int error;

	while (at + BLOCK <= size && archive[at]) {
		length = strtoul(archive + at + SIZE_AT, NULL, 8);
		if (length > size - at - BLOCK)
			return EINVAL;
		error = unpack_file(archive + at, archive + at + BLOCK, length);
		if (error)
			return error;
		at += BLOCK + (length + BLOCK - 1) / BLOCK * BLOCK;
	}
	return 0;
}

/* A copy (malloc) of a file of the archive, NULL with errno. */
char *archive_text(const char *archive, uint32_t size, const char *name)
{
	uint32_t at = 0, length;
	char *text;

	for (; at + BLOCK <= size && archive[at]; at += BLOCK + (length + BLOCK - 1) / BLOCK * BLOCK) {
		length = strtoul(archive + at + SIZE_AT, NULL, 8);
		if (strcmp(archive + at, name))
			continue;
		text = malloc(length + 1);
		if (text) {
			memcpy(text, archive + at + BLOCK, length);
			text[length] = 0;
		}
		return text;
	}
	errno = ENOENT;
	return NULL;
}

/* Reads until the end, for files of /proc and /sys tell no size. NULL with errno; EFBIG over limit. */
char *whole_file(const char *name, size_t limit, size_t *size)
{
	char *text = malloc(limit + 1);
	int file = open(name, O_RDONLY);
	ssize_t n = -1;

	*size = 0;
	if (!text || file < 0)
		goto failed;
	while ((n = read(file, text + *size, limit + 1 - *size)) > 0) {
		*size += n;
		if (*size > limit) {
			errno = EFBIG;
			n = -1;
			break;
		}
	}
	if (n < 0)
		goto failed;
	close(file);
	text[*size] = 0;
	return text;
failed:
	n = errno;
	if (file >= 0)
		close(file);
	free(text);
	errno = n;
	return NULL;
}
