/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One event per transition of a request, a session and a device, the errors
 * included; Documentation/ABI/torus says what each of them means.
 *
 * Every event of a request is emitted by whoever owns it just then, so the
 * events of a slot are in the order in which things happened.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM torus

#if !defined(_TORUS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TORUS_TRACE_H

#include <linux/blk-mq.h>
#include <linux/tracepoint.h>
#include <linux/types.h>
#include <linux/torus.h>
#include <linux/torus_io.h>

#include "request.h"

/* Tools outside the kernel learn the numbers, too. */
TRACE_DEFINE_ENUM(TORUS_OP_READ);
TRACE_DEFINE_ENUM(TORUS_OP_WRITE);
TRACE_DEFINE_ENUM(TORUS_OP_FLUSH);
TRACE_DEFINE_ENUM(TORUS_OP_DISCARD);
TRACE_DEFINE_ENUM(TORUS_OP_WRITE_ZEROES);
TRACE_DEFINE_ENUM(TORUS_STATE_NEW);
TRACE_DEFINE_ENUM(TORUS_STATE_STARTING);
TRACE_DEFINE_ENUM(TORUS_STATE_LIVE);
TRACE_DEFINE_ENUM(TORUS_STATE_RECOVERING);
TRACE_DEFINE_ENUM(TORUS_STATE_FAILED);
TRACE_DEFINE_ENUM(TORUS_STATE_DELETING);
TRACE_DEFINE_ENUM(TORUS_STATE_DELETED);

#define show_torus_op(op)						\
	__print_symbolic(op,						\
			 { TORUS_OP_READ, "read" },			\
			 { TORUS_OP_WRITE, "write" },			\
			 { TORUS_OP_FLUSH, "flush" },			\
			 { TORUS_OP_DISCARD, "discard" },		\
			 { TORUS_OP_WRITE_ZEROES, "write-zeroes" })

#define show_torus_state(state)						\
	__print_symbolic(state,						\
			 { TORUS_STATE_NEW, "new" },			\
			 { TORUS_STATE_STARTING, "starting" },		\
			 { TORUS_STATE_LIVE, "live" },			\
			 { TORUS_STATE_RECOVERING, "recovering" },	\
			 { TORUS_STATE_FAILED, "failed" },		\
			 { TORUS_STATE_DELETING, "deleting" },		\
			 { TORUS_STATE_DELETED, "deleted" })

/* What the block layer's request says; its owner calls. */
DECLARE_EVENT_CLASS(torus_request_class,
	TP_PROTO(u32 dev, u16 queue, u32 generation, const struct request *rq,
		 int info),
	TP_ARGS(dev, queue, generation, rq, info),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u16, queue)
		__field(u16, tag)
		__field(u32, generation)
		__field(u8, op)
		__field(u64, offset)
		__field(u32, length)
		__field(int, info)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->queue = queue;
		__entry->tag = rq->tag;
		__entry->generation = generation;
		__entry->op = torus_request_op(rq);
		__entry->length = torus_request_length(rq);
		__entry->offset = __entry->length ?
				  (u64)blk_rq_pos(rq) << SECTOR_SHIFT : 0;
		__entry->info = info;
	),
	TP_printk("torus%u queue=%u tag=%u generation=%u op=%s offset=%llu length=%u info=%d",
		  __entry->dev, __entry->queue, __entry->tag,
		  __entry->generation, show_torus_op(__entry->op),
		  __entry->offset, __entry->length, __entry->info)
);

#define DEFINE_REQUEST_EVENT(name)					\
	DEFINE_EVENT(torus_request_class, name,				\
		     TP_PROTO(u32 dev, u16 queue, u32 generation,	\
			      const struct request *rq, int info),	\
		     TP_ARGS(dev, queue, generation, rq, info))

/* info: the block layer's flags of the request */
DEFINE_REQUEST_EVENT(torus_queued);
/* info: the result */
DEFINE_REQUEST_EVENT(torus_completed);
/* info: how many sessions this request has stalled */
DEFINE_REQUEST_EVENT(torus_requeued);
DEFINE_REQUEST_EVENT(torus_timed_out);
/* info: negative errno that the application gets */
DEFINE_REQUEST_EVENT(torus_failed);

