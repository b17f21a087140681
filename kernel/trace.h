/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One event per transition of a request, a session and a device:
 *
 *   torus_queued, torus_sent, torus_unsent, torus_completed, torus_late,
 *   torus_revoked, torus_stalled
 *   torus_session_bound, torus_session_active, torus_session_dead
 *   torus_state
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM torus

#if !defined(_TORUS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TORUS_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

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

/* info: the operation */
DEFINE_SLOT_EVENT(torus_queued);
/* info: descriptors in the message */
DEFINE_SLOT_EVENT(torus_sent);
/* info: the negative errno of the send */
DEFINE_SLOT_EVENT(torus_unsent);
/* info: the result */
DEFINE_SLOT_EVENT(torus_completed);
DEFINE_SLOT_EVENT(torus_late);
/* info: how many sessions this request has stalled */
DEFINE_SLOT_EVENT(torus_revoked);
DEFINE_SLOT_EVENT(torus_stalled);

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

DEFINE_EVENT(torus_session_class, torus_session_bound,
	     TP_PROTO(u32 dev, u64 session, int pid, int error),
	     TP_ARGS(dev, session, pid, error));
DEFINE_EVENT(torus_session_class, torus_session_active,
	     TP_PROTO(u32 dev, u64 session, int pid, int error),
	     TP_ARGS(dev, session, pid, error));
DEFINE_EVENT(torus_session_class, torus_session_dead,
	     TP_PROTO(u32 dev, u64 session, int pid, int error),
	     TP_ARGS(dev, session, pid, error));

TRACE_EVENT(torus_state,
	TP_PROTO(u32 dev, int state, int error),
	TP_ARGS(dev, state, error),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(int, state)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->state = state;
		__entry->error = error;
	),
	TP_printk("torus%u state=%d error=%d",
		  __entry->dev, __entry->state, __entry->error)
);

#endif /* _TORUS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
