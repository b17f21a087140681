// SPDX-License-Identifier: Apache-2.0
/* Keys and documents of the metadata store. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "meta/schema.h"

#define U1 "01234567-89ab-4cde-8f01-23456789abcd"
#define U2 "11234567-89ab-4cde-8f01-23456789abcd"

static struct uuid uuid(const char *text)
{
	struct uuid u;

	assert_int_equal(uuid_parse(text, &u), 0);
	return u;
}

/* ---- a whole document of each kind ---------------------------------------------- */

static struct volume_doc a_volume(void)
{
	struct volume_doc v = {
		.name = "data.1", .id = 0xfedcba9876543210, .size = 1ull << 40,
		.replication = 3, .chunk_blocks = 16384,
		.created_ms = 1700000000123, .epoch = UINT64_MAX,
		.tail = { 5, 20, 7, 1, { uuid(U2) } },
		.next_chunk = 21, .sealed_count = 2,
		.sealed = { { 3, 100, 0xdeadbeef, 5 }, { 4, 0, 0, 5 } },
		.root = { block_addr(2, 77), 0x01020304, 1ull << 63 },
	};

	return v;
}

static void volume_is_the_same_after_a_round(void **state)
{
	struct volume_doc v = a_volume(), got;
	CLEANUP_FREE char *json = NULL;

	v.attachment.present = true;
	memcpy(v.attachment.host, "node-1", 7);
	memcpy(v.attachment.device, "/dev/torus0", 12);
	v.attachment.pid = 4242;
	v.attachment.incarnation = uuid(U1);
	v.attachment.read_only = true;
	v.attachment.since_ms = 1700000000999;
	json = volume_doc_encode(&v);
	assert_non_null(json);
	assert_true(strlen(json) < 2048);
	assert_int_equal(volume_doc_decode("k", json, &got), 0);
	assert_memory_equal(&got, &v, sizeof(v));
}

static void new_volume_is_the_same_after_a_round(void **state)
{
	struct volume_doc v = a_volume(), got;
	CLEANUP_FREE char *json = NULL;

	memset(&v.root, 0, sizeof(v.root));
	memset(&v.tail, 0, sizeof(v.tail));
	memset(&v.sealed, 0, sizeof(v.sealed));
	v.tail.first = 1;
	v.sealed_count = 0;
	v.next_chunk = 1;
	json = volume_doc_encode(&v);
	assert_int_equal(volume_doc_decode("k", json, &got), 0);
	assert_memory_equal(&got, &v, sizeof(v));
	assert_null(strstr(json, "attachment"));
}

static void volume_is_readable(void **state)
{
	static const char expected[] =
		"{\"version\":1,\"name\":\"data.1\",\"id\":\"fedcba9876543210\","
		"\"size\":1099511627776,\"replication\":3,"
		"\"chunk_blocks\":16384,\"created_ms\":1700000000123,"
		"\"epoch\":18446744073709551615,"
		"\"tail\":{\"first\":5,\"last\":20,\"ring\":7,\"excluded\":[\""
		U2 "\"]},\"next_chunk\":21,\"sealed\":[{\"chunk\":3,"
		"\"length\":100,\"end_crc\":\"deadbeef\",\"next\":5},"
		"{\"chunk\":4,\"length\":0,\"end_crc\":\"00000000\",\"next\":5}],"
		"\"root\":{\"chunk\":2,\"block\":77,\"crc\":\"01020304\","
		"\"sequence\":9223372036854775808}}";
	struct volume_doc v = a_volume();
	CLEANUP_FREE char *json = volume_doc_encode(&v);

	assert_string_equal(json, expected);
}

static void ring_is_the_same_after_a_round(void **state)
{
	static struct ring_doc d, got;
	CLEANUP_FREE char *json = NULL;

	d.current = (struct ring_spec){ .version = 9, .type = RING_KETAMA,
		.replication = 2, .member_count = 2,
		.members = { { uuid(U1), 1ull << 40, "z\"1", "r1", "h1" },
			     { uuid(U2), 0, "", "", "" } } };
	d.previous.version = 8;
	d.previous.type = RING_EMPTY;
	d.previous.replication = 3;
	d.has_previous = true;
	json = ring_doc_encode(&d);
	assert_int_equal(ring_doc_decode("k", json, &got), 0);
	assert_memory_equal(&got, &d, sizeof(d));
}

