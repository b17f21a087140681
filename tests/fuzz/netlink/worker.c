// SPDX-License-Identifier: Apache-2.0
/*
 * One thread of the fuzzer. It has a few sessions in different stages of a
 * helper's life, and in each step does one of:
 *
 *  - what comes next in the life of one of them: bind, queue, start, serve;
 *  - something about a device: add, set, get, delete;
 *  - any operation with whatever session, whether it is its time or not;
 *  - what needs no message: leave by closing a socket, spoil a ring.
 *
 * Each message is spoilt with some probability before it is sent. What is
 * accepted moves the session on, spoilt or not. Devices are shared by all
 * threads, sessions are not, so binding over each other happens by itself.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "devices.h"
#include "rings.h"
#include "worker.h"

static bool stopping;

static bool must_stop(const struct worker *w)
{
	return __atomic_load_n(&stopping, __ATOMIC_RELAXED) ||
	       (w->messages && w->stats.messages >= w->messages);
}

void worker_stop_all(void)
{
	__atomic_store_n(&stopping, true, __ATOMIC_RELAXED);
}

/* ---- sending ----------------------------------------------------------------- */

static void print_hex(const struct message *m)
{
	uint8_t bytes[MESSAGE_ENCODED];
	size_t len = message_encode(m, 1, bytes);

	printf("#   ");
	for (size_t i = 0; i < len && i < 600; i++)
		printf("%02x", bytes[i]);
	printf(len > 600 ? "... (%zu bytes)\n" : "\n", len);
}

static void fault(struct worker *w, const struct message *m,
		  const struct answer *answer, const char *what)
{
	if (w->stats.faults++ > 20)
		return;
	flockfile(stdout);
	printf("# FAULT: %s (%s%s%s) %s: %d (%s); --seed %llu, thread %u, message %llu\n",
	       m->op->name, m->mutation ? m->mutation : "as it should be",
	       m->spoilt ? ": " : "", m->spoilt ? m->spoilt->name : "", what,
	       answer->error, answer->text, (unsigned long long)w->seed,
	       w->index, (unsigned long long)w->stats.messages);
	print_hex(m);
	funlockfile(stdout);
}

static void judge(struct worker *w, const struct message *m,
		  const struct answer *answer)
{
	bool accepted = answer->answered && !answer->error;

	if (m->unheard)
		return;
	if (m->must_refuse && accepted)
		fault(w, m, answer, "was accepted, but must be refused");
	if (!m->mutation && !answer->answered)
		fault(w, m, answer, "got no answer");
	else if (!m->mutation && !accepted && !valid_may_fail(m, answer))
		fault(w, m, answer, "was refused for no good reason");
}

/* What a dump and the answers to add tell of devices. */
static void note_devices(struct worker *w, const struct message *m,
			 const struct answer *answer)
{
	const struct nlmsghdr *hdr = (const void *)answer->data;

	for (unsigned int i = 0; i < answer->nr_ids; i++)
		devices_note(answer->ids[i]);
	if (answer->len && !(hdr->nlmsg_flags & NLM_F_MULTI) &&
	    m->cmd == TORUS_CMD_DEV_ADD) {
		w->stats.added++;
		devices_note(answer_number(answer, TORUS_A_DEV_ID));
	}
}

/* A message of which we cannot tell what the driver took it for. */
static bool is_garbled(struct message *m, const struct session *session)
{
	if (m->flips || m->cut || m->cmd != m->op->cmd)
		return true;
	return m->op->cmd > TORUS_CMD_SESSION_BIND &&
	       message_number(m, TORUS_A_SESSION_ID) != session->id;
}

static void move_on(struct worker *w, struct message *m, struct subject *s,
		    const struct answer *answer)
{
	struct session *session = s->session;

	if (session->state == SESSION_CLOSED)
		return;
	switch (m->op->cmd) {
	case TORUS_CMD_SESSION_BIND:
		session_bound(session, answer);
		break;
	case TORUS_CMD_SESSION_QUEUE:
		session->masks[s->port == &session->data[1]] |=
			message_number(m, TORUS_A_SESSION_QUEUE_MASK);
		break;
	case TORUS_CMD_SESSION_START:
		session->state = SESSION_STARTED;
		w->stats.started[session->form]++;
		break;
	case TORUS_CMD_SESSION_END:
		session_close(session);
		break;
	}
}

static bool is_session_op(const struct spec_op *op)
{
	return op->cmd >= TORUS_CMD_SESSION_BIND;
}

