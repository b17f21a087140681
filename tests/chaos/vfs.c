// SPDX-License-Identifier: Apache-2.0
/*
 * A file system for exactly two files, the database and its journal, on a
 * volume:
 *
 *   block 0                       which files there are, and how long
 *   DATABASE_AT .. JOURNAL_AT     the database
 *   JOURNAL_AT .. END_AT          the journal
 *
 * Block 0 is written when that changes; a block is written whole or not at all.
 * What xSync() promises a flush of the volume keeps, and nothing else does: so
 * the database is as good as the prefix that a volume is after a crash.
 */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <time.h>

#include "vfs.h"

#define BLOCK 4096
#define MIB (1024 * 1024)
#define DATABASE_AT (1 * MIB)
#define JOURNAL_AT (32 * MIB)
#define END_AT (56 * MIB)
#define MAGIC 0x6b6e6142u
#define PART (64 * 1024)

enum { DATABASE, JOURNAL, FILES };

struct directory {
	uint32_t magic, pad;
	struct {
		uint64_t exists, size;
	} files[FILES];
};

struct file {
	sqlite3_file base;
	int number;
};

static struct target *volume;
static int first_error;
static char buffer[PART] __attribute__((aligned(BLOCK)));

static const uint64_t begins[] = { DATABASE_AT, JOURNAL_AT, END_AT };

int vfs_error(void)
{
	int err = first_error;

	first_error = 0;
	return err;
}

static int io(enum target_op op, uint64_t offset, uint32_t length, void *data)
{
	int err = target_io(volume, op, false, offset, length, data);

	if (err && !first_error)
		first_error = err;
	return err;
}

/* ---- the directory --------------------------------------------------------- */

static int directory_read(struct directory *directory)
{
	int err = io(TARGET_READ, 0, BLOCK, buffer);

	memcpy(directory, buffer, sizeof(*directory));
	if (!err && directory->magic != MAGIC) {
		/* A new volume reads as zeros. */
		if (directory->magic && !first_error)
			first_error = err = -EILSEQ;
		memset(directory, 0, sizeof(*directory));
	}
	return err;
}

static int directory_write(struct directory *directory)
{
	directory->magic = MAGIC;
	memset(buffer, 0, BLOCK);
	memcpy(buffer, directory, sizeof(*directory));
	return io(TARGET_WRITE, 0, BLOCK, buffer);
}

static int set_size(int number, bool exists, uint64_t size)
{
	struct directory directory;
	int err = directory_read(&directory);

	if (err || (directory.files[number].exists == exists &&
		    directory.files[number].size == size))
		return err;
	directory.files[number].exists = exists;
	directory.files[number].size = size;
	return directory_write(&directory);
}

/* ---- files ----------------------------------------------------------------- */

/* One part of a file: what of [from, from + length) lies in these blocks. */
struct part {
	uint64_t begin;		/* in the volume, of the first block */
	uint32_t bytes;		/* whole blocks */
	uint32_t skip, length;	/* where the data lie in these */
};

static struct part part_of(int number, uint64_t from, uint64_t length)
{
	uint64_t begin = begins[number] + from / BLOCK * BLOCK;
	struct part part = { .begin = begin, .skip = from % BLOCK };

	part.length = PART - part.skip;
	if (part.length > length)
		part.length = (uint32_t)length;
	part.bytes = (part.skip + part.length + BLOCK - 1) / BLOCK * BLOCK;
	return part;
}

