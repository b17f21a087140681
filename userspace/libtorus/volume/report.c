// SPDX-License-Identifier: Apache-2.0
/* What a volume has done and how its peers do, as lines of the log. */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/size.h"
#include "volume/internal.h"

static const char *peer_state_text(const struct peer *peer)
{
	switch (peer_state(peer)) {
	case PEER_UP:
		return "connected";
	case PEER_CONNECTING:
		return "connecting";
	default:
		return "not connected";
	}
}

/* "reads 0.21/1.30" */
static void format_latency(const char *what, const struct latency *latency,
			   char *out, size_t len)
{
	if (latency->p99 == 0)
		snprintf(out, len, "%s -", what);
	else
		snprintf(out, len, "%s %.2f/%.2f", what,
			 (double)latency->p50 / NSEC_PER_MSEC,
			 (double)latency->p99 / NSEC_PER_MSEC);
}

static void log_peer(void *ctx, const struct peer_doc *doc, bool alive)
{
	const struct volume *v = ctx;
	struct peer *peer = peer_find(cluster_peers(v->cluster), &doc->id);
	char reads[48], appends[48], syncs[48];
	const struct peer_stats *stats;

	(void)alive;
	if (peer == NULL)
		return;
	stats = peer_stats(peer);
	format_latency("reads", &stats->reads, reads, sizeof(reads));
	format_latency("appends", &stats->appends, appends, sizeof(appends));
	format_latency("syncs", &stats->syncs, syncs, sizeof(syncs));
	log_info("volume %s: peer %s: %s; recent latency in ms, p50/p99: %s, %s, %s; %" PRIu64 " calls, %" PRIu64 " failed",
		 v->doc.name, peer_address(peer), peer_state_text(peer), reads,
		 appends, syncs, stats->calls, stats->failures);
}

void volume_log_stats(const struct volume *v)
{
	char read[32], written[32];
	struct volume_stats s;

	volume_stats(v, &s);
	size_format(s.read_bytes, read, sizeof(read));
	size_format(s.written_bytes, written, sizeof(written));
	log_info("volume %s: %" PRIu64 " reads (%s), %" PRIu64 " writes (%s), %" PRIu64 " flushes, %" PRIu64 " discards and zeroes; %" PRIu64 " records, %" PRIu64 " checkpoints, %" PRIu64 " changes of replicas",
		 v->doc.name, s.reads, read, s.writes, written, s.flushes,
		 s.trims, s.records, s.checkpoints, s.ensemble_changes);
	log_info("volume %s: %" PRIu64 " reads hedged, of which %" PRIu64 " won; %" PRIu64 " reads asked of another replica, %" PRIu64 " checksums wrong, %" PRIu64 " copies reported to their peers",
		 v->doc.name, s.hedged_reads, s.hedge_wins, s.read_retries,
		 s.crc_errors, s.read_repairs);
	if (v->cluster != NULL)
		cluster_for_each_peer(v->cluster, log_peer, (void *)v);
}
