// SPDX-License-Identifier: Apache-2.0
/* The knobs of the fault points count, stop, go on, and refuse nonsense. */
#include "fault.h"
#include "test.h"

#define SIZE (4ull << 20)

static uint32_t id;
static struct world *world;

/* Comes by before_bind, and does not get further than that. */
static void try_to_bind(void)
{
	struct helper h;

	CHECK(!helper_open(&h, world, id, 8 << 20));
	CHECK_INT(helper_bind(&h, false), -EBUSY);
	helper_close(&h);
}

static void counts(void)
{
	fault_set("before_bind", "times=2 skip=1 every=3");
	for (int i = 0; i < 10; i++)
		try_to_bind();
	/* The 4th and the 7th; then it is off, and counts no more. */
	CHECK_INT(fault_value("before_bind", "happened"), 2);
	CHECK_INT(fault_value("before_bind", "reached"), 7);
	CHECK_INT(fault_value("before_bind", "times"), 0);
	fault_set("before_bind", "times=-1 chance=0");
	for (int i = 0; i < 3; i++)
		try_to_bind();
	CHECK_INT(fault_value("before_bind", "reached"), 3);
	CHECK_INT(fault_value("before_bind", "happened"), 0);
	fault_set("before_bind", "off");
	try_to_bind();
	CHECK_INT(fault_value("before_bind", "reached"), 0);
}

static void stops(void)
{
	uint64_t before = now_ms();

	fault_set("before_bind", "ms=300");
	try_to_bind();
	CHECK(now_ms() - before >= 300);
	CHECK_INT(fault_value("before_bind", "waiting"), 0);
}

static void refuses_nonsense(void)
{
	static const struct {
		const char *knob, *setting;
		int error;
	} cases[] = {
		{ "before_bind", "of", -EINVAL },
		{ "before_bind", "times", -EINVAL },
		{ "before_bind", "times=", -EINVAL },
		{ "before_bind", "times=x", -EINVAL },
		{ "before_bind", "times=-2", -ERANGE },
		{ "before_bind", "every=0", -ERANGE },
		{ "before_bind", "chance=101", -ERANGE },
		{ "before_bind", "kill=2", -ERANGE },
		{ "before_bind", "ms=60001", -ERANGE },
		{ "before_bind", "skip=99999999999", -ERANGE },
		/* Nobody may sleep there, and nobody's helper is known here. */
		{ "after_send", "ms=1", -EINVAL },
		{ "fail_alloc", "kill=1", -EINVAL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int ret = fault_try_set(cases[i].knob, cases[i].setting);

		if (ret != cases[i].error)
			FAIL("%s to %s gives %d, not %d", cases[i].setting,
			     cases[i].knob, ret, cases[i].error);
	}
	CHECK_INT(fault_value("before_bind", "ms"), 300);
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct helper h;

	test_begin();
	faults_begin();
	world = world_new(SIZE);
	id = device_add(&config);
	CHECK(!helper_open(&h, world, id, 8 << 20));
	CHECK(!helper_bind(&h, false));
	counts();
	stops();
	refuses_nonsense();
	helper_close(&h);
	return 0;
}