static int file_read(sqlite3_file *base, void *data, int amount,
		     sqlite3_int64 from)
{
	int number = ((struct file *)base)->number;
	uint64_t length = (uint64_t)amount, have = 0, done = 0;
	struct directory directory;
	struct part part;

	if (directory_read(&directory))
		return SQLITE_IOERR_READ;
	if (directory.files[number].size > (uint64_t)from)
		have = directory.files[number].size - (uint64_t)from;
	if (have > length)
		have = length;
	while (done < have) {
		part = part_of(number, (uint64_t)from + done, have - done);
		if (io(TARGET_READ, part.begin, part.bytes, buffer))
			return SQLITE_IOERR_READ;
		memcpy((char *)data + done, buffer + part.skip, part.length);
		done += part.length;
	}
	memset((char *)data + have, 0, length - have);
	return have < length ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int write_part(const struct part *part, const void *data)
{
	if (part->length < part->bytes &&
	    io(TARGET_READ, part->begin, part->bytes, buffer))
		return SQLITE_IOERR_WRITE;
	memcpy(buffer + part->skip, data, part->length);
	return io(TARGET_WRITE, part->begin, part->bytes, buffer) ?
		SQLITE_IOERR_WRITE : SQLITE_OK;
}

static int file_write(sqlite3_file *base, const void *data, int amount,
		      sqlite3_int64 from)
{
	int number = ((struct file *)base)->number, err = SQLITE_OK;
	uint64_t length = (uint64_t)amount, done = 0;
	uint64_t end = (uint64_t)from + length;
	struct directory directory;
	struct part part;

	if (begins[number] + end > begins[number + 1])
		return SQLITE_FULL;
	while (done < length && !err) {
		part = part_of(number, (uint64_t)from + done, length - done);
		err = write_part(&part, (const char *)data + done);
		done += part.length;
	}
	if (err || directory_read(&directory))
		return SQLITE_IOERR_WRITE;
	if (end > directory.files[number].size && set_size(number, true, end))
		return SQLITE_IOERR_WRITE;
	return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	return set_size(((struct file *)base)->number, true, (uint64_t)size) ?
		SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
	(void)base;
	(void)flags;
	return io(TARGET_FLUSH, 0, 0, NULL) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
	struct directory directory;

	if (directory_read(&directory))
		return SQLITE_IOERR_FSTAT;
	*size = (sqlite3_int64)directory.files[((struct file *)base)->number].size;
	return SQLITE_OK;
}

static int file_close(sqlite3_file *base)
{
	(void)base;
	return SQLITE_OK;
}

/* Nobody else has the volume: that is what an epoch is for. */
static int file_lock(sqlite3_file *base, int level)
{
	(void)base;
	(void)level;
	return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *base, int *reserved)
{
	(void)base;
	*reserved = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
	(void)base;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base)
{
	(void)base;
	return BLOCK;
}

static int file_traits(sqlite3_file *base)
{
	(void)base;
	return 0;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_is_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
};

/* ---- the file system ------------------------------------------------------- */

static int number_of(const char *name)
{
	if (name && strcmp(name, VFS_DATABASE) == 0)
		return DATABASE;
	return name && strcmp(name, VFS_DATABASE "-journal") == 0 ? JOURNAL : -1;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *base,
		     int flags, int *out)
{
	struct file *file = (struct file *)base;
	struct directory directory;

	(void)vfs;
	base->pMethods = NULL;
	file->number = number_of(name);
	if (file->number < 0 || directory_read(&directory))
		return SQLITE_CANTOPEN;
	if (!directory.files[file->number].exists &&
	    (!(flags & SQLITE_OPEN_CREATE) || set_size(file->number, true, 0)))
		return SQLITE_CANTOPEN;
	base->pMethods = &methods;
	if (out)
		*out = flags;
	return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int durable)
{
	int number = number_of(name);

	(void)vfs;
	if (number < 0 || set_size(number, false, 0))
		return SQLITE_IOERR_DELETE;
	return durable ? file_sync(NULL, 0) : SQLITE_OK;
}

static int access_file(sqlite3_vfs *vfs, const char *name, int flags, int *is)
{
	struct directory directory;
	int number = number_of(name);

	(void)vfs;
	(void)flags;
	*is = 0;
	if (number < 0)
		return SQLITE_OK;
	if (directory_read(&directory))
		return SQLITE_IOERR_ACCESS;
	*is = directory.files[number].exists != 0;
	return SQLITE_OK;
}

static int full_name(sqlite3_vfs *vfs, const char *name, int room, char *out)
{
	(void)vfs;
	sqlite3_snprintf(room, out, "%s", name);
	return SQLITE_OK;
}

static sqlite3_vfs vfs = {
	.iVersion = 1,
	.szOsFile = sizeof(struct file),
	.mxPathname = 64,
	.zName = VFS_NAME,
	.xOpen = open_file,
	.xDelete = delete_file,
	.xAccess = access_file,
	.xFullPathname = full_name,
};

int vfs_register(struct target *target)
{
	sqlite3_vfs *system = sqlite3_vfs_find(NULL);

	if (!system)
		return SQLITE_ERROR;
	volume = target;
	vfs.xRandomness = system->xRandomness;
	vfs.xSleep = system->xSleep;
	vfs.xCurrentTime = system->xCurrentTime;
	return sqlite3_vfs_register(&vfs, 0);
}
