// SPDX-License-Identifier: Apache-2.0
/* Frames, their limits, statuses, and packed scan replies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "wire/proto.h"
#include "wire/scan.h"

static struct wire_header sample(void)
{
	return (struct wire_header) {
		.type = WIRE_APPEND,
		.request = 0x1122334455667788ull,
		.flags = WIRE_DURABLE,
		.body_len = sizeof(struct wire_append),
		.data_len = 3 * BLOCK_SIZE,
	};
}

static const struct wire_append append_body = {
	.volume = 1, .chunk = 2, .epoch = 3, .block = 4, .blocks = 3,
};

static void what_is_sent_is_received(void **state)
{
	struct wire_header hdr = sample(), got;
	struct disk_wire_header disk;

	wire_encode_header(&hdr, &append_body, &disk);
	assert_int_equal(wire_decode_header(&disk, &got), 0);
	assert_int_equal(got.type, hdr.type);
	assert_true(got.request == hdr.request);
	assert_int_equal(got.flags, hdr.flags);
	assert_int_equal(got.status, 0);
	assert_int_equal(got.body_len, hdr.body_len);
	assert_int_equal(got.data_len, hdr.data_len);
	assert_int_equal(got.data_crc, 0);
	assert_int_equal(wire_check_crc(&disk, &append_body), 0);
}

/* Version 1 of the protocol means these bytes; their CRC by other means too. */
static void the_format_is_pinned(void **state)
{
	static const uint8_t bytes[] = {
		'T', 'R', 'U', 'S', 1, 0, 3, 0,
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		2, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0x30, 0, 0,
		0, 0, 0, 0,
	};
	struct wire_header hdr = sample();
	struct disk_wire_header disk;

	wire_encode_header(&hdr, &append_body, &disk);
	assert_memory_equal(&disk, bytes, sizeof(bytes));
	assert_int_equal(le32_to_cpu(disk.crc), 0x4a4e548b);
	assert_true(disk.zero == 0);
	assert_int_equal(WIRE_TYPE_COUNT, 19);
	assert_int_equal(WIRE_STATUS_COUNT, 16);
}

/* What maintenance says, byte for byte. */
static void the_bodies_of_maintenance_are_pinned(void **state)
{
	static const uint8_t restore_bytes[] = {
		1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
		3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0,
		6, 0, 0, 0, 7, 0, 0, 0,
		9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
	};
	static const uint8_t entry_bytes[] = {
		1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
		3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0,
		2, 0, 0, 0, 0, 0, 0, 0,
	};
	static const uint8_t finding_bytes[] = {
		1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
		3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
		5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
	};
	struct wire_restore restore = {
		.volume = cpu_to_le64(1), .chunk = cpu_to_le64(2),
		.epoch = cpu_to_le64(3), .length = cpu_to_le32(4),
		.end_crc = cpu_to_le32(5), .block = cpu_to_le32(6),
		.blocks = cpu_to_le32(7),
	};
	struct wire_lookup_entry entry = {
		.volume = cpu_to_le64(1), .chunk = cpu_to_le64(2),
		.epoch = cpu_to_le64(3), .length = cpu_to_le32(4),
		.end_crc = cpu_to_le32(5),
		.state = cpu_to_le32(WIRE_COPY_SEALED),
	};
	struct wire_finding finding = {
		.volume = cpu_to_le64(1), .chunk = cpu_to_le64(2),
		.volume_block = cpu_to_le64(3), .when_ms = cpu_to_le64(4),
		.block = cpu_to_le32(5), .kind = cpu_to_le32(6),
		.healed = cpu_to_le32(7),
	};

	memset(&restore.token, 9, sizeof(restore.token));
	assert_memory_equal(&restore, restore_bytes, sizeof(restore_bytes));
	assert_memory_equal(&entry, entry_bytes, sizeof(entry_bytes));
	assert_memory_equal(&finding, finding_bytes, sizeof(finding_bytes));
	assert_int_equal(WIRE_COPY_BAD, 3);
	assert_int_equal(WIRE_COPY_DELETED, 4);
	assert_int_equal(offsetof(struct wire_restore_reply, staged), 8);
	assert_int_equal(offsetof(struct wire_restore_reply, sealed), 12);
	assert_int_equal(offsetof(struct wire_restore_reply, clients), 14);
	assert_int_equal(offsetof(struct wire_check, flags), 16);
	assert_int_equal(offsetof(struct wire_stat_reply, space_left), 64);
	assert_int_equal(offsetof(struct wire_stat_reply, space_state), 72);
	assert_int_equal(offsetof(struct wire_maintenance_reply, scrub_state),
			 152);
	assert_int_equal(offsetof(struct wire_maintenance_reply, count), 160);
	assert_int_equal(WIRE_SCRUB_RESUME, 3);
	assert_int_equal(WIRE_SPACE_FULL, 2);
}