/* Whether a refusal of a good message means that the session has ended. */
static bool is_over(struct session *session, const struct message *m,
		    const struct answer *answer)
{
	if (!answer->error || answer->error == -EBUSY ||
	    answer->error == -EALREADY)
		return false;
	/* Started is not active yet: that takes a moment. */
	if (answer->error == -ESTALE && m->op->cmd >= TORUS_CMD_COMPLETE)
		return ++session->doubts > 8;
	return true;
}

static void settle(struct worker *w, struct message *m, struct subject *s,
		   const struct answer *answer)
{
	bool accepted = answer->answered && !answer->error && !m->unheard;

	note_devices(w, m, answer);
	if (answer->error == -ENODEV && !m->mutation)
		devices_forget(s->dev_id);
	if (!is_session_op(m->op))
		return;
	if (accepted && is_garbled(m, s->session))
		session_close(s->session);
	else if (accepted)
		move_on(w, m, s, answer);
	else if (!m->mutation && is_over(s->session, m, answer))
		session_close(s->session);
}

static void send_message(struct worker *w, struct message *m,
			 struct subject *s, int mutation)
{
	bool own = s->port != &w->port;
	struct answer answer;
	int ret;

	__atomic_store_n(&w->busy_since, clock_ms(), __ATOMIC_RELAXED);
	ret = port_call(s->port, m, &answer, own ? session_event : NULL,
			s->session);
	if (ret && ret != -EMSGSIZE && ret != -ENOBUFS) {
		/* The socket was closed on purpose; there was no message. */
		if (s->port->fd >= 0)
			fault(w, m, &answer, strerror(-ret));
		return;
	}
	stats_count(&w->stats, m, mutation, &answer);
	judge(w, m, &answer);
	settle(w, m, s, &answer);
}

/* What is right by itself, but not for this session, or not now. */
static const char *out_of_place(const struct message *m,
				const struct session *session)
{
	if (m->op->cmd < TORUS_CMD_SESSION_BIND)
		return NULL;
	if (session->state == SESSION_CLOSED)
		return "of a session that was left";
	if (m->op->cmd == TORUS_CMD_SESSION_START &&
	    session->state == SESSION_BOUND && session_free_queues(session))
		return "before all queues have sockets";
	if (m->op->cmd == TORUS_CMD_COMPLETE &&
	    session->form == TORUS_CHANNEL_RING)
		return "a message although there are rings";
	if (m->op->cmd == TORUS_CMD_DRAIN &&
	    session->form == TORUS_CHANNEL_MESSAGES)
		return "without rings";
	return NULL;
}

/* Whether a spoilt message is wanted instead of a good one. */
static bool wants_spoilt(struct worker *w, const struct spec_op *op)
{
	return chance_one_in(&w->chance,
			     op->cmd == TORUS_CMD_COMPLETE ? 6 : 3);
}

static void send_op(struct worker *w, uint8_t cmd, struct subject *s,
		    bool spoilt)
{
	const struct spec_op *op = spec_find(cmd);
	struct message m;
	int mutation = -1;

	valid_fill(&m, op, s, &w->chance);
	if (s->port->fd < 0)
		s->port = &w->port;
	m.mutation = out_of_place(&m, s->session);
	m.must_refuse = m.mutation;
	if (spoilt && !m.mutation)
		mutation = mutate(&m, s, &w->chance);
	send_message(w, &m, s, mutation);
}

/* ---- devices ------------------------------------------------------------------ */

static struct subject subject_of(struct worker *w, struct session *session,
				 int dev_id)
{
	struct subject s = {
		.session = session,
		.stranger = &w->port,
		.dev_id = dev_id >= 0 ? (uint32_t)dev_id : 0,
	};

	return s;
}

static void add_device(struct worker *w)
{
	struct subject s = subject_of(w, &w->sessions[0], -1);

	send_op(w, TORUS_CMD_DEV_ADD, &s, wants_spoilt(w, spec_find(1)));
}

static void step_device(struct worker *w)
{
	static const uint8_t cmds[] = {
		TORUS_CMD_DEV_GET, TORUS_CMD_DEV_GET, TORUS_CMD_DEV_SET,
		TORUS_CMD_DEV_SET, TORUS_CMD_DEV_DEL, TORUS_CMD_DEV_ADD,
	};
	struct subject s = subject_of(w, &w->sessions[0],
				      devices_pick(&w->chance));
	uint8_t cmd = cmds[chance_below(&w->chance, sizeof(cmds))];

	if (devices_count() < 3)
		cmd = TORUS_CMD_DEV_ADD;
	else if (devices_count() > DEVICES_MAX)
		cmd = TORUS_CMD_DEV_DEL;
	if (cmd == TORUS_CMD_DEV_ADD)
		add_device(w);
	else
		send_op(w, cmd, &s, wants_spoilt(w, spec_find(cmd)));
}

