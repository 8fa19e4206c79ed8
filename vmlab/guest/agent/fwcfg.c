// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's fw_cfg by port I/O (docs/specs/fw_cfg in QEMU): it needs no driver, so
 * it works on every x86 kernel.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>

#include "agent.h"

#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_FILE_DIR 0x19

struct file {
	uint32_t size;
	uint16_t selector;
	char name[56];
};

static uint32_t big_endian(int bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | inb(FW_CFG_DATA);
	return value;
}

static int find(const char *name, struct file *file)
{
	uint32_t count;

	memset(file, 0, sizeof(*file));
	outw(FW_CFG_FILE_DIR, FW_CFG_SELECT);
	for (count = big_endian(4); count; count--) {
		file->size = big_endian(4);
		file->selector = big_endian(2);
		big_endian(2);
		insb(FW_CFG_DATA, file->name, sizeof(file->name));
		if (!strncmp(file->name, name, sizeof(file->name)))
			return 0;
	}
	return ENOENT;
}

char *fwcfg_read(const char *name, uint32_t *size)
{
	struct file file;
	char *content;

	errno = find(name, &file);
	if (errno)
		return NULL;
	content = malloc((size_t)file.size + 1);
	if (!content)
		return NULL;
	outw(file.selector, FW_CFG_SELECT);
	insb(FW_CFG_DATA, content, file.size);
	content[file.size] = 0;
	*size = file.size;
	return content;
}