/* Flags are refused where they mean nothing. */
static void flags_belong_to_their_requests(void **state)
{
	const struct wire_restore restore_body = { .volume = 1 };
	struct wire_header hdr = sample(), got;
	struct disk_wire_header disk;

	hdr.flags = WIRE_COPY | WIRE_DURABLE;
	wire_encode_header(&hdr, &append_body, &disk);
	assert_int_equal(wire_decode_header(&disk, &got), 0);
	assert_int_equal(got.flags, WIRE_COPY | WIRE_DURABLE);
	hdr.flags = 1 << 4;
	wire_encode_header(&hdr, &append_body, &disk);
	assert_int_equal(wire_decode_header(&disk, &got), -EBADMSG);
	hdr = (struct wire_header) {
		.type = WIRE_RESTORE, .flags = WIRE_COPY,
		.body_len = sizeof(struct wire_restore),
	};
	wire_encode_header(&hdr, &restore_body, &disk);
	assert_int_equal(wire_decode_header(&disk, &got), -EBADMSG);
	hdr.flags = 0;
	hdr.data_len = (WIRE_RESTORE_MAX + 1) * BLOCK_SIZE;
	wire_encode_header(&hdr, &restore_body, &disk);
	assert_int_equal(wire_decode_header(&disk, &got), -EBADMSG);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct wire_append body = append_body;
	struct wire_header hdr = sample(), got;
	struct disk_wire_header disk;
	unsigned int bit;

	wire_encode_header(&hdr, &body, &disk);
	for (bit = 0; bit < sizeof(disk) * 8; bit++) {
		((uint8_t *)&disk)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(wire_decode_header(&disk, &got) < 0 ||
			    wire_check_crc(&disk, &body) < 0);
		((uint8_t *)&disk)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (bit = 0; bit < sizeof(body) * 8; bit++) {
		((uint8_t *)&body)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(wire_check_crc(&disk, &body), -EBADMSG);
		((uint8_t *)&body)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(wire_check_crc(&disk, &body), 0);
}

static int decode(const struct wire_header *hdr)
{
	static const uint8_t body[1024];
	struct disk_wire_header disk;
	struct wire_header got;

	wire_encode_header(hdr, body, &disk);
	error_clear();
	return wire_decode_header(&disk, &got);
}

static void only_known_frames_pass(void **state)
{
	struct disk_wire_header disk;
	struct wire_header hdr = sample(), got;

	wire_encode_header(&hdr, &append_body, &disk);
	disk.magic = cpu_to_le32(1);
	assert_int_equal(wire_decode_header(&disk, &got), -EBADMSG);
	wire_encode_header(&hdr, &append_body, &disk);
	disk.version = cpu_to_le16(2);
	assert_int_equal(wire_decode_header(&disk, &got), -EPROTONOSUPPORT);
	wire_encode_header(&hdr, &append_body, &disk);
	disk.zero = 1;
	assert_int_equal(wire_decode_header(&disk, &got), -EBADMSG);
	hdr.type = 0;
	assert_int_equal(decode(&hdr), -EPROTONOSUPPORT);
	hdr.type = WIRE_TYPE_COUNT;
	assert_int_equal(decode(&hdr), -EPROTONOSUPPORT);
	hdr.type = 0xffff;
	assert_int_equal(decode(&hdr), -EPROTONOSUPPORT);
}

static void flags_and_status_are_limited(void **state)
{
	struct wire_header hdr = sample();

	hdr.flags = WIRE_FORCE_TAIL;
	assert_int_equal(decode(&hdr), -EBADMSG);
	hdr.flags = 1u << 31;
	assert_int_equal(decode(&hdr), -EBADMSG);
	hdr.flags = 0;
	hdr.status = WIRE_EIO;
	assert_int_equal(decode(&hdr), -EBADMSG);
	hdr = (struct wire_header) {
		.type = WIRE_FENCE, .flags = WIRE_REPLY,
		.status = WIRE_STATUS_COUNT - 1,
		.body_len = sizeof(struct wire_fence_reply),
	};
	assert_int_equal(decode(&hdr), 0);
	hdr.status++;
	assert_int_equal(decode(&hdr), -EBADMSG);
	hdr.status = 0;
	hdr.flags |= WIRE_DURABLE;
	assert_int_equal(decode(&hdr), -EBADMSG);
}

static void data_is_limited_by_type(void **state)
{
	static const struct {
		enum wire_type type;
		bool reply;
		uint32_t len;
		int err;
	} cases[] = {
		{ WIRE_APPEND, false, 0, -EBADMSG },
		{ WIRE_APPEND, false, BLOCK_SIZE, 0 },
		{ WIRE_APPEND, false, BLOCK_SIZE + 1, -EBADMSG },
		{ WIRE_APPEND, false, WIRE_APPEND_MAX, 0 },
		{ WIRE_APPEND, false, WIRE_APPEND_MAX + BLOCK_SIZE, -EBADMSG },
		{ WIRE_APPEND, true, BLOCK_SIZE, -EBADMSG },
		{ WIRE_SYNC, false, 16, 0 }, { WIRE_SYNC, false, 8, -EBADMSG },
		{ WIRE_SYNC, true, WIRE_SYNC_MAX * 16, 0 },
		{ WIRE_SYNC, false, WIRE_SYNC_MAX * 16 + 16, -EBADMSG },
		{ WIRE_READ, false, BLOCK_SIZE, -EBADMSG },
		{ WIRE_READ, true, 0, 0 },
		{ WIRE_READ, true, WIRE_APPEND_MAX, 0 },
		{ WIRE_READ, true, 512, -EBADMSG },
		{ WIRE_SCAN, true, WIRE_DATA_MAX, 0 },
		{ WIRE_SCAN, true, WIRE_DATA_MAX + 8, -EBADMSG },
		{ WIRE_LIST, true, 32, 0 }, { WIRE_LIST, true, 33, -EBADMSG },
		{ WIRE_HELLO, false, 8, -EBADMSG },
		{ WIRE_PING, true, 8, -EBADMSG },
		{ WIRE_APPEND, false, 0xfffff000, -EBADMSG },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wire_header hdr = {
			.type = (uint16_t)cases[i].type,
			.data_len = cases[i].len,
			.body_len = (uint32_t)wire_body_size(cases[i].type,
							     cases[i].reply),
		};

		if (cases[i].reply)
			hdr.flags = WIRE_REPLY;
		assert_int_equal(decode(&hdr), cases[i].err);
	}
}

static void bodies_have_one_size(void **state)
{
	unsigned int type, reply;

	for (type = 1; type < WIRE_TYPE_COUNT; type++) {
		for (reply = 0; reply < 2; reply++) {
			struct wire_header hdr = {
				.type = (uint16_t)type,
				.flags = reply ? WIRE_REPLY : 0,
				.data_len = type == WIRE_APPEND && !reply ?
					    BLOCK_SIZE : 0,
			};
			int size = wire_body_size(type, reply);

			assert_in_range(size, 0, WIRE_BODY_MAX);
			hdr.body_len = (uint32_t)size;
			assert_int_equal(decode(&hdr), 0);
			hdr.body_len++;
			assert_int_equal(decode(&hdr), -EBADMSG);
		}
	}
	assert_int_equal(wire_body_size(0, false), -1);
	assert_int_equal(wire_body_size(WIRE_TYPE_COUNT, true), -1);
}

static void data_crcs_cover_what_has_none_of_its_own(void **state)
{
	uint8_t bytes[64] = "some data that spans two pieces";
	struct iovec iov[2] = { { bytes, 10 }, { bytes + 10, 54 } };
	struct wire_header hdr = {
		.type = WIRE_LIST, .flags = WIRE_REPLY,
		.body_len = sizeof(struct wire_list_reply), .data_len = 64,
	};

	assert_true(wire_data_checked(&hdr));
	hdr.data_crc = wire_data_crc(&hdr, iov, 2);
	assert_int_equal(hdr.data_crc, crc32c(0, bytes, 64));
	assert_int_equal(decode(&hdr), 0);
	assert_int_equal(wire_check_data(&hdr, iov, 2), 0);
	bytes[63] ^= 1;
	assert_int_equal(wire_check_data(&hdr, iov, 2), -EBADMSG);
	/* A piece is missing. */
	bytes[63] ^= 1;
	assert_int_equal(wire_check_data(&hdr, iov, 1), -EBADMSG);

	hdr = sample();
	assert_false(wire_data_checked(&hdr));
	assert_int_equal(wire_data_crc(&hdr, iov, 2), 0);
	hdr.data_crc = 1;
	assert_int_equal(decode(&hdr), -EBADMSG);
	hdr = (struct wire_header) { .type = WIRE_READ, .flags = WIRE_REPLY };
	assert_false(wire_data_checked(&hdr));
	hdr.flags = 0;
	assert_true(wire_data_checked(&hdr));
}

static void statuses_have_words_and_numbers(void **state)
{
	uint32_t status;

	assert_int_equal(wire_status_errno(WIRE_OK), 0);
	for (status = 1; status < WIRE_STATUS_COUNT; status++) {
		assert_non_null(wire_status_text(status));
		assert_true(wire_status_errno(status) < 0);
	}
	assert_int_equal(wire_status_errno(WIRE_STATUS_COUNT), -EPROTO);
	assert_string_equal(wire_status_text(4711), "unknown status");
	assert_string_equal(wire_type_name(WIRE_STAT_CHUNK), "stat-chunk");
	assert_string_equal(wire_type_name(0), "?");
	assert_string_equal(wire_type_name(4711), "?");
}

/* ---- scan replies -------------------------------------------------------- */

static void packed_headers_come_back(void **state)
{
	static const uint32_t sizes[] = { 96, 97, 103, 100, 16384, 124 };
	uint8_t *header = calloc(1, 16384), *buf = malloc(20000);
	const void *got;
	struct scan_iter it;
	size_t i, used = 0;
	uint32_t bytes;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(header, (int)i + 1, sizes[i]);
		assert_int_equal(scan_append(buf, 20000, &used, header,
					     sizes[i]), 0);
		assert_int_equal(used % 8, 0);
	}
	scan_iter_init(&it, buf, used);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(header, (int)i + 1, sizes[i]);
		assert_int_equal(scan_next(&it, &got, &bytes), 1);
		assert_int_equal(bytes, sizes[i]);
		assert_memory_equal(got, header, bytes);
	}
	assert_int_equal(scan_next(&it, &got, &bytes), 0);
	free(header);
	free(buf);
}

