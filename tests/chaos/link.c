// SPDX-License-Identifier: Apache-2.0
/*
 * Each connection has two threads, one for each direction, that copy bytes and
 * look at their rule before they pass them on. The thread that ends last frees
 * the connection; sockets are closed then, and only shut down before, so that no
 * number of a socket is used by somebody else meanwhile.
 *
 * A client is known by the first frame of Torus's protocol; what else goes
 * through (HTTP to etcd) is of class 0.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

#include "link.h"
#include "wire/proto.h"

#define BUFFER (256u << 10)
#define SLICE_MS 20
#define STACK (128u << 10)

struct pump {
	struct connection *connection;
	enum link_direction direction;
	int from, to;
	unsigned int seed;
	unsigned int cut_number;	/* rule that `left` belongs to */
	uint64_t left;			/* bytes until the cut */
};

struct connection {
	struct link *link;
	int client, server;
	unsigned int class;
	bool dead;
	int users;
	struct pump pumps[LINK_DIRECTIONS];
};

/* ---- one connection -------------------------------------------------------- */

/* With a reset instead of an end: as if the machine had gone. */
static void connection_kill(struct connection *connection, bool reset)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	pthread_mutex_lock(&connection->link->mutex);
	connection->dead = true;
	pthread_cond_broadcast(&connection->link->changed);
	pthread_mutex_unlock(&connection->link->mutex);
	if (reset) {
		setsockopt(connection->client, SOL_SOCKET, SO_LINGER, &linger,
			   sizeof(linger));
		setsockopt(connection->server, SOL_SOCKET, SO_LINGER, &linger,
			   sizeof(linger));
	}
	shutdown(connection->client, reset ? SHUT_RD : SHUT_RDWR);
	shutdown(connection->server, reset ? SHUT_RD : SHUT_RDWR);
}

static void connection_put(struct connection *connection)
{
	int left;

	pthread_mutex_lock(&connection->link->mutex);
	left = --connection->users;
	pthread_mutex_unlock(&connection->link->mutex);
	if (left)
		return;
	close(connection->client);
	close(connection->server);
	free(connection);
}

/* The rule that holds now; waits while that is to wait. False: dead. */
static bool rule_wait(struct pump *pump, struct link_rule *rule)
{
	struct connection *connection = pump->connection;
	struct link *link = connection->link;

	pthread_mutex_lock(&link->mutex);
	for (;;) {
		*rule = link->rules[connection->class][pump->direction];
		if (rule->mode != LINK_HOLD || connection->dead)
			break;
		pthread_cond_wait(&link->changed, &link->mutex);
	}
	pthread_mutex_unlock(&link->mutex);
	return !connection->dead;
}

