/* SPDX-License-Identifier: GPL-2.0 */
/* What the two forms of the channel share, and what each of them offers. */
#ifndef _TORUS_CHANNEL_FORMS_H
#define _TORUS_CHANNEL_FORMS_H

#include <linux/gfp.h>
#include <linux/torus_io.h>

struct netlink_ext_ack;
struct sk_buff;
struct torus_queue;
struct torus_session;

/* Whoever submits may hold any lock, and reclaim may wait for us. */
#define TORUS_SEND_GFP (GFP_ATOMIC | __GFP_NOWARN | __GFP_NOMEMALLOC)

/* ---- channel.c: the life of a completion ------------------------------ */

/**
 * torus_channel_check - whether a correct helper could have made a completion
 *
 * Return: 0 or -EINVAL.
 */
int torus_channel_check(struct torus_session *session,
			const struct torus_completion *entry,
			struct netlink_ext_ack *extack);

/**
 * torus_channel_end - end the requests that a batch of completions ends
 * @entries: checked, at most TORUS_COMPLETION_BATCH; need not be aligned
 * @nr: how many
 * @ended: gets how many requests ended
 *
 * Return: 0, or -ESTALE if the session has died: nothing has ended then.
 */
int torus_channel_end(struct torus_session *session, const void *entries,
		      unsigned int nr, unsigned int *ended,
		      struct netlink_ext_ack *extack);

/** torus_channel_entry - copy one of @entries */
static inline void torus_channel_entry(const void *entries, unsigned int i,
				       struct torus_completion *entry)
{
	memcpy(entry, entries + i * TORUS_COMPLETION_SIZE,
	       TORUS_COMPLETION_SIZE);
}

/** torus_channel_post - send @skb to a queue's socket; frees it in any case */
int torus_channel_post(struct torus_queue *queue, struct torus_session *session,
		       struct sk_buff *skb);

/** torus_channel_describe - fill a descriptor; the slot is the helper's then */
void torus_channel_describe(struct torus_queue *queue, u16 tag,
			    struct torus_desc *desc);

/* ---- channel_message.c ------------------------------------------------ */

int torus_message_channel_init(void);
u32 torus_message_channel_size(void);
bool torus_message_channel_prepare(struct torus_queue *queue);
void torus_message_channel_send(struct torus_queue *queue,
				struct torus_session *session);

/* ---- channel_ring.c --------------------------------------------------- */

void torus_ring_channel_submit(struct torus_queue *queue,
			       struct torus_session *session, u16 tag);

/** torus_ring_channel_defers - whether a drain copies, not the submitter */
bool torus_ring_channel_defers(struct torus_queue *queue,
			       struct torus_session *session, u32 bytes);

/** torus_ring_channel_wake - ring the doorbell if the helper sleeps */
void torus_ring_channel_wake(struct torus_queue *queue,
			     struct torus_session *session);

/** torus_ring_channel_drain - carry out what the helper has published */
void torus_ring_channel_drain(struct torus_queue *queue,
			      struct torus_session *session);

void torus_ring_channel_look(struct torus_queue *queue,
			     struct torus_session *session);

#endif /* _TORUS_CHANNEL_FORMS_H */
