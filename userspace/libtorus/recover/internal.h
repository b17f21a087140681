/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of recovery:
 *
 *	recover.c	life, the peers, choices
 *	ask.c		one question to a peer, or to all of them
 *	gather.c	documents, volumes, lists of chunks
 *	scan.c		the headers of a volume's chunks
 *	chain.c		how records follow each other: pure
 *	choose.c	which root, where its log ends; the volume's document
 *	fence.c		FENCE and SEAL
 *	metadata.c	what the metadata store has, and will have
 */
#ifndef TORUS_RECOVER_INTERNAL_H
#define TORUS_RECOVER_INTERNAL_H

#include <stdlib.h>

#include "peer/peer.h"
#include "recover/recover.h"
#include "volume/root.h"
#include "wire/record.h"

struct recover_peer {
	struct recover *r;
	char address[ADDRESS_MAX];
	struct uuid id;
	struct peer *peer;
	struct peer_call call;
	char *documents;		/* cluster NUL ring NUL, or NULL */
	size_t documents_len;
};

/* A store's copy of a chunk. Sorted by volume, chunk, peer. */
struct recover_copy {
	uint64_t volume, chunk;
	struct recover_peer *peer;
	uint32_t length, end_crc;
	bool sealed;
	bool odd;			/* does not fit the others */
	bool tried;			/* scanned for what others lack */
	uint64_t epoch;			/* that sealed it; asked for in need */
};

struct recover_choice {
	char volume[VOLUME_NAME_MAX];
	char peer[ADDRESS_MAX];		/* "": a root */
	block_addr_t root;
	bool truncate;			/* any root, as far as it goes */
};

struct recover_seen {			/* what the stores know of a volume */
	uint64_t volume, epoch, chunk_max, root;
	bool deleted;
};

/* A stretch of the log: [.., length) of a chunk; it goes on in next. */
struct recover_step {
	uint64_t chunk, next;		/* next 0: the log ends */
	uint32_t length, end_crc;
	bool complete;			/* LAST there */
	uint32_t copies;
};

struct recover_path {
	struct recover_step *steps;
	uint32_t count;
	size_t room;
	uint64_t sequence;		/* of the last record */
	uint32_t crc;
};

struct chain_end { uint32_t block, crc; };

/* The records of a chunk, as the best of its copies have them. */
struct chain_chunk {
	uint64_t number;
	struct recover_copy *copies;
	uint32_t copy_count;
	bool scanned;
	uint32_t limit;			/* sealed there; CHUNK_BLOCKS_MAX */
	uint64_t first_sequence;
	uint32_t first_prev_crc;
	struct chain_end *ends;		/* of its records, in order */
	uint32_t count;
	size_t room;
	uint32_t last_end;		/* of the record with LAST; 0 */
	uint64_t low, high;		/* volume blocks that it changes */
};

struct chain_root {			/* a root record that was seen */
	block_addr_t addr;
	uint64_t sequence;		/* of this record */
	uint32_t crc, end;
	uint32_t payload, blocks;	/* where it lies in the chunk */
};

/* One volume being surveyed. */
struct log_search {
	struct recover *r;
	const struct recover_seen *seen;
	struct chain_chunk *chunks;	/* by number */
	uint32_t chunk_count;
	uint32_t *by_first;		/* chunks with records, by sequence */
	uint32_t by_first_count;
	struct chain_root *roots;
	uint32_t root_count;
	size_t root_room;
	uint64_t flushed;		/* highest watermark of all headers */
	uint64_t volume_blocks;		/* one above the highest written */
	struct record *record;
	struct chain_chunk *odd;	/* copies disagree in this one */
	const struct recover_choice *choice;
};

/* Where the answer to the question that is being asked goes. */
struct recover_take {
	int err;
	bool more;			/* ask again, from here */
	uint64_t volume, chunk;
	struct log_search *s;
	struct chain_chunk *c;
	struct recover_copy *copy;
	void *buffer;
	uint32_t bytes;
};

struct meta_entry { char *key, *value; int64_t revision; };

struct recover {
	struct recover_config cfg;
	struct peer_set *set;
	struct uuid cluster;
	struct recover_peer peers[RECOVER_PEERS_MAX];
	uint32_t peer_count;
	struct recover_take take;
	struct recover_choice *choices;
	uint32_t choice_count;
	uint64_t only;			/* volume; 0 = all */
	struct recover_copy *copies;
	size_t copy_count, copy_room;
	struct recover_seen *seen;
	uint32_t seen_count;
	size_t seen_room;
	struct recover_volume *volumes;
	struct recover_path *paths;	/* of volumes */
	uint32_t volume_count;
	struct cluster_doc cluster_doc;
	struct recover_ring ring;
	/* metadata.c */
	struct meta *meta;
	struct meta_entry *entries;
	size_t entry_count;
	bool has_cluster, compared;
	bool write_ring;
	uint64_t next_volume;
};