static void sleep_ms(uint64_t ms)
{
	struct timespec time = { (time_t)(ms / 1000),
				 (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

static bool send_all(int fd, const char *data, size_t length)
{
	ssize_t sent;

	while (length) {
		sent = send(fd, data, length, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		data += sent;
		length -= (size_t)sent;
	}
	return true;
}

/* Slices, so that the rule's end is seen soon. */
static bool send_slowly(struct pump *pump, const char *data, size_t length,
			struct link_rule rule)
{
	size_t slice, sent = 0;

	while (sent < length && rule.mode == LINK_SLOW) {
		slice = rule.amount * SLICE_MS / 1000 + 1;
		if (slice > length - sent)
			slice = length - sent;
		if (!send_all(pump->to, data + sent, slice))
			return false;
		sent += slice;
		sleep_ms(SLICE_MS);
		if (!rule_wait(pump, &rule))
			return false;
	}
	return send_all(pump->to, data + sent, length - sent);
}

/* Sends what is left until the cut; false when that was the end. */
static bool send_cut(struct pump *pump, const char *data, size_t length,
		     const struct link_rule *rule)
{
	if (pump->cut_number != rule->number) {
		pump->cut_number = rule->number;
		pump->left = rule->amount;
	}
	if (length <= pump->left) {
		pump->left -= length;
		return send_all(pump->to, data, length);
	}
	send_all(pump->to, data, pump->left);
	connection_kill(pump->connection, true);
	return false;
}

static bool pass(struct pump *pump, const char *data, size_t length)
{
	struct link_rule rule;

	if (!rule_wait(pump, &rule))
		return false;
	switch (rule.mode) {
	case LINK_DELAY:
		sleep_ms(rule.amount + (rule.jitter ?
			 (uint64_t)rand_r(&pump->seed) % rule.jitter : 0));
		break;
	case LINK_SLOW:
		return send_slowly(pump, data, length, rule);
	case LINK_CUT:
		return send_cut(pump, data, length, &rule);
	default:
		break;
	}
	return send_all(pump->to, data, length);
}

/* The role in the HELLO that the first bytes are, or 0. */
static unsigned int classify(const char *data, size_t length)
{
	const size_t body = sizeof(struct disk_wire_header);
	struct disk_wire_header header;
	struct wire_hello hello;
	uint32_t role;

	if (length < body + sizeof(hello))
		return 0;
	memcpy(&header, data, body);
	memcpy(&hello, data + body, sizeof(hello));
	role = le32toh(hello.role);
	if (le32toh(header.magic) != WIRE_MAGIC || role >= LINK_CLASSES)
		return 0;
	return role;
}

static void *pump_run(void *arg)
{
	struct pump *pump = arg;
	char *buffer = malloc(BUFFER);
	bool first = true;
	ssize_t got = 0;

	while (buffer) {
		got = recv(pump->from, buffer, BUFFER, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (first && pump->direction == LINK_UP)
			pump->connection->class = classify(buffer, (size_t)got);
		first = false;
		if (!pass(pump, buffer, (size_t)got))
			break;
	}
	free(buffer);
	connection_kill(pump->connection, got < 0);
	connection_put(pump->connection);
	return NULL;
}

/* ---- the port -------------------------------------------------------------- */

static void start_thread(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	if (pthread_create(&thread, &attr, run, arg)) {
		fprintf(stderr, "chaos-proxy: no more threads\n");
		exit(1);
	}
	pthread_attr_destroy(&attr);
}

static void reset(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void connection_start(struct link *link, int client)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int one = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int i;

	if (!connection || server < 0 || link->refusing ||
	    connect(server, (struct sockaddr *)&link->server,
		    sizeof(link->server))) {
		if (server >= 0)
			close(server);
		free(connection);
		reset(client);
		return;
	}
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*connection = (struct connection){ .link = link, .client = client,
		.server = server, .users = LINK_DIRECTIONS };
	for (i = 0; i < LINK_DIRECTIONS; i++)
		connection->pumps[i] = (struct pump){
			.connection = connection, .direction = i,
			.from = i == LINK_UP ? client : server,
			.to = i == LINK_UP ? server : client,
			.seed = (unsigned int)client * 2 + i,
		};
	for (i = 0; i < LINK_DIRECTIONS; i++)
		start_thread(pump_run, &connection->pumps[i]);
}

static void *listen_run(void *arg)
{
	struct link *link = arg;
	int client;

	for (;;) {
		client = accept4(link->listener, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0)
			connection_start(link, client);
		else if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	fprintf(stderr, "chaos-proxy: %s: %s\n", link->name, strerror(errno));
	exit(1);
}

struct link *link_new(const char *name, uint16_t port, uint16_t server)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct link *link = calloc(1, sizeof(*link));
	int one = 1;

	if (!link)
		return NULL;
	snprintf(link->name, sizeof(link->name), "%s", name);
	pthread_mutex_init(&link->mutex, NULL);
	pthread_cond_init(&link->changed, NULL);
	link->server = address;
	link->server.sin_port = htons(server);
	link->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (link->listener < 0 ||
	    setsockopt(link->listener, SOL_SOCKET, SO_REUSEADDR, &one,
		       sizeof(one)) ||
	    bind(link->listener, (struct sockaddr *)&address,
		 sizeof(address)) ||
	    listen(link->listener, 128)) {
		free(link);
		return NULL;
	}
	start_thread(listen_run, link);
	return link;
}

void link_set(struct link *link, unsigned int class, enum link_direction dir,
	      enum link_mode mode, uint64_t amount, uint64_t jitter)
{
	static unsigned int number;

	pthread_mutex_lock(&link->mutex);
	link->rules[class][dir] = (struct link_rule){
		.mode = mode, .amount = amount, .jitter = jitter,
		.number = ++number,
	};
	pthread_cond_broadcast(&link->changed);
	pthread_mutex_unlock(&link->mutex);
}

void link_refuse(struct link *link, bool refuse)
{
	pthread_mutex_lock(&link->mutex);
	link->refusing = refuse;
	pthread_mutex_unlock(&link->mutex);
}
