/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: functions return 0 or a negative errno. The sentence that a person
 * reads is kept beside it, per thread, by the function that knows the context;
 * the program's boundary prints it.
 */
#ifndef TORUS_BASE_ERROR_H
#define TORUS_BASE_ERROR_H

#define ERROR_TEXT_MAX 1024

/**
 * error_set() - remember the sentence for the error that is being returned.
 * @err: negative errno, returned unchanged so that callers can write
 *       `return error_set(-EINVAL, "volume %s: ...", name);`
 * The sentence names the thing and the way out and has no trailing newline.
 */
int error_set(int err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** error_prefix() - put "prefix: " before the remembered sentence. */
void error_prefix(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** error_text() - the remembered sentence, or strerror of @err if none. */
const char *error_text(int err);

/** error_clear() - forget the remembered sentence. */
void error_clear(void);

#endif