static void largest_ring_fits(void **state)
{
	static struct ring_doc d, got;
	CLEANUP_FREE char *json = NULL;
	uint32_t i;

	d.current.version = 1;
	d.current.replication = RING_REPLICATION_MAX;
	d.current.member_count = RING_MEMBERS_MAX;
	for (i = 0; i < RING_MEMBERS_MAX; i++) {
		struct ring_member *m = &d.current.members[i];

		m->peer.byte[0] = 1;
		m->peer.byte[15] = i;
		memset(m->zone, 'z', RING_LABEL_MAX - 1);
		memset(m->rack, 'r', RING_LABEL_MAX - 1);
		memset(m->host, '\\', RING_LABEL_MAX - 1);
	}
	d.previous = d.current;
	d.has_previous = true;
	json = ring_doc_encode(&d);
	assert_true(strlen(json) < DOC_TEXT_MAX);
	assert_int_equal(ring_doc_decode("k", json, &got), 0);
	assert_memory_equal(&got, &d, sizeof(d));
}

static void cluster_and_peer_are_the_same_after_a_round(void **state)
{
	struct cluster_doc c = { uuid(U1), 3, 64 << 20 }, got_c;
	struct peer_doc p = { .id = uuid(U1), .address = "[fd00::1]:4321",
		.size = 1ull << 50, .used = 5, .zone = "z", .host = "h",
		.incarnation = uuid(U2) }, got_p;
	CLEANUP_FREE char *cluster = cluster_doc_encode(&c);
	CLEANUP_FREE char *peer = peer_doc_encode(&p);

	assert_int_equal(cluster_doc_decode("k", cluster, &got_c), 0);
	assert_true(uuid_equal(&got_c.id, &c.id));
	assert_int_equal(got_c.replication, 3);
	assert_int_equal(got_c.chunk_size, 64 << 20);
	assert_int_equal(peer_doc_decode("k", peer, &got_p), 0);
	assert_memory_equal(&got_p, &p, sizeof(p));
}

static void small_ones_are_the_same_after_a_round(void **state)
{
	CLEANUP_FREE char *counter = counter_encode(77);
	CLEANUP_FREE char *moved = moved_encode(9);
	CLEANUP_FREE char *name = name_encode("vol");
	CLEANUP_FREE char *marker = marker_encode();
	char got[VOLUME_NAME_MAX];
	uint64_t next;

	assert_string_equal(marker, "{\"version\":1}");
	assert_int_equal(moved_decode("k", moved, &next), 0);
	assert_int_equal(next, 9);
	assert_int_equal(moved_decode("k", counter, &next), -EBADMSG);
	assert_int_equal(counter_decode("k", counter, &next), 0);
	assert_int_equal(next, 77);
	assert_int_equal(name_decode("k", name, got), 0);
	assert_string_equal(got, "vol");
}

/* ---- refusals ---------------------------------------------------------------------- */

/* The volume's JSON with the first @from replaced by @to must be refused. */
static void tombstones_name_who_has_confirmed(void **state)
{
	static struct tombstone_doc doc, back;
	CLEANUP_FREE char *none = name_encode("vol");
	char *text;
	unsigned int i;

	/* As torusctl writes it. */
	assert_int_equal(0, tombstone_doc_decode("k", none, &back));
	assert_string_equal(back.name, "vol");
	assert_int_equal(back.confirmed_count, 0);
	snprintf(doc.name, sizeof(doc.name), "vol");
	doc.confirmed_count = RING_MEMBERS_MAX;
	for (i = 0; i < RING_MEMBERS_MAX; i++)
		memset(&doc.confirmed[i], i + 1, sizeof(struct uuid));
	text = tombstone_doc_encode(&doc);
	assert_int_equal(0, tombstone_doc_decode("k", text, &back));
	assert_memory_equal(&doc, &back, sizeof(doc));
	free(text);
	text = "{\"version\":1,\"name\":\"v\",\"confirmed\":[7]}";
	assert_int_equal(-EBADMSG, tombstone_doc_decode("k", text, &back));
}