/**
 * recover_decode_documents() - what a store remembers: cluster NUL ring NUL, of
 * @len bytes in all, the last of which is a NUL. 0 or -EBADMSG.
 */
int recover_decode_documents(const char *text, size_t len,
			     struct cluster_doc *cluster,
			     struct ring_doc *ring);

/** recover_wake() - what is waited for has come. */
static inline void recover_wake(struct recover *r, bool *done)
{
	*done = true;
	if (r->cfg.wake)
		r->cfg.wake(r->cfg.ctx);
}

/* ---- ask.c -------------------------------------------------------------- */

/** recover_hello() - who listens at @address. */
int recover_hello(struct recover *r, const char *address, struct uuid *cluster,
		  struct uuid *peer);

/*
 * recover_ask() - one question to one peer. take() is called with the answer,
 * whatever its status, while its reply and data are there.
 * 0, or -errno with error text when there was no answer.
 */
int recover_ask(struct recover *r, struct recover_peer *p, enum wire_type type,
		const void *body, void (*take)(struct peer_call *call));

/** recover_data() - the answer's data in one piece; NULL: none. */
static inline const void *recover_data(const struct peer_call *call)
{
	return call->reply_len && call->scratch_count == 1 ?
	       call->scratch[0].iov_base : NULL;
}

/** recover_grow() - @array with room for one more than @count elements of @size
 * bytes; it has *@room. NULL: out of memory, and @array is as it was. */
static inline void *recover_grow(void *array, size_t size, size_t count,
				 size_t *room)
{
	size_t more = *room ? 2 * *room : 64;

	if (count < *room)
		return array;
	array = realloc(array, more * size);
	if (array)
		*room = more;
	return array;
}

/* ---- gather.c ------------------------------------------------------------ */

int recover_gather(struct recover *r);
void recover_forget(struct recover *r);

/* ---- scan.c -------------------------------------------------------------- */

int log_search_open(struct log_search *s, struct recover *r,
		    const struct recover_seen *seen);
void log_search_release(struct log_search *s);

/** log_search_scan() - all chunks from number @first on, where not done yet. */
int log_search_scan(struct log_search *s, uint64_t first);

/** log_search_read_root() - the payload of a root, checked; root_release() it. */
int log_search_read_root(struct log_search *s, const struct chain_root *at,
			 struct root *root);

/** log_search_durable() - how much of a chunk was durable in some store once,
 * also where that is damaged now. */
int log_search_durable(struct log_search *s, uint64_t chunk, uint32_t *blocks);

/* ---- chain.c ------------------------------------------------------------- */

struct chain_chunk *chain_find(const struct log_search *s, uint64_t number);

/** chain_index() - after scanning. 0 or -ENOMEM. */
int chain_index(struct log_search *s);

/** chain_tip() - the highest chunk with records, or NULL. */
const struct chain_chunk *chain_tip(const struct log_search *s);

/** chain_end_at() - record that ends at @block: its index, or -1. */
int64_t chain_end_at(const struct chain_chunk *c, uint32_t block);

/**
 * chain_follow() - the log from where record @sequence with header @crc ends,
 * @addr. Of two chunks that claim to go on there the higher one counts.
 * 0 or -ENOMEM; the path is for recover_path_release().
 */
int chain_follow(const struct log_search *s, block_addr_t addr, uint64_t sequence,
		 uint32_t crc, struct recover_path *path);
void recover_path_release(struct recover_path *path);

/** chain_holds() - @path passes through the record of @root. */
bool chain_holds(const struct recover_path *path, const struct chain_root *root);

/* ---- choose.c ------------------------------------------------------------ */

/** recover_judge() - fill in volume and path from what was seen. 0, or an
 * error that is none of the volume's. */
int recover_judge(struct recover *r, const struct recover_seen *seen,
		  struct recover_volume *volume, struct recover_path *path);

/** recover_list() - doc's sealed list, for a log that goes along @path. */
int recover_list_sealed(struct recover_volume *volume,
			const struct recover_path *path);

/* ---- metadata.c ---------------------------------------------------------- */

void recover_forget_metadata(struct recover *r);

#endif
