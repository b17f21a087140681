/* SPDX-License-Identifier: Apache-2.0 */
/* The store's side of wire/proto.h: connections, HELLO, requests. */
#ifndef TORUS_STORE_SERVER_H
#define TORUS_STORE_SERVER_H

struct store;

/** store_server_close() - drop every connection; requests at work go on, their
 * answers go nowhere. New connections get nothing. */
void store_server_close(struct store *store);

/** store_server_release() - free what connections hold: the store ends. */
void store_server_release(struct store *store);

#endif