/* What a helper must know before it binds; false if there is no device. */
static bool look_at_device(struct worker *w, uint32_t id,
			   struct session_device *dev)
{
	const struct spec_op *op = spec_find(TORUS_CMD_DEV_GET);
	struct answer answer;
	struct message m;

	message_begin(&m, op, port_family());
	message_put(&m, op->uses[0].attr, TORUS_A_DEV_ID, &id, sizeof(id));
	if (port_call(&w->port, &m, &answer, NULL, NULL) || !answer.len ||
	    !answer.answered || answer.error) {
		devices_forget(id);
		return false;
	}
	dev->id = id;
	dev->queues = answer_number(&answer, TORUS_A_DEV_QUEUES);
	dev->depth = answer_number(&answer, TORUS_A_DEV_DEPTH);
	dev->io_size_max = answer_number(&answer, TORUS_A_DEV_IO_SIZE_MAX);
	dev->state = answer_number(&answer, TORUS_A_DEV_STATE);
	return true;
}

/* ---- a helper's life ------------------------------------------------------------ */

static void open_session(struct worker *w, unsigned int n)
{
	uint32_t form = w->with_rings && chance_one_in(&w->chance, 2) ?
			TORUS_CHANNEL_RING : TORUS_CHANNEL_MESSAGES;
	int id = devices_pick(&w->chance), ret;
	struct session_device dev;
	struct subject s;

	if (id < 0 || !look_at_device(w, id, &dev)) {
		add_device(w);
		return;
	}
	/* Only deleting is left for it. */
	if (dev.state >= TORUS_STATE_FAILED) {
		s = subject_of(w, &w->sessions[n], id);
		send_op(w, TORUS_CMD_DEV_DEL, &s, false);
		return;
	}
	ret = session_open(&w->sessions[n], &dev, form);
	if (ret) {
		w->stats.faults++;
		printf("# FAULT: no sockets or arena: %s\n", strerror(-ret));
	}
	w->patience[n] = 20 + chance_below(&w->chance, 400);
}

/* All queues on one socket, or some on each. */
static void bind_queue(struct worker *w, struct session *session)
{
	struct subject s = subject_of(w, session, session->dev_id);
	uint64_t free = session_free_queues(session), some;
	unsigned int which = chance_below(&w->chance, SESSION_SOCKETS);

	some = free & chance_u64(&w->chance);
	s.mask = some && chance_one_in(&w->chance, 2) ? some : free;
	if (!s.mask)
		s.mask = session->queues ? session_all_queues(session) : 1;
	s.port = &session->data[which];
	session_make_room(session, s.port, __builtin_popcountll(s.mask) +
			  __builtin_popcountll(session->masks[which]));
	send_op(w, TORUS_CMD_SESSION_QUEUE, &s,
		wants_spoilt(w, spec_find(TORUS_CMD_SESSION_QUEUE)));
}

/* Each socket's requests, but for a few that wait longer, perhaps for ever. */
static void serve_by_messages(struct worker *w, struct session *session)
{
	for (int i = 0; i < SESSION_SOCKETS; i++) {
		struct subject s = subject_of(w, session, session->dev_id);
		unsigned int batches = 0;

		s.port = &session->data[i];
		while (session->state == SESSION_STARTED &&
		       session->pending[i].nr && batches++ < 8 &&
		       !chance_one_in(&w->chance, 24)) {
			unsigned int before = session->pending[i].nr;

			send_op(w, TORUS_CMD_COMPLETE, &s,
				wants_spoilt(w, spec_find(TORUS_CMD_COMPLETE)));
			/* New ones may have come meanwhile. */
			if (session->pending[i].nr < before)
				w->stats.served[TORUS_CHANNEL_MESSAGES] +=
					before - session->pending[i].nr;
			s.port = &session->data[i];
			s.dev_id = session->dev_id;
		}
	}
}

static void serve_by_rings(struct worker *w, struct session *session)
{
	struct subject s = subject_of(w, session, session->dev_id);

	unsigned int nr = rings_serve(session, &w->chance);

	w->stats.served[TORUS_CHANNEL_RING] += nr;
	if (chance_one_in(&w->chance, 40))
		w->stats.ring_mutations += rings_spoil(session, &w->chance);
	/* Without it, the driver looks by itself after a while. */
	if (chance_one_in(&w->chance, 8) == !nr)
		send_op(w, TORUS_CMD_DRAIN, &s,
			wants_spoilt(w, spec_find(TORUS_CMD_DRAIN)));
}

