// SPDX-License-Identifier: Apache-2.0
#include "env/longopt.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

int longopt_check(const struct option *taken, char *const argv[])
{
	const char *word = argv[optind - 1];
	size_t len;

	/* "--name value" are two words, "--name=value" is one. */
	if (optarg && optarg == word)
		word = argv[optind - 2];
	word += strspn(word, "-");
	len = strcspn(word, "=");
	if (len == strlen(taken->name))
		return 0;
	return error_set(-EINVAL, "options are not shortened: '--%.*s' is spelled --%s",
			 (int)len, word, taken->name);
}
