// SPDX-License-Identifier: Apache-2.0
/*
 * What peers answer to torusctl: STAT, MAINTENANCE and LOOKUP, with replies made
 * of the input, and all that `status`, `scrub`, `peer list` and `ring get` say
 * of it. The metadata store is this file: three peers, two volumes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "env/env.h"
#include "live.h"
#include "survey.h"

#define PEERS 3u
#define CALLS_MAX 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
void __wrap_peer_call(struct peer *peer, struct peer_call *call);
struct peer *__wrap_peer_find(struct peer_set *set, const struct uuid *id);
struct peer_set *__wrap_cluster_peers(struct cluster *cluster);
void __wrap_cluster_close(struct cluster *cluster);
void __wrap_env_uring_stop(struct env *env);

static struct {
	const uint8_t *data;
	size_t size, at;
	struct peer_call *calls[CALLS_MAX];	/* under way */
	unsigned int call_count;
} in;

static void check(int condition)
{
	if (!condition)
		abort();
}

static void take(void *to, size_t len)
{
	uint8_t *out = to;

	for (; len > 0; len--, in.at++)
		*out++ = in.at < in.size ? in.data[in.at] : 0;
}

static uint8_t take_byte(void)
{
	uint8_t byte;

	take(&byte, 1);
	return byte;
}

static void *room(size_t len)
{
	void *bytes = calloc(1, len + 1);

	check(bytes != NULL);
	return bytes;
}

static void set_id(struct uuid *id, unsigned int i)
{
	memset(id, 0, sizeof(*id));
	id->byte[0] = (uint8_t)(i + 1);
}

/* ---- replies ---------------------------------------------------------------- */

/* What may come with a reply of this type: wire/proto.c lets nothing else in. */
static size_t data_bytes(const struct peer_call *call, uint8_t how)
{
	if (call->type == WIRE_MAINTENANCE)
		return (how % 8 == 7 ? WIRE_FINDINGS_MAX : how % 8u) *
		       sizeof(struct wire_finding);
	if (call->type == WIRE_LOOKUP)
		return how & 1 ? call->data_len :
		       how % 8u * sizeof(struct wire_lookup_entry);
	return 0;
}

/* Mostly the number of findings is what was sent. */
static void set_count(struct wire_maintenance_reply *reply, size_t bytes,
		      uint8_t how)
{
	if (how & 8)
		return;
	reply->count = cpu_to_le32((uint32_t)(bytes /
					      sizeof(struct wire_finding)));
}

static void answer(struct peer_call *call)
{
	size_t body = (size_t)wire_body_size(call->type, true);
	uint8_t head = take_byte(), how = take_byte();
	size_t bytes = data_bytes(call, how), first = 0;
	struct iovec pieces[2] = { 0 };
	void *reply = room(body);
	char *data;

	take(reply, body);
	if (call->type == WIRE_MAINTENANCE)
		set_count(reply, bytes, how);
	/* In pieces, and no byte of ours behind them. */
	data = malloc(MAX(bytes, (size_t)1));
	check(data != NULL);
	take(data, bytes);
	if (how & 16)
		first = bytes / 3;
	pieces[0] = (struct iovec){ data, first };
	pieces[1] = (struct iovec){ data + first, bytes - first };
	call->err = head == 0xff ? -ETIMEDOUT : 0;
	call->status = head >= 0xf0 ? head % WIRE_STATUS_COUNT : 0;
	call->reply = reply;
	call->reply_len = (uint32_t)bytes;
	call->scratch = first ? pieces : &pieces[1];
	call->scratch_count = !bytes ? 0 : first ? 2 : 1;
	call->done(call);
	free(reply);
	free(data);
}

void __wrap_peer_call(struct peer *peer, struct peer_call *call)
{
	check(in.call_count < CALLS_MAX);
	in.calls[in.call_count++] = call;
}

int ctl_wait(struct ctl *ctl, const bool *done)
{
	unsigned int count = in.call_count;

	in.call_count = 0;
	for (unsigned int i = 0; i < count; i++)
		answer(in.calls[i]);
	check(*done);
	return 0;
}

/* ---- the world --------------------------------------------------------------- */

static uint64_t now(struct env *env)
{
	return NSEC_PER_SEC;
}

struct peer *__wrap_peer_find(struct peer_set *set, const struct uuid *id)
{
	return (struct peer *)(uintptr_t)id;
}

struct peer_set *__wrap_cluster_peers(struct cluster *cluster)
{
	return NULL;
}

void __wrap_cluster_close(struct cluster *cluster)
{
}

void __wrap_env_uring_stop(struct env *env)
{
}

struct cluster *ctl_cluster_open(struct ctl *ctl)
{
	return (struct cluster *)ctl;
}

static void fill_ring(struct ring_spec *spec, uint64_t version)
{
	spec->version = version;
	spec->type = RING_KETAMA;
	spec->replication = 2;
	spec->member_count = PEERS;
	for (unsigned int i = 0; i < PEERS; i++) {
		set_id(&spec->members[i].peer, i);
		spec->members[i].weight = 1u << 30;
	}
}

