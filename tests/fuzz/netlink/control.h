/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_CONTROL_H
#define FUZZ_CONTROL_H

#include "port.h"

/*
 * Commands that are meant, on behalf of the watch and of the clean cycles. Each
 * returns 0 or what the driver said.
 */

/* Begins a command; attributes are put by their number. */
void control_begin(struct message *m, uint8_t cmd);
void control_put_u32(struct message *m, uint16_t number, uint32_t value);
void control_put_u64(struct message *m, uint16_t number, uint64_t value);

int control_call(struct port *port, const struct message *m,
		 struct answer *answer);

/* The state of a device (enum torus_state); deleted if there is none. */
uint32_t control_state(struct port *port, uint32_t id);
int control_delete(struct port *port, uint32_t id, bool force);

/* The ids of all devices are in the answer. */
int control_dump(struct port *port, struct answer *answer);

/* Has the kernel's log say which tasks are blocked, and where. */
void control_show_blocked(void);

#endif
