// SPDX-License-Identifier: GPL-2.0
/* What a descriptor says of a request, and how results are understood. */
#include <kunit/test.h>

#include "genl.h"
#include "request.h"

#define SECTOR 0x123456789aULL
#define LENGTH 12288
/* Of an arena larger than any: its offset has more than 32 bits. */
#define UNIT 3000000UL

/* The layout is a promise to programs that were built long ago. */
#define AT(type, field, offset) \
	static_assert(offsetof(struct type, field) == (offset))

AT(torus_desc, op, 0);
AT(torus_desc, flags, 1);
AT(torus_desc, queue, 2);
AT(torus_desc, tag, 4);
AT(torus_desc, reserved, 6);
AT(torus_desc, generation, 8);
AT(torus_desc, length, 12);
AT(torus_desc, offset, 16);
AT(torus_desc, arena_offset, 24);
static_assert(sizeof(struct torus_desc) == TORUS_DESC_SIZE);
AT(torus_completion, queue, 0);
AT(torus_completion, tag, 2);
AT(torus_completion, generation, 4);
AT(torus_completion, result, 8);
AT(torus_completion, length, 12);
AT(torus_completion, sequence, 16);
AT(torus_completion, header_crc, 24);
AT(torus_completion, reserved, 28);
static_assert(sizeof(struct torus_completion) == TORUS_COMPLETION_SIZE);

struct sample {
	const char *name;
	blk_opf_t opf;
	u8 op;
	u8 flags;
	bool has_range;
	bool has_data;
};

static const struct sample samples[] = {
	{ "read", REQ_OP_READ, TORUS_OP_READ, 0, true, true },
	{ "write", REQ_OP_WRITE, TORUS_OP_WRITE, 0, true, true },
	{ "write_fua", REQ_OP_WRITE | REQ_FUA, TORUS_OP_WRITE,
	  TORUS_IO_FLAG_FUA, true, true },
	{ "flush", REQ_OP_FLUSH, TORUS_OP_FLUSH, 0, false, false },
	{ "discard", REQ_OP_DISCARD, TORUS_OP_DISCARD, 0, true, false },
	{ "write_zeroes", REQ_OP_WRITE_ZEROES, TORUS_OP_WRITE_ZEROES, 0, true,
	  false },
	{ "write_zeroes_nounmap", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP,
	  TORUS_OP_WRITE_ZEROES, TORUS_IO_FLAG_NOUNMAP, true, false },
	{ "write_zeroes_fua", REQ_OP_WRITE_ZEROES | REQ_FUA,
	  TORUS_OP_WRITE_ZEROES, TORUS_IO_FLAG_FUA, true, false },
	/* Says nothing about space unless it is write-zeroes. */
	{ "write_nounmap", REQ_OP_WRITE | REQ_NOUNMAP, TORUS_OP_WRITE, 0, true,
	  true },
	/* What only the block layer cares for. */
	{ "read_with_hints", REQ_OP_READ | REQ_SYNC | REQ_META | REQ_RAHEAD,
	  TORUS_OP_READ, 0, true, true },
};

static void sample_name(const struct sample *sample, char *desc)
{
	strscpy(desc, sample->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(sample, samples, sample_name);

static void descriptor_says_what_is_asked(struct kunit *test)
{
	const struct sample *sample = test->param_value;
	struct torus_desc desc;
	struct request rq = {
		.cmd_flags = sample->opf,
		.__sector = SECTOR,
		.__data_len = LENGTH,
	};

	memset(&desc, 0xff, sizeof(desc));
	torus_request_describe(&desc, &rq, UNIT);
	KUNIT_EXPECT_EQ(test, torus_request_op(&rq), sample->op);
	KUNIT_EXPECT_EQ(test, desc.op, sample->op);
	KUNIT_EXPECT_EQ(test, desc.flags, sample->flags);
	KUNIT_EXPECT_EQ(test, desc.reserved, 0);
	KUNIT_EXPECT_EQ(test, desc.offset,
			sample->has_range ? SECTOR * 512 : 0);
	KUNIT_EXPECT_EQ(test, desc.length, sample->has_range ? LENGTH : 0);
	KUNIT_EXPECT_EQ(test, torus_request_has_data(&rq), sample->has_data);
	KUNIT_EXPECT_EQ(test, desc.arena_offset,
			sample->has_data ? (u64)UNIT * TORUS_ARENA_UNIT : 0);
}

static void largest_discard_fits_its_length(struct kunit *test)
{
	struct torus_desc desc;
	struct request rq = {
		.cmd_flags = REQ_OP_DISCARD,
		.__data_len = SZ_1G,
	};

	torus_request_describe(&desc, &rq, 0);
	KUNIT_EXPECT_EQ(test, desc.length, SZ_1G);
}

static void foreign_operations_have_no_descriptor(struct kunit *test)
{
	static const blk_opf_t foreign[] = {
		REQ_OP_SECURE_ERASE, REQ_OP_ZONE_APPEND, REQ_OP_ZONE_OPEN,
		REQ_OP_ZONE_RESET, REQ_OP_DRV_IN, REQ_OP_DRV_OUT,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(foreign); i++) {
		struct request rq = { .cmd_flags = foreign[i] };

		KUNIT_EXPECT_EQ_MSG(test, torus_request_op(&rq), 0,
				    "operation %u", foreign[i]);
	}
}

static void results_become_block_layer_errors(struct kunit *test)
{
	static const blk_status_t expected[] = {
		[TORUS_RESULT_OK] = BLK_STS_OK,
		[TORUS_RESULT_IO_ERROR] = BLK_STS_IOERR,
		[TORUS_RESULT_NO_SPACE] = BLK_STS_NOSPC,
		[TORUS_RESULT_TIMEOUT] = BLK_STS_TIMEOUT,
		[TORUS_RESULT_MEDIUM] = BLK_STS_MEDIUM,
		[TORUS_RESULT_NOT_SUPPORTED] = BLK_STS_NOTSUPP,
	};
	u32 result;

	for (result = 0; result < ARRAY_SIZE(expected); result++)
		KUNIT_EXPECT_EQ_MSG(test, torus_result_status(result),
				    expected[result], "result %u", result);
}

static void unknown_results_are_never_success(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, torus_result_status(TORUS_RESULT_MAX + 1),
			BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, torus_result_status(U32_MAX), BLK_STS_IOERR);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(descriptor_says_what_is_asked, sample_gen_params),
	KUNIT_CASE(largest_discard_fits_its_length),
	KUNIT_CASE(foreign_operations_have_no_descriptor),
	KUNIT_CASE(results_become_block_layer_errors),
	KUNIT_CASE(unknown_results_are_never_success),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_descriptor",
	.test_cases = cases,
};

kunit_test_suite(suite);
