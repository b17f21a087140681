// SPDX-License-Identifier: Apache-2.0
#include "member/private.h"

void member_start(struct member *m, const struct member_config *cfg)
{
	m->cfg = *cfg;
	m->env = cfg->env;
	m->meta = cfg->meta;
	m->store = cfg->store;
	m->started = true;
	registration_start(m);
	confirming_start(m);
	tombstones_start(m);
	remembering_start(m);
}

bool member_stop(struct member *m)
{
	m->stopping = true;
	return !m->started || registration_stop(m);
}

void member_release(struct member *m)
{
	if (!m->started)
		return;
	tombstones_release(m);
	confirming_release(m);
	m->started = false;
}