static void refuse_volume(const char *from, const char *to, int err,
			  const char *says)
{
	struct volume_doc v = a_volume(), got;
	CLEANUP_FREE char *json = volume_doc_encode(&v);
	char *at = strstr(json, from);
	char text[4096];

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - json), json, to,
		 at + strlen(from));
	error_clear();
	assert_int_equal(volume_doc_decode("torus/x", text, &got), err);
	assert_non_null(strstr(error_text(err), "torus/x"));
	if (!strstr(error_text(err), says))
		fail_msg("\"%s\" does not say \"%s\"", error_text(err), says);
}

static void bad_fields_are_named(void **state)
{
	static const char *const cases[][3] = {
		{ "\"name\":\"data.1\"", "\"name\":\"-x\"", "name" },
		{ "\"name\":\"data.1\"", "\"name\":\"a\\u0000b\"", "name" },
		{ "\"name\":\"data.1\"", "\"name\":7", "name" },
		{ "\"name\":\"data.1\",", "", "name is missing" },
		{ "\"fedcba9876543210\"", "\"fedcba987654321\"", "id" },
		{ "\"fedcba9876543210\"", "\"fedcba98765432100\"", "id" },
		{ "\"fedcba9876543210\"", "\"0000000000000000\"", "id" },
		{ "\"fedcba9876543210\"", "\"FEDCBA9876543210\"", "id" },
		{ "1099511627776", "0", "size" },
		{ "1099511627776", "4097", "size" },
		{ "1099511627776", "-4096", "size" },
		{ "1099511627776", "4096.0", "size" },
		{ "1099511627776", "\"4096\"", "size" },
		{ "1099511627776", "4503599627374592", "size" },
		{ "1099511627776", "99999999999999999999999", "size" },
		{ "\"replication\":3", "\"replication\":0", "replication" },
		{ "\"replication\":3", "\"replication\":9", "replication" },
		{ "16384", "16385", "chunk_blocks" },
		{ "16384", "255", "chunk_blocks" },
		{ "\"last\":20", "\"last\":21", "next_chunk" },
		{ "\"last\":20", "\"last\":281474976710656", "last" },
		{ U2, "11234567", "excluded" },
		{ "[\"" U2 "\"]", "{}", "excluded" },
		{ "\"length\":100", "\"length\":16385", "length" },
		{ "\"deadbeef\"", "3735928559", "end_crc" },
		{ "\"block\":77", "\"block\":16384", "block" },
		{ "\"chunk\":2,\"block\":77", "\"chunk\":0,\"block\":0",
		  "root" },
		{ "\"tail\":{", "\"tail\":7,\"xx\":{", "tail" },
		{ "}}", "}} x", "not JSON" },
		{ "}}", "}", "not JSON" },
		{ "\"version\":1", "\"version\":0", "version" },
		{ "\"version\":1,", "", "version" },
		{ "\"version\":1", "\"version\":\"1\"", "version" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		refuse_volume(cases[i][0], cases[i][1], -EBADMSG, cases[i][2]);
}

static void newer_version_is_refused_by_name(void **state)
{
	refuse_volume("\"version\":1", "\"version\":2", -EPROTONOSUPPORT,
		      "newer Torus (version 2");
}

static void unknown_fields_are_ignored(void **state)
{
	uint64_t next;

	assert_int_equal(counter_decode("k", "{\"version\":1,\"new\":[{}],"
					"\"next\":5}", &next), 0);
	assert_int_equal(next, 5);
}

static void too_many_entries_are_refused(void **state)
{
	char list[TAIL_EXCLUDED_MAX * 2 * 40] = "";
	size_t len;
	int i;

	for (i = 0; i <= TAIL_EXCLUDED_MAX; i++) {
		len = strlen(list);
		snprintf(list + len, sizeof(list) - len, "%s\"" U1 "\"",
			 i ? "," : "[");
	}
	list[strlen(list)] = ']';
	refuse_volume("[\"" U2 "\"]", list, -EBADMSG, "excluded");
}

static void other_than_objects_are_refused(void **state)
{
	static const char *const texts[] = { "", "7", "[]", "null", "\"x\"",
		"{", "{\"version\":1", "{\"version\":1,\"next\":1,}", "\xff",
		"[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]" };
	uint64_t next;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(counter_decode("k", texts[i], &next),
				 -EBADMSG);
}

static void other_documents_refuse_bad_fields(void **state)
{
	struct cluster_doc c;
	static struct ring_doc r;
	struct peer_doc p;
	char name[VOLUME_NAME_MAX];

	assert_int_equal(cluster_doc_decode("k", "{\"version\":1,\"id\":\"" U1
		"\",\"replication\":3,\"chunk_size\":3145728}", &c), -EBADMSG);
	assert_non_null(strstr(error_text(-EBADMSG), "power of two"));
	assert_int_equal(ring_doc_decode("k", "{\"version\":1,\"current\":{"
		"\"version\":1,\"type\":\"star\",\"replication\":3,"
		"\"members\":[]}}", &r), -EBADMSG);
	assert_non_null(strstr(error_text(-EBADMSG), "star"));
	assert_int_equal(peer_doc_decode("k", "{\"version\":1,\"id\":\"" U1
		"\",\"address\":\"nowhere\",\"size\":1}", &p), -EBADMSG);
	assert_int_equal(name_decode("k", "{\"version\":1,\"name\":\"a/b\"}",
				     name), -EBADMSG);
}

/* ---- names and keys ------------------------------------------------------------------ */

static void volume_names_are_checked(void **state)
{
	char longest[VOLUME_NAME_MAX + 1];

	memset(longest, 'a', sizeof(longest));
	longest[VOLUME_NAME_MAX] = 0;
	assert_int_equal(volume_name_check(longest), -EINVAL);
	longest[VOLUME_NAME_MAX - 1] = 0;
	assert_int_equal(volume_name_check(longest), 0);
	assert_int_equal(volume_name_check("a"), 0);
	assert_int_equal(volume_name_check("0A._-z"), 0);
	assert_int_equal(volume_name_check(""), -EINVAL);
	assert_int_equal(volume_name_check(".a"), -EINVAL);
	assert_int_equal(volume_name_check("a/b"), -EINVAL);
	assert_int_equal(volume_name_check("a b"), -EINVAL);
	assert_int_equal(volume_name_check("\xc3\xa4"), -EINVAL);
}

static void keys_have_their_form(void **state)
{
	struct uuid c = uuid(U1), p = uuid(U2);
	char key[META_KEY_MAX];

	key_ring(&c, key);
	assert_string_equal(key, "torus/" U1 "/ring");
	key_peer(&c, &p, key);
	assert_string_equal(key, "torus/" U1 "/peers/" U2);
	key_alive(&c, &p, key);
	assert_string_equal(key, "torus/" U1 "/alive/" U2);
	key_volume(&c, "v", key);
	assert_string_equal(key, "torus/" U1 "/volumes/v");
	key_volume_id(&c, 255, key);
	assert_string_equal(key, "torus/" U1 "/volume-ids/00000000000000ff");
	key_next_volume(&c, key);
	assert_string_equal(key, "torus/" U1 "/next-volume");
	key_owner(&c, UINT64_MAX, key);
	assert_string_equal(key, "torus/" U1 "/owners/ffffffffffffffff");
	key_tombstone(&c, 1, key);
	assert_string_equal(key, "torus/" U1 "/tombstones/0000000000000001");
	key_prefix(&c, "peers", key);
	assert_string_equal(key, "torus/" U1 "/peers/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(volume_is_the_same_after_a_round),
		cmocka_unit_test(new_volume_is_the_same_after_a_round),
		cmocka_unit_test(volume_is_readable),
		cmocka_unit_test(ring_is_the_same_after_a_round),
		cmocka_unit_test(largest_ring_fits),
		cmocka_unit_test(cluster_and_peer_are_the_same_after_a_round),
		cmocka_unit_test(small_ones_are_the_same_after_a_round),
		cmocka_unit_test(tombstones_name_who_has_confirmed),
		cmocka_unit_test(bad_fields_are_named),
		cmocka_unit_test(newer_version_is_refused_by_name),
		cmocka_unit_test(unknown_fields_are_ignored),
		cmocka_unit_test(too_many_entries_are_refused),
		cmocka_unit_test(other_than_objects_are_refused),
		cmocka_unit_test(other_documents_refuse_bad_fields),
		cmocka_unit_test(volume_names_are_checked),
		cmocka_unit_test(keys_have_their_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
