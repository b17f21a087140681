// SPDX-License-Identifier: Apache-2.0
/*
 * Where scrub was, kept over restarts: one small text file, written anew under
 * another name, made durable and renamed.
 *
 *	load: open -> read -> close -> loaded()
 *	save: open scrub.new -> write -> sync -> close -> rename -> sync ""
 *
 * One save at a time; what changes meanwhile is saved after it. Nothing depends
 * on the file: without it, or when it cannot be written (a full disk), a round
 * begins anew after a restart.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "maint/scrub.h"

#define NAME		"scrub"
#define NAME_NEW	"scrub.new"
#define FORMAT_VERSION	1

#define FORMAT "torus scrub %u\nround %u\npaused %u\nvolume %" PRIx64 \
	"\nchunk %" PRIx64 "\nnext %" PRIu64 "\nbegan %" PRIu64 \
	"\nended %" PRIu64 "\nchunks %" PRIu64 "\nbytes %" PRIu64 "\n"
#define SCAN "torus scrub %u round %u paused %u volume %" SCNx64 \
	" chunk %" SCNx64 " next %" SCNu64 " began %" SCNu64 \
	" ended %" SCNu64 " chunks %" SCNu64 " bytes %" SCNu64 " %n"

size_t scrub_saved_format(const struct scrub_saved *s, char *text, size_t len)
{
	int n = snprintf(text, len, FORMAT, FORMAT_VERSION,
			 (unsigned int)s->in_round, (unsigned int)s->paused,
			 s->cursor.volume, s->cursor.chunk, s->next_ms,
			 s->began_ms, s->ended_ms, s->chunks, s->bytes);

	return (size_t)n;
}

int scrub_saved_parse(const char *given, size_t len, struct scrub_saved *saved)
{
	unsigned int version = 0, in_round = 2, paused = 2;
	char text[SCRUB_TEXT_MAX + 1];
	struct scrub_saved s = { 0 };
	int end = 0;

	/* A number that was cut off is another number. */
	if (len == 0 || len > SCRUB_TEXT_MAX || given[len - 1] != '\n')
		return -EINVAL;
	memcpy(text, given, len);
	text[len] = '\0';
	if (sscanf(text, SCAN, &version, &in_round, &paused, &s.cursor.volume,
		   &s.cursor.chunk, &s.next_ms, &s.began_ms, &s.ended_ms,
		   &s.chunks, &s.bytes, &end) != 10 ||
	    (size_t)end != len || version != FORMAT_VERSION || in_round > 1 ||
	    paused > 1)
		return -EINVAL;
	s.in_round = in_round;
	s.paused = paused;
	*saved = s;
	return 0;
}

struct scrub_state {
	struct env *env;		/* NULL: freed */
	struct env *file_env;
	void (*loaded)(void *ctx, const struct scrub_saved *saved);
	void *ctx;
	struct env_file_op op;
	struct iovec iov;
	int file;
	int64_t result;			/* of the operation that counts */
	bool busy;			/* an operation is under way */
	bool saving, again;
	struct scrub_saved wanted;	/* to be in the file */
	struct list_head orphan;
	char text[SCRUB_TEXT_MAX];
};

/* Freed, with an operation under way: that of a process which is over never
 * ends, and then these are still to be found. */
static struct list_head orphans = LIST_HEAD_INIT(orphans);

static void submit(struct scrub_state *state, enum env_file_type type,
		   void (*done)(struct env_file_op *op))
{
	state->busy = true;
	state->op = (struct env_file_op){
		.type = type, .file = state->file, .iov = &state->iov,
		.iov_count = 1, .done = done, .ctx = state,
	};
	switch (type) {
	case FILE_OPEN:
		state->op.path = state->saving ? NAME_NEW : NAME;
		state->op.flags = state->saving ? FILE_CREATE : 0;
		break;
	case FILE_RENAME:
		state->op.path = NAME_NEW;
		state->op.path2 = NAME;
		break;
	case FILE_SYNC_DIR:
		state->op.path = "";
		break;
	default:
		break;
	}
	env_file_submit(state->file_env, &state->op);
}

/* ---- load ------------------------------------------------------------------ */

/* The last operation of a row has ended. Returns false: nobody is there. */
static bool at_rest(struct scrub_state *state)
{
	state->busy = false;
	if (state->env != NULL)
		return true;
	list_del_init(&state->orphan);
	free(state);
	return false;
}