static void full_buffers_take_no_more(void **state)
{
	uint8_t buf[208], header[100] = { 0 };
	size_t used = 0;

	assert_int_equal(scan_append(buf, sizeof(buf), &used, header, 100), 0);
	assert_int_equal(used, 104);
	assert_int_equal(scan_append(buf, 207, &used, header, 100), -ENOSPC);
	assert_int_equal(used, 104);
	assert_int_equal(scan_append(buf, 208, &used, header, 100), 0);
	assert_int_equal(scan_append(buf, 208, &used, header, 96), -ENOSPC);
}

static void broken_scan_replies_are_refused(void **state)
{
	static const struct { uint32_t first; size_t len; } cases[] = {
		{ 96, 3 }, { 96, 4 }, { 96, 103 }, { 95, 200 }, { 0, 8 },
		{ 16385, 20000 }, { UINT32_MAX, 20000 }, { 16384, 16384 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t *data = calloc(1, cases[i].len);
		__le32 first = cpu_to_le32(cases[i].first);
		const void *header;
		struct scan_iter it;
		uint32_t bytes;

		memcpy(data, &first, MIN(sizeof(first), cases[i].len));
		scan_iter_init(&it, data, cases[i].len);
		assert_int_equal(scan_next(&it, &header, &bytes), -EBADMSG);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent_is_received),
		cmocka_unit_test(the_format_is_pinned),
		cmocka_unit_test(the_bodies_of_maintenance_are_pinned),
		cmocka_unit_test(flags_belong_to_their_requests),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(only_known_frames_pass),
		cmocka_unit_test(flags_and_status_are_limited),
		cmocka_unit_test(data_is_limited_by_type),
		cmocka_unit_test(bodies_have_one_size),
		cmocka_unit_test(data_crcs_cover_what_has_none_of_its_own),
		cmocka_unit_test(statuses_have_words_and_numbers),
		cmocka_unit_test(packed_headers_come_back),
		cmocka_unit_test(full_buffers_take_no_more),
		cmocka_unit_test(broken_scan_replies_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