static void serve(struct worker *w, struct session *session)
{
	if (session->state != SESSION_STARTED)
		return;
	session_take(session);
	if (session->wrong[0] && w->stats.faults++ < 20)
		printf("# FAULT: a descriptor that cannot be: %s; --seed %llu, thread %u, message %llu\n",
		       session->wrong, (unsigned long long)w->seed, w->index,
		       (unsigned long long)w->stats.messages);
	if (session->wrong[0])
		session_close(session);
	else if (session->form == TORUS_CHANNEL_RING)
		serve_by_rings(w, session);
	else
		serve_by_messages(w, session);
}

/* By the command, or by closing any of its sockets first. */
static void leave(struct worker *w, struct session *session)
{
	struct subject s = subject_of(w, session, session->dev_id);

	if (chance_one_in(&w->chance, 3))
		send_op(w, TORUS_CMD_SESSION_END, &s,
			wants_spoilt(w, spec_find(TORUS_CMD_SESSION_END)));
	if (session->state == SESSION_CLOSED)
		return;
	if (chance_one_in(&w->chance, 2))
		port_close(&session->data[chance_below(&w->chance,
						       SESSION_SOCKETS)]);
	session_close(session);
	w->stats.closed++;
}

/* What comes next in its life. */
static void step_session(struct worker *w, unsigned int n)
{
	struct session *session = &w->sessions[n];
	struct subject s = subject_of(w, session, session->dev_id);
	uint8_t cmd = TORUS_CMD_SESSION_BIND;

	if (session->state == SESSION_CLOSED) {
		open_session(w, n);
		return;
	}
	if (!w->patience[n]--) {
		leave(w, session);
		return;
	}
	if (session->state == SESSION_STARTED)
		return;
	if (session->state == SESSION_BOUND && session_free_queues(session)) {
		bind_queue(w, session);
		return;
	}
	if (session->state == SESSION_BOUND)
		cmd = TORUS_CMD_SESSION_START;
	send_op(w, cmd, &s, wants_spoilt(w, spec_find(cmd)));
}

/* Any operation, whether it is its time or not. */
static void step_any(struct worker *w)
{
	struct session *session =
		&w->sessions[chance_below(&w->chance, WORKER_SESSIONS)];
	const struct spec_op *op;
	struct subject s;

	do {
		op = &spec_ops[chance_below(&w->chance, spec_nr_ops)];
	} while (!op->nr_uses);
	if (op->cmd == TORUS_CMD_DEV_ADD && devices_count() > DEVICES_MAX)
		return;
	if (op->cmd == TORUS_CMD_SESSION_END && !chance_one_in(&w->chance, 4))
		return;
	if (op->cmd == TORUS_CMD_SESSION_QUEUE &&
	    session->state != SESSION_CLOSED) {
		bind_queue(w, session);
		return;
	}
	s = subject_of(w, session, is_session_op(op) ?
		       (int)session->dev_id : devices_pick(&w->chance));
	send_op(w, op->cmd, &s, chance_below(&w->chance, 4));
}

static void step(struct worker *w)
{
	unsigned int n = chance_below(&w->chance, WORKER_SESSIONS);

	serve(w, &w->sessions[n]);
	switch (chance_below(&w->chance, 10)) {
	case 0:
		step_device(w);
		break;
	case 1:
	case 2:
		step_any(w);
		break;
	default:
		step_session(w, n);
	}
}

/* Each attribute of each operation once, whatever chance will bring. */
static void sweep(struct worker *w)
{
	for (unsigned int i = 0; i < spec_nr_ops; i++) {
		for (unsigned int j = 0; j < spec_ops[i].nr_uses; j++) {
			struct subject s = subject_of(w, &w->sessions[0], -1);
			struct message m;

			s.port = &w->port;
			s.whole = true;
			valid_fill(&m, &spec_ops[i], &s, &w->chance);
			mutate_attr(&m, spec_ops[i].uses[j].attr->number);
			send_message(w, &m, &s, -1);
		}
	}
}

static void *run(void *arg)
{
	struct worker *w = arg;

	sweep(w);
	while (!must_stop(w)) {
		__atomic_store_n(&w->busy_since, clock_ms(), __ATOMIC_RELAXED);
		step(w);
	}
	for (int i = 0; i < WORKER_SESSIONS; i++)
		session_close(&w->sessions[i]);
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

int worker_start(struct worker *w)
{
	int ret;

	chance_init(&w->chance, w->seed, w->index);
	for (int i = 0; i < WORKER_SESSIONS; i++)
		session_init(&w->sessions[i]);
	w->busy_since = clock_ms();
	ret = port_open(&w->port);
	if (ret)
		return ret;
	return -pthread_create(&w->thread, NULL, run, w);
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
	port_close(&w->port);
}