/* What the helper is told. */
TRACE_EVENT(torus_sent,
	TP_PROTO(u32 dev, const struct torus_desc *desc),
	TP_ARGS(dev, desc),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u16, queue)
		__field(u16, tag)
		__field(u32, generation)
		__field(u8, op)
		__field(u8, flags)
		__field(u64, offset)
		__field(u32, length)
		__field(u64, arena_offset)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->queue = desc->queue;
		__entry->tag = desc->tag;
		__entry->generation = desc->generation;
		__entry->op = desc->op;
		__entry->flags = desc->flags;
		__entry->offset = desc->offset;
		__entry->length = desc->length;
		__entry->arena_offset = desc->arena_offset;
	),
	TP_printk("torus%u queue=%u tag=%u generation=%u op=%s flags=%#x offset=%llu length=%u arena_offset=%llu",
		  __entry->dev, __entry->queue, __entry->tag,
		  __entry->generation, show_torus_op(__entry->op),
		  __entry->flags, __entry->offset, __entry->length,
		  __entry->arena_offset)
);

/* A sending, when the request itself is somebody else's or nobody's. */
DECLARE_EVENT_CLASS(torus_slot_class,
	TP_PROTO(u32 dev, u16 queue, u16 tag, u32 generation, int info),
	TP_ARGS(dev, queue, tag, generation, info),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u16, queue)
		__field(u16, tag)
		__field(u32, generation)
		__field(int, info)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->queue = queue;
		__entry->tag = tag;
		__entry->generation = generation;
		__entry->info = info;
	),
	TP_printk("torus%u queue=%u tag=%u generation=%u info=%d",
		  __entry->dev, __entry->queue, __entry->tag,
		  __entry->generation, __entry->info)
);

#define DEFINE_SLOT_EVENT(name)						\
	DEFINE_EVENT(torus_slot_class, name,				\
		     TP_PROTO(u32 dev, u16 queue, u16 tag,		\
			      u32 generation, int info),		\
		     TP_ARGS(dev, queue, tag, generation, info))

/* info: the negative errno of the send */
DEFINE_SLOT_EVENT(torus_unsent);
/* info: the result */
DEFINE_SLOT_EVENT(torus_late);

/* What passes between the driver and a queue's socket. */
DECLARE_EVENT_CLASS(torus_queue_class,
	TP_PROTO(u32 dev, u16 queue, u64 session, int info),
	TP_ARGS(dev, queue, session, info),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u16, queue)
		__field(u64, session)
		__field(int, info)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->queue = queue;
		__entry->session = session;
		__entry->info = info;
	),
	TP_printk("torus%u queue=%u session=%llu info=%d",
		  __entry->dev, __entry->queue, __entry->session,
		  __entry->info)
);

#define DEFINE_QUEUE_EVENT(name)					\
	DEFINE_EVENT(torus_queue_class, name,				\
		     TP_PROTO(u32 dev, u16 queue, u64 session,		\
			      int info),				\
		     TP_ARGS(dev, queue, session, info))

/* info: 0, or the negative errno of the send */
DEFINE_QUEUE_EVENT(torus_doorbell);
/* info: requests that it ended */
DEFINE_QUEUE_EVENT(torus_drain);
/* info: negative errno */
DEFINE_QUEUE_EVENT(torus_malformed);

DECLARE_EVENT_CLASS(torus_session_class,
	TP_PROTO(u32 dev, u64 session, int pid, int error),
	TP_ARGS(dev, session, pid, error),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, session)
		__field(int, pid)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->session = session;
		__entry->pid = pid;
		__entry->error = error;
	),
	TP_printk("torus%u session=%llu pid=%d error=%d",
		  __entry->dev, __entry->session, __entry->pid, __entry->error)
);

#define DEFINE_SESSION_EVENT(name)					\
	DEFINE_EVENT(torus_session_class, name,				\
		     TP_PROTO(u32 dev, u64 session, int pid, int error), \
		     TP_ARGS(dev, session, pid, error))

DEFINE_SESSION_EVENT(torus_session_bound);
DEFINE_SESSION_EVENT(torus_session_started);
DEFINE_SESSION_EVENT(torus_session_active);
/* error: why it was lost; 0 if the helper left or died */
DEFINE_SESSION_EVENT(torus_session_lost);
DEFINE_SESSION_EVENT(torus_session_revoked);

TRACE_EVENT(torus_state,
	TP_PROTO(u32 dev, int from, int to, int error),
	TP_ARGS(dev, from, to, error),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(int, from)
		__field(int, to)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->from = from;
		__entry->to = to;
		__entry->error = error;
	),
	TP_printk("torus%u %s -> %s error=%d", __entry->dev,
		  show_torus_state(__entry->from),
		  show_torus_state(__entry->to), __entry->error)
);

#endif /* _TORUS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
