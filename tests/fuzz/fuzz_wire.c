// SPDX-License-Identifier: Apache-2.0
/*
 * A stream of frames as a hostile peer may send it, read as a connection
 * does: header, then body, then data. Since chance never finds a CRC, a header
 * that decodes is also tried with its CRC put right.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/proto.h"
#include "wire/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
	if (!condition)
		abort();
}

static void check_header(const struct wire_header *hdr)
{
	check(hdr->type >= 1 && hdr->type < WIRE_TYPE_COUNT);
	check(hdr->body_len <= WIRE_BODY_MAX);
	check(hdr->data_len <= WIRE_DATA_MAX);
	check(!(hdr->flags & WIRE_FORCE_TAIL));
	check(hdr->status < WIRE_STATUS_COUNT);
	check(hdr->flags & WIRE_REPLY || hdr->status == 0);
	check((int)hdr->body_len ==
	      wire_body_size(hdr->type, hdr->flags & WIRE_REPLY));
	check(wire_status_text(hdr->status) != NULL);
}

/* What was decoded encodes to the same bytes, its CRC put right. */
static void check_again(const struct disk_wire_header *disk,
			const struct wire_header *hdr, const uint8_t *body)
{
	struct disk_wire_header again;
	struct wire_header got;

	/* The padding is compared too. */
	memset(&got, 0, sizeof(got));
	wire_encode_header(hdr, body, &again);
	check(memcmp(&again, disk, offsetof(struct disk_wire_header, crc)) == 0);
	check(wire_decode_header(&again, &got) == 0);
	check(wire_check_crc(&again, body) == 0);
	check(memcmp(&got, hdr, sizeof(got)) == 0);
}

/* Bytes that one frame took; 0: the stream cannot be trusted any more. */
static size_t one_frame(const uint8_t *data, size_t size)
{
	struct disk_wire_header disk;
	struct wire_header hdr;
	struct iovec iov;
	size_t left;

	if (size < sizeof(disk))
		return 0;
	memcpy(&disk, data, sizeof(disk));
	memset(&hdr, 0, sizeof(hdr));
	if (wire_decode_header(&disk, &hdr) < 0)
		return 0;
	check_header(&hdr);
	left = size - sizeof(disk);
	if (left < hdr.body_len)
		return 0;
	check_again(&disk, &hdr, data + sizeof(disk));
	wire_check_crc(&disk, data + sizeof(disk));
	left -= hdr.body_len;
	if (left < hdr.data_len)
		return 0;
	iov.iov_base = (void *)(uintptr_t)(data + size - left);
	iov.iov_len = hdr.data_len;
	wire_check_data(&hdr, &iov, 1);
	return sizeof(disk) + hdr.body_len + hdr.data_len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t took;

	while ((took = one_frame(data, size)) > 0) {
		data += took;
		size -= took;
	}
	return 0;
}