static void load_over(struct scrub_state *state, int64_t len)
{
	struct scrub_saved saved = { 0 };

	if (!at_rest(state))
		return;
	if (len >= 0 && scrub_saved_parse(state->text, (size_t)len,
					  &saved) < 0)
		log_warning("the file " NAME " makes no sense; scrub begins anew");
	else if (len < 0 && len != -ENOENT)
		log_warning("the file " NAME " cannot be read (%s); scrub begins anew",
			    strerror((int)-len));
	state->loaded(state->ctx, &saved);
}

static void load_closed(struct env_file_op *op)
{
	struct scrub_state *state = op->ctx;

	load_over(state, state->result);
}

static void load_read(struct env_file_op *op)
{
	struct scrub_state *state = op->ctx;

	state->result = op->result;
	submit(state, FILE_CLOSE, load_closed);
}

static void load_opened(struct env_file_op *op)
{
	struct scrub_state *state = op->ctx;

	if (op->result < 0) {
		load_over(state, op->result);
		return;
	}
	state->file = (int)op->result;
	state->iov = (struct iovec){ state->text, sizeof(state->text) };
	submit(state, FILE_READ, load_read);
}

struct scrub_state *scrub_state_load(struct env *env,
				     void (*loaded)(void *ctx,
						    const struct scrub_saved *),
				     void *ctx)
{
	struct scrub_state *state = calloc(1, sizeof(*state));

	if (state == NULL)
		return NULL;
	state->env = env;
	state->file_env = env;
	state->loaded = loaded;
	state->ctx = ctx;
	list_init(&state->orphan);
	submit(state, FILE_OPEN, load_opened);
	return state;
}

void scrub_state_free(struct scrub_state *state)
{
	if (state == NULL)
		return;
	if (!state->busy) {
		free(state);
		return;
	}
	state->env = NULL;
	list_add_tail(&state->orphan, &orphans);
}

/* ---- save ------------------------------------------------------------------ */

static void save_begin(struct scrub_state *state);

static void save_over(struct scrub_state *state, int64_t result)
{
	if (!at_rest(state))
		return;
	if (result < 0)
		log_warning("the file " NAME " cannot be written (%s); after a restart scrub goes on from where it was saved last",
			    strerror((int)-result));
	state->saving = false;
	if (state->again)
		save_begin(state);
}

static void save_dir_synced(struct env_file_op *op)
{
	save_over(op->ctx, op->result);
}

static void save_renamed(struct env_file_op *op)
{
	if (op->result < 0)
		save_over(op->ctx, op->result);
	else
		submit(op->ctx, FILE_SYNC_DIR, save_dir_synced);
}

static void save_closed(struct env_file_op *op)
{
	struct scrub_state *state = op->ctx;

	if (state->result < 0)
		save_over(state, state->result);
	else
		submit(state, FILE_RENAME, save_renamed);
}

static void save_synced(struct env_file_op *op)
{
	struct scrub_state *state = op->ctx;

	state->result = op->result;
	submit(state, FILE_CLOSE, save_closed);
}

static void save_written(struct env_file_op *op)
{
	struct scrub_state *state = op->ctx;

	state->result = op->result;
	if (op->result >= 0 && op->result < SCRUB_TEXT_MAX)
		state->result = -ENOSPC;
	if (state->result < 0)
		submit(state, FILE_CLOSE, save_closed);
	else
		submit(state, FILE_SYNC, save_synced);
}

static void save_opened(struct env_file_op *op)
{
	struct scrub_state *state = op->ctx;

	if (op->result < 0) {
		save_over(state, op->result);
		return;
	}
	state->file = (int)op->result;
	submit(state, FILE_WRITE, save_written);
}

/* Always as long as the room is, so that nothing older can be left behind. */
static void save_begin(struct scrub_state *state)
{
	size_t len = scrub_saved_format(&state->wanted, state->text,
					sizeof(state->text));

	memset(state->text + len, '\n', sizeof(state->text) - len);
	state->iov = (struct iovec){ state->text, sizeof(state->text) };
	state->saving = true;
	state->again = false;
	submit(state, FILE_OPEN, save_opened);
}

void scrub_state_save(struct scrub_state *state,
		      const struct scrub_saved *saved)
{
	state->wanted = *saved;
	if (state->saving)
		state->again = true;
	else
		save_begin(state);
}
