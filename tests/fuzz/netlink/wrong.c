// SPDX-License-Identifier: Apache-2.0
/*
 * Mutations by the meaning: messages as the spec wants them which no correct
 * helper sends. Each knows from Documentation/channel.md whether the driver can
 * do anything but refuse it, whatever other threads do to the same device.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices.h"
#include "mutate.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* ---- what is no arena ---------------------------------------------------- */

#define ARENA_SIZE (16ull << 20)
#define ARENAS_MAX 16

static int wrong_arenas[ARENAS_MAX];
static unsigned int nr_wrong_arenas;

static int keep(int fd)
{
	if (fd < 0)
		return -errno;
	wrong_arenas[nr_wrong_arenas++] = fd;
	return 0;
}

/* A memfd with these seals that has no page in memory. */
static int keep_memfd(uint64_t size, int seals)
{
	int fd = memfd_create("wrong", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, size) || fcntl(fd, F_ADD_SEALS, seals))
		return -errno;
	return keep(fd);
}

/* A proper arena, reached in another way. */
static int keep_other_way(int flags)
{
	uint8_t *map;
	char path[40];
	int fd = session_arena(64 << 10, &map);

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return keep(open(path, flags | O_CLOEXEC));
}

int wrong_arenas_init(void)
{
	int pipes[2], ret = 0;

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	ret = ret ? ret : keep(pipes[1]);
	ret = ret ? ret : keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	ret = ret ? ret : keep(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	ret = ret ? ret : keep(open("/dev/zero", O_RDWR | O_CLOEXEC));
	ret = ret ? ret : keep(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC));
	ret = ret ? ret : keep(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	/* Without seals, and with each but one. */
	ret = ret ? ret : keep_memfd(ARENA_SIZE, 0);
	ret = ret ? ret : keep_memfd(ARENA_SIZE, SEALS & ~F_SEAL_SHRINK);
	ret = ret ? ret : keep_memfd(ARENA_SIZE, SEALS & ~F_SEAL_SEAL);
	ret = ret ? ret : keep_memfd(ARENA_SIZE, SEALS & ~F_SEAL_FUTURE_WRITE);
	/* Not in memory; empty; not whole pages; beyond the limit. */
	ret = ret ? ret : keep_memfd(ARENA_SIZE, SEALS);
	ret = ret ? ret : keep_memfd(0, SEALS);
	ret = ret ? ret : keep_memfd(ARENA_SIZE + 512, SEALS);
	ret = ret ? ret : keep_memfd(TORUS_ARENA_SIZE_LIMIT + 4096, SEALS);
	ret = ret ? ret : keep_other_way(O_RDONLY);
	return ret ? ret : keep_other_way(O_PATH);
}

static bool wrong_arena(struct message *m, struct subject *s, struct chance *c)
{
	uint32_t fd = 1000000 + chance_below(c, 1000);
	unsigned int n = chance_below(c, nr_wrong_arenas + 1);

	if (m->op->cmd != TORUS_CMD_SESSION_BIND)
		return false;
	if (n < nr_wrong_arenas)
		fd = wrong_arenas[n];
	message_set_u32(m, TORUS_A_SESSION_ARENA_FD, fd);
	m->spoilt = message_find(m, TORUS_A_SESSION_ARENA_FD)->attr;
	m->must_refuse = true;
	return true;
}

/* ---- devices, sessions, sockets ------------------------------------------- */

static bool has_session_id(const struct message *m)
{
	return m->op->cmd >= TORUS_CMD_SESSION_QUEUE;
}

/* Number 2 in both sets; that of the device is 1 in all of them. */
#define SESSION_ID TORUS_A_SESSION_ID
_Static_assert(TORUS_A_SESSION_ID == (int)TORUS_A_IO_SESSION_ID, "same");
_Static_assert(TORUS_A_SESSION_DEV_ID == (int)TORUS_A_IO_DEV_ID, "same");
_Static_assert(TORUS_A_SESSION_DEV_ID == (int)TORUS_A_DEV_ID, "same");

static bool absent_device(struct message *m, struct subject *s,
			  struct chance *c)
{
	if (m->op->cmd == TORUS_CMD_DEV_ADD || !message_find(m, TORUS_A_DEV_ID))
		return false;
	message_set_u32(m, TORUS_A_DEV_ID,
			DEVICES_ABSENT + chance_below(c, DEVICES_NR_ABSENT));
	m->spoilt = message_find(m, TORUS_A_DEV_ID)->attr;
	m->must_refuse = true;
	return true;
}

static bool foreign_device(struct message *m, struct subject *s,
			   struct chance *c)
{
	int id = devices_pick(c);

	if (id < 0 || (uint32_t)id == s->dev_id || !has_session_id(m))
		return false;
	message_set_u32(m, TORUS_A_SESSION_DEV_ID, id);
	m->spoilt = message_find(m, TORUS_A_SESSION_DEV_ID)->attr;
	m->must_refuse = true;
	return true;
}

/* An older session than ours of the same device has ended. */
static bool stale_session(struct message *m, struct subject *s,
			  struct chance *c)
{
	uint64_t id = s->session->id;

	if (!has_session_id(m))
		return false;
	if (id > 1 && chance_one_in(c, 2))
		id -= 1 + chance_below(c, id - 1);
	else
		id = chance_one_in(c, 2) ? 0 : 1ull << 62 | chance_u64(c);
	message_set_u64(m, SESSION_ID, id);
	m->spoilt = message_find(m, SESSION_ID)->attr;
	m->must_refuse = true;
	return true;
}

static bool wrong_socket(struct message *m, struct subject *s, struct chance *c)
{
	if (!has_session_id(m) || m->op->cmd == TORUS_CMD_SESSION_QUEUE)
		return false;
	s->port = s->stranger;
	if (m->op->cmd >= TORUS_CMD_COMPLETE && chance_one_in(c, 2))
		s->port = &s->session->control;
	else if (m->op->cmd < TORUS_CMD_COMPLETE && chance_one_in(c, 2))
		s->port = &s->session->data[0];
	m->must_refuse = true;
	return s->port->fd >= 0;
}

static bool no_room(struct message *m, struct subject *s, struct chance *c)
{
	socklen_t len = sizeof(int);
	int bytes = 1;

	if (m->op->cmd != TORUS_CMD_SESSION_QUEUE || s->port->fd < 0 ||
	    s->session->masks[0] || s->session->masks[1])
		return false;
	if (setsockopt(s->port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, len) ||
	    getsockopt(s->port->fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len))
		return false;
	m->must_refuse = bytes < (int)s->session->rcvbuf_min;
	return m->must_refuse;
}

static bool wrong_mask(struct message *m, struct subject *s, struct chance *c)
{
	uint64_t mask = 0, all = session_all_queues(s->session);

	if (m->op->cmd != TORUS_CMD_SESSION_QUEUE)
		return false;
	if (chance_one_in(c, 2) && s->session->masks[0])
		mask = s->session->masks[0];
	else if (chance_one_in(c, 2) && s->session->queues && ~all)
		mask = s->mask | 1ull << 63 >> chance_below(c, 8);
	message_set_u64(m, TORUS_A_SESSION_QUEUE_MASK, mask);
	m->spoilt = message_find(m, TORUS_A_SESSION_QUEUE_MASK)->attr;
	m->must_refuse = true;
	return true;
}

/* ---- a log that does not fit ---------------------------------------------- */

/* Rarely: the device fails by it. */
static bool wrong_log(struct message *m, struct subject *s, struct chance *c)
{
	const struct session *session = s->session;
	uint8_t bytes[TORUS_INCARNATION_LEN];
	uint16_t number = TORUS_A_SESSION_INCARNATION;

	if (m->op->cmd != TORUS_CMD_SESSION_START || !chance_one_in(c, 3))
		return false;
	if (session->remembered)
		number = TORUS_A_SESSION_INCARNATION + chance_below(c, 4);
	m->spoilt = message_find(m, number)->attr;
	m->must_refuse = true;
	switch (number) {
	case TORUS_A_SESSION_INCARNATION:
		chance_bytes(c, bytes, sizeof(bytes));
		message_set(m, message_find(m, number), bytes, sizeof(bytes));
		break;
	case TORUS_A_SESSION_SEQUENCE:
		message_set_u64(m, number,
				chance_below(c, session->remembered));
		break;
	case TORUS_A_SESSION_HEADER_CRC:
		m->spoilt = message_find(m, TORUS_A_SESSION_CHECK_CRC)->attr;
		message_remove(m, message_find(m, TORUS_A_SESSION_CHECK_CRC));
		break;
	default:
		message_set_u32(m, number, session->remembered_crc + 1 +
				chance_below(c, 1000));
	}
	return true;
}

/* ---- devices that cannot be ------------------------------------------------ */

static bool wrong_size(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = message_find(m, TORUS_A_DEV_SIZE);
	uint64_t size = message_number(m, TORUS_A_DEV_SIZE);

	if (m->op->cmd != TORUS_CMD_DEV_ADD && m->op->cmd != TORUS_CMD_DEV_SET)
		return false;
	if (!field)
		return false;
	switch (chance_below(c, 3)) {
	case 0:
		size = 0;
		break;
	case 1:
		size += 1 + chance_below(c, 511);
		break;
	default:
		size |= 1ull << 63;
	}
	message_set(m, field, &size, sizeof(size));
	m->spoilt = field->attr;
	m->must_refuse = true;
	return true;
}

static bool wrong_unit(struct message *m, struct subject *s, struct chance *c)
{
	uint16_t number = chance_one_in(c, 2) ? TORUS_A_DEV_BLOCK_SIZE :
						TORUS_A_DEV_IO_SIZE_MAX;
	struct message_field *field = message_find(m, number);
	uint32_t value = 4096 + 1 + chance_below(c, 4095);

	if (m->op->cmd != TORUS_CMD_DEV_ADD || !field)
		return false;
	if (number == TORUS_A_DEV_BLOCK_SIZE)
		value = chance_one_in(c, 4) ? 1024 : 513 + chance_below(c, 3583);
	message_set(m, field, &value, sizeof(value));
	m->spoilt = field->attr;
	m->must_refuse = true;
	return true;
}

static bool wrong_name(struct message *m, struct subject *s, struct chance *c)
{
	static const char * const names[] = {
		"", "/", "a/b", "../x", "a b", " ", "\n", "\x7f", "\x01x",
		"\xc3\xa4", "\xff", "tab\t",
	};
	const char *name = names[chance_below(c, sizeof(names) /
					      sizeof(*names))];
	struct message_field *field = message_find(m, TORUS_A_DEV_VOLUME);

	if (m->op->cmd != TORUS_CMD_DEV_ADD)
		return false;
	message_set(m, field, name, strlen(name) + 1);
	m->spoilt = field->attr;
	m->must_refuse = true;
	return true;
}

static bool nothing_to_set(struct message *m, struct subject *s,
			   struct chance *c)
{
	struct message_field id;

	if (m->op->cmd != TORUS_CMD_DEV_SET)
		return false;
	id = *message_find(m, TORUS_A_DEV_ID);
	m->fields[0] = id;
	m->nr_fields = 1;
	m->must_refuse = true;
	return true;
}

/* ---- completions ------------------------------------------------------------ */

/* Whether a completion with that in one of its fields is impossible. */
static bool impossible(const struct session *s, const struct spec_member *f,
		       uint64_t value)
{
	bool known = s->state >= SESSION_BOUND;

	switch (f->offset) {
	case offsetof(struct torus_completion, queue):
		return value >= (known ? s->queues : TORUS_QUEUES_MAX);
	case offsetof(struct torus_completion, tag):
		return value >= (known ? s->depth : TORUS_DEPTH_MAX);
	case offsetof(struct torus_completion, result):
		return value > TORUS_RESULT_MAX;
	case offsetof(struct torus_completion, reserved):
		return value;
	}
	return false;
}

static uint64_t odd_value(uint64_t value, struct chance *c)
{
	switch (chance_below(c, 5)) {
	case 0:
		return value + 1;
	case 1:
		return value - 1;
	case 2:
		return ~0ull;
	case 3:
		return chance_below(c, 10);
	}
	return chance_u64(c) >> chance_below(c, 64);
}

static bool wrong_completion(struct message *m, struct subject *s,
			     struct chance *c)
{
	struct message_field *field = message_find(m, TORUS_A_IO_COMPLETIONS);
	const struct spec_struct *entry;
	const struct spec_member *member;
	uint64_t value = 0;
	uint8_t *at;

	if (m->op->cmd != TORUS_CMD_COMPLETE)
		return false;
	entry = field->attr->entry;
	member = &entry->members[chance_below(c, entry->nr_members)];
	at = message_data(m, field);
	at += chance_below(c, field->len / entry->size) * entry->size;
	memcpy(&value, at + member->offset, member->size);
	value = odd_value(value, c);
	if (member->size < 8)
		value &= (1ull << member->size * 8) - 1;
	memcpy(at + member->offset, &value, member->size);
	m->spoilt = field->attr;
	m->must_refuse = impossible(s->session, member, value);
	return true;
}

static bool many_completions(struct message *m, struct subject *s,
			     struct chance *c)
{
	struct message_field *field = message_find(m, TORUS_A_IO_COMPLETIONS);
	struct torus_completion array[200];
	unsigned int nr = 1 + chance_below(c, 200);

	if (m->op->cmd != TORUS_CMD_COMPLETE)
		return false;
	for (unsigned int i = 0; i < nr; i++)
		memcpy(&array[i], message_data(m, field), sizeof(*array));
	message_set(m, field, array, nr * sizeof(*array));
	m->spoilt = field->attr;
	m->must_refuse = nr > TORUS_COMPLETION_BATCH;
	return true;
}

const struct mutation mutations_of_meaning[] = {
	{ "no arena", wrong_arena },
	{ "absent device", absent_device },
	{ "foreign device", foreign_device },
	{ "stale session", stale_session },
	{ "wrong socket", wrong_socket },
	{ "receive buffer too small", no_room },
	{ "wrong queue mask", wrong_mask },
	{ "log that does not fit", wrong_log },
	{ "impossible size", wrong_size },
	{ "impossible unit", wrong_unit },
	{ "impossible name", wrong_name },
	{ "nothing to set", nothing_to_set },
	{ "completion wrong in a field", wrong_completion },
	{ "completion many times", many_completions },
};
const unsigned int nr_mutations_of_meaning =
	sizeof(mutations_of_meaning) / sizeof(*mutations_of_meaning);
