// SPDX-License-Identifier: Apache-2.0
#include "maint/fetch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

static void got_doc(void *ctx, int err, int64_t revision,
		    const struct meta_kv *kv)
{
	struct volume_fetch *f = ctx;
	CLEANUP_FREE struct volume_doc *doc = malloc(sizeof(*doc));
	bool fits;

	if (err == 0 && doc == NULL)
		err = -ENOMEM;
	fits = err == 0 && kv != NULL &&
	       volume_doc_decode(kv->key, kv->value, doc) == 0 &&
	       doc->id == f->volume;
	f->done(f->ctx, err, fits ? doc : NULL);
}

static void got_name(void *ctx, int err, int64_t revision,
		     const struct meta_kv *kv)
{
	struct volume_fetch *f = ctx;
	char name[VOLUME_NAME_MAX], key[META_KEY_MAX];

	if (err || kv == NULL || name_decode(kv->key, kv->value, name)) {
		f->done(f->ctx, err, NULL);
		return;
	}
	key_volume(f->cluster, name, key);
	err = metacall_get(f->calls, key, got_doc, f);
	if (err)
		f->done(f->ctx, err, NULL);
}

void volume_fetch(struct volume_fetch *f)
{
	char key[META_KEY_MAX];
	int err;

	key_volume_id(f->cluster, f->volume, key);
	err = metacall_get(f->calls, key, got_name, f);
	if (err)
		f->done(f->ctx, err, NULL);
}
