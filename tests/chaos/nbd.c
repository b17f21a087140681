// SPDX-License-Identifier: Apache-2.0
/*
 * The part of the NBD protocol that is needed: simple replies, one request at
 * a time. nbdkit serves several connections to one export at once.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "target.h"

#define PATIENCE_S 200
#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC 0x67446698u
#define FLAG_FUA 1

struct nbd_request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t handle, offset;
	uint32_t length;
} __attribute__((packed));

struct nbd_reply {
	uint32_t magic, error;
	uint64_t handle;
} __attribute__((packed));

static int lost(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -ENOTCONN;
}

static int receive(int fd, void *data, size_t length)
{
	ssize_t got;

	while (length) {
		got = recv(fd, data, length, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return lost();
		if (got == 0)
			return -ENOTCONN;
		data = (char *)data + got;
		length -= (size_t)got;
	}
	return 0;
}

static int send_all(int fd, const void *data, size_t length, int flags)
{
	ssize_t sent;

	while (length) {
		sent = send(fd, data, length, flags | MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return lost();
		data = (const char *)data + sent;
		length -= (size_t)sent;
	}
	return 0;
}

/* Asks for the default export in the old way, which has the shortest answer. */
static int handshake(struct target *target)
{
	static const char want[] = "\0\0\0\3IHAVEOPT\0\0\0\1\0\0\0";
	char greeting[18], answer[10];
	uint64_t size;
	int err;

	err = receive(target->fd, greeting, sizeof(greeting));
	if (!err && memcmp(greeting, "NBDMAGICIHAVEOPT", 16))
		err = -EPROTO;
	if (!err)
		err = send_all(target->fd, want, sizeof(want), 0);
	if (!err)
		err = receive(target->fd, answer, sizeof(answer));
	if (err)
		return err;
	memcpy(&size, answer, sizeof(size));
	target->size = be64toh(size);
	return 0;
}

int nbd_open(struct target *target, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_S };

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	target->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (target->fd < 0)
		return -errno;
	if (setsockopt(target->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) ||
	    setsockopt(target->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
		       sizeof(patience)) ||
	    connect(target->fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	/* Before it was connected, target_abort() could not end it. */
	if (target->aborted)
		return -ENOTCONN;
	return handshake(target);
}

static int send_request(struct target *target, enum target_op op, bool fua,
			uint64_t offset, uint32_t length, const void *data)
{
	static const uint16_t types[] = { [TARGET_READ] = 0, [TARGET_WRITE] = 1,
		[TARGET_FLUSH] = 3, [TARGET_TRIM] = 4, [TARGET_ZERO] = 6 };
	struct nbd_request request = {
		.magic = htobe32(REQUEST_MAGIC),
		.flags = htobe16(fua ? FLAG_FUA : 0),
		.type = htobe16(types[op]),
		.handle = htobe64(++target->handle),
		.offset = htobe64(offset),
		.length = htobe32(length),
	};
	bool has_data = op == TARGET_WRITE;
	int err;

	err = send_all(target->fd, &request, sizeof(request),
		       has_data ? MSG_MORE : 0);
	if (!err && has_data)
		err = send_all(target->fd, data, length, 0);
	return err;
}

int nbd_io(struct target *target, enum target_op op, bool fua, uint64_t offset,
	   uint32_t length, void *data)
{
	struct nbd_reply reply;
	int err;

	err = send_request(target, op, fua, offset, length, data);
	if (!err)
		err = receive(target->fd, &reply, sizeof(reply));
	if (err)
		return err;
	if (be32toh(reply.magic) != REPLY_MAGIC ||
	    be64toh(reply.handle) != target->handle)
		return -EPROTO;
	/* A server that ends, or that was fenced, says so politely. */
	if (be32toh(reply.error) == ESHUTDOWN)
		return -ENOTCONN;
	if (reply.error)
		return -(int)be32toh(reply.error);
	return op == TARGET_READ ? receive(target->fd, data, length) : 0;
}
