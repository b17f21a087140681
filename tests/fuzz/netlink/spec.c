// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>

#include "spec.h"

const struct spec_op *spec_find(uint8_t cmd)
{
	for (unsigned int i = 0; i < spec_nr_ops; i++)
		if (spec_ops[i].cmd == cmd)
			return &spec_ops[i];
	return NULL;
}

unsigned int spec_index(const struct spec_op *op)
{
	return op - spec_ops;
}

const struct spec_use *spec_use(const struct spec_op *op, uint16_t number)
{
	for (unsigned int i = 0; i < op->nr_uses; i++)
		if (op->uses[i].attr->number == number)
			return &op->uses[i];
	return NULL;
}
