// SPDX-License-Identifier: Apache-2.0
/*
 * Authentication: user and password for a token, which every request then
 * carries. Who needs one waits until it is there; etcd lets tokens expire, and
 * whoever is told so drops it and waits for the next.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "meta/etcd_internal.h"

static void authenticated(struct etcd_request *req, int err,
			  struct json_object *answer)
{
	struct etcd *e = req->e;
	const char *token = etcd_text(answer, "token");
	char text[ERROR_TEXT_MAX];

	e->authenticating = false;
	if (!err && !*token)
		err = error_set(-EBADMSG, "etcd: no token in the answer");
	/* etcd calls a wrong password an invalid argument. */
	if (err == -EINVAL)
		err = -EACCES;
	if (err)
		error_prefix("user %s", e->settings.user);
	else
		e->token = etcd_need(strdup(token));
	snprintf(text, sizeof(text), "%s", error_text(err));
	etcd_requests_authenticated(e, err, text);
	if (!e->closed)
		etcd_watches_authenticated(e);
}

void etcd_authenticate(struct etcd *e)
{
	struct etcd_request *req;

	if (e->authenticating)
		return;
	e->authenticating = true;
	req = etcd_request_new(e, ETCD_READ, "/v3/auth/authenticate",
			       etcd_auth_body(e->settings.user,
					      e->settings.password),
			       authenticated);
	etcd_request_start(req);
}

void etcd_drop_token(struct etcd *e)
{
	free(e->token);
	e->token = NULL;
}