int ctl_ring_get(struct ctl *ctl, struct ring_doc *ring, int64_t *revision)
{
	memset(ring, 0, sizeof(*ring));
	fill_ring(&ring->current, 3);
	ring->has_previous = in.size & 1;
	if (ring->has_previous)
		fill_ring(&ring->previous, 2);
	*revision = 1;
	return 0;
}

int ctl_peers(struct ctl *ctl, struct ctl_peer **peers, size_t *count)
{
	*count = PEERS;
	*peers = room(PEERS * sizeof(**peers));
	for (unsigned int i = 0; i < PEERS; i++) {
		struct ctl_peer *p = &(*peers)[i];

		set_id(&p->doc.id, i);
		snprintf(p->doc.address, sizeof(p->doc.address), "peer%u:1", i);
		p->alive = p->member = true;
		p->weight = i ? 1u << 30 : 0;
		p->moved = 2 + i % 2;
	}
	return 0;
}

static void fill_volume(struct volume_doc *v, unsigned int i)
{
	memset(v->name, 'a', sizeof(v->name) - 1);
	v->id = i;
	v->size = 1u << 30;
	v->replication = 2;
	v->chunk_blocks = CHUNK_BLOCKS_MAX;
	v->next_chunk = 20;
	v->attachment.present = i;
	v->root.addr = in.size & 2;
	v->tail = (struct tail){ .first = 4, .last = 19, .ring_version = 3,
				 .excluded_count = 1 };
	set_id(&v->tail.excluded[0], 1);
}

int ctl_volumes(struct ctl *ctl, struct volume_doc **volumes, size_t *count)
{
	*count = 2;
	*volumes = room(2 * sizeof(**volumes));
	for (unsigned int i = 0; i < 2; i++)
		fill_volume(&(*volumes)[i], i);
	return 0;
}

/* The other one is another by now. */
int ctl_volume_get(struct ctl *ctl, const char *name, struct volume_doc *doc)
{
	memset(doc, 0, sizeof(*doc));
	fill_volume(doc, 1);
	return 0;
}

/* Whatever a root says; what peers send of one is checked by its CRC, and is
 * what fuzz_root and fuzz_record are for. */
int live_chunks_read(struct ctl *ctl, struct cluster *cluster,
		     const struct view *view, const struct survey *survey,
		     const struct volume_doc *v, struct live_chunks *live)
{
	uint8_t how = take_byte();

	live->count = how % 16u;
	live->chunks = room(live->count * sizeof(*live->chunks));
	for (size_t i = 0; i < live->count; i++)
		live->chunks[i] = 1 + i;
	return how >= 0xf8 ? -ENODATA : how >= 0xf0 ? -EAGAIN : 0;
}

void live_chunks_release(struct live_chunks *live)
{
	free(live->chunks);
}

int ctl_list(struct ctl *ctl, const char *prefix, struct ctl_value **values,
	     size_t *count)
{
	*values = NULL;
	*count = 0;
	return 0;
}

void ctl_values_free(struct ctl_value *values, size_t count)
{
}

int ctl_devices(struct ctl_device **devices, size_t *count)
{
	*devices = NULL;
	*count = 0;
	return 0;
}

int ctl_fail(int err)
{
	return CTL_FAILED;
}

int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
{
	return CTL_USAGE;
}

int ctl_txn(struct ctl *ctl, const struct meta_txn *txn)
{
	abort();
}

/* ---- the commands ------------------------------------------------------------ */

static bool is_zero(const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0 && !*at) {
		at++;
		len--;
	}
	return len == 0;
}

/* As survey.h says of an answer. */
static void check_survey(struct ctl *ctl)
{
	struct survey survey;
	struct ctl_peer *peers;
	size_t count;

	ctl_peers(ctl, &peers, &count);
	check(survey_run(ctl, peers, count, &survey) == 0);
	check(survey.count == count);
	for (size_t i = 0; i < count; i++) {
		const struct survey_answer *a = &survey.answers[i];

		check(a->space_state <= WIRE_SPACE_FULL);
		check(a->finding_count <= WIRE_FINDINGS_MAX);
		check(a->maintained ||
		      (is_zero(&a->m, sizeof(a->m)) && !a->finding_count));
	}
	survey_release(&survey);
	free(peers);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	/* What is said is not of interest here; libFuzzer has its own. */
	stdout = stderr = fopen("/dev/null", "w");
	check(stdout != NULL);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const commands[])(struct ctl *, int, char **) = {
		cmd_status, cmd_scrub_status, cmd_scrub_start, cmd_peer_list,
		cmd_ring_get,
	};
	static const struct env_ops ops = { .now = now };
	struct env env = { .ops = &ops };
	struct ctl ctl = { .cluster.chunk_size = CHUNK_SIZE_MAX, .env = &env };
	int status;

	if (size == 0)
		return 0;
	memset(&in, 0, sizeof(in));
	in.data = data + 1;
	in.size = size - 1;
	ctl.json = data[0] & 1;
	if (data[0] / 2 % 8u < ARRAY_SIZE(commands)) {
		status = commands[data[0] / 2 % 8u](&ctl, 0, NULL);
		check(status >= CTL_OK && status <= CTL_FAILED);
	} else {
		check_survey(&ctl);
	}
	check(in.call_count == 0);
	return 0;
}
