// SPDX-License-Identifier: Apache-2.0
/* URLs and settings of the metadata store, files that are none, base64. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "env/env_uring.h"
#include "meta/base64.h"
#include "meta/url.h"

static char directory[] = "/tmp/torus-url-XXXXXX";
static struct meta_settings s;

static const char *path(const char *name)
{
	static char p[2][64];
	static int next;

	next = !next;
	snprintf(p[next], sizeof(p[0]), "%s/%s", directory, name);
	return p[next];
}

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void set_conf(const char *text)
{
	write_file("conf", text);
	setenv("TORUS_CONF", path("conf"), 1);
}

static int group_setup(void **state)
{
	assert_non_null(mkdtemp(directory));
	return 0;
}

static int group_teardown(void **state)
{
	unlink(path("conf"));
	return rmdir(directory);
}

static int setup(void **state)
{
	unsetenv("TORUS_META");
	set_conf("");
	return 0;
}

static void expect_error(int err, int expected, const char *part)
{
	assert_int_equal(err, expected);
	if (!strstr(error_text(err), part))
		fail_msg("\"%s\" does not say \"%s\"", error_text(err), part);
}

/* ---- where the URL comes from ------------------------------------------------------ */

static void option_wins_over_environment_over_file(void **state)
{
	set_conf("meta = local:/file\n");
	assert_int_equal(meta_settings_resolve(&s, NULL), 0);
	assert_string_equal(s.url, "local:/file");
	setenv("TORUS_META", "local:/environment", 1);
	assert_int_equal(meta_settings_resolve(&s, NULL), 0);
	assert_string_equal(s.url, "local:/environment");
	assert_int_equal(meta_settings_resolve(&s, "local:/option"), 0);
	assert_string_equal(s.url, "local:/option");
	setenv("TORUS_META", "", 1);
	assert_int_equal(meta_settings_resolve(&s, NULL), 0);
	assert_string_equal(s.url, "local:/file");
}

static int resolve_as_nobody(const char *url)
{
	bool root = geteuid() == 0;
	int err;

	if (root)
		assert_int_equal(seteuid(65534), 0);
	err = meta_settings_resolve(&s, url);
	if (root)
		assert_int_equal(seteuid(0), 0);
	return err;
}

/* It is root's alone, since it may hold a password. */
static void file_of_root_is_no_harm_to_a_local_url(void **state)
{
	set_conf("meta = etcd://secret:1\n");
	assert_int_equal(chmod(getenv("TORUS_CONF"), 0), 0);
	assert_int_equal(resolve_as_nobody("local:/mine"), 0);
	assert_string_equal(s.url, "local:/mine");
	expect_error(resolve_as_nobody("etcd://a:1"), -EACCES, "conf");
	expect_error(resolve_as_nobody(NULL), -EACCES, "conf");
	assert_int_equal(chmod(getenv("TORUS_CONF"), 0600), 0);
}

static void no_url_says_how_to_give_one(void **state)
{
	expect_error(meta_settings_resolve(&s, NULL), -ENOENT, "TORUS_META");
	setenv("TORUS_CONF", path("none"), 1);
	expect_error(meta_settings_resolve(&s, NULL), -ENOENT, "none");
}

static void settings_come_from_the_file(void **state)
{
	set_conf("# a comment\n\n  meta=etcd://a:1,b:2 \netcd_user =  u\n"
		 "etcd_password = p w = x\netcd_ca = /ca\netcd_cert = /c\n"
		 "etcd_key = /k");
	assert_int_equal(meta_settings_resolve(&s, NULL), 0);
	assert_string_equal(s.url, "etcd://a:1,b:2");
	assert_string_equal(s.user, "u");
	assert_string_equal(s.password, "p w = x");
	assert_string_equal(s.ca, "/ca");
	assert_string_equal(s.cert, "/c");
	assert_string_equal(s.key, "/k");
}

static void bad_lines_are_named(void **state)
{
	char text[3000];

	set_conf("meta = local:/x\nmetta = y\n");
	expect_error(meta_settings_resolve(&s, NULL), -EINVAL, "conf:2:");
	expect_error(meta_settings_resolve(&s, NULL), -EINVAL, "metta");
	set_conf("meta local:/x\n");
	expect_error(meta_settings_resolve(&s, NULL), -EINVAL, "conf:1:");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	memcpy(text, "meta = ", 7);
	set_conf(text);
	expect_error(meta_settings_resolve(&s, NULL), -EINVAL, "conf:1:");
	text[1500] = 0;
	set_conf(text);
	expect_error(meta_settings_resolve(&s, NULL), -EINVAL, "meta");
	set_conf("meta = local:/x\netcd_user = u\n");
	expect_error(meta_settings_resolve(&s, NULL), -EINVAL, "etcd_password");
	set_conf("meta = local:/x\netcd_key = /k\n");
	expect_error(meta_settings_resolve(&s, NULL), -EINVAL, "etcd_cert");
}

static void urls_are_checked(void **state)
{
	static const char *const good[] = {
		"etcd://a:1", "etcd://10.0.0.1:2379,[::1]:2379,h.x:65535",
		"local:/x", "local:relative",
	};
	static const char *const bad[] = {
		"", "x", "http://a:1", "etcd:a:1", "etcd://", "etcd://a",
		"etcd://a:1,", "etcd://a:1,,b:1", "etcd://:1", "etcd://a:x",
		"etcd://a:1/path", "local:", "etcd://a:99999",
		"etcd://a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,"
		"a:1,a:1,a:1,a:1",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(meta_url_check(good[i]), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		expect_error(meta_url_check(bad[i]), -EINVAL, bad[i]);
		assert_int_equal(meta_settings_resolve(&s, bad[i]), -EINVAL);
	}
}

/* ---- local files -------------------------------------------------------------------- */

static int open_local(const char *file, bool create)
{
	struct env *env = env_uring_new(&(struct env_uring_config){ 0 });
	struct meta *m;
	int err;

	assert_non_null(env);
	memset(&s, 0, sizeof(s));
	snprintf(s.url, sizeof(s.url), "local:%s", file);
	s.create = create;
	err = meta_open(env, &s, &m);
	if (!err)
		m->ops->close(m);
	env_uring_free(env);
	return err;
}

static void sql(const char *file, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void files_that_are_no_metadata_are_refused(void **state)
{
	const char *file = path("db");

	assert_int_equal(open_local(file, true), 0);
	assert_int_equal(open_local(file, false), 0);
	sql(file, "PRAGMA user_version = 2");
	expect_error(open_local(file, false), -EPROTONOSUPPORT, "format 2");
	unlink(file);
	sql(file, "CREATE TABLE t(x)");
	expect_error(open_local(file, true), -EBADMSG, "no metadata file");
	unlink(file);
	write_file("db", "this is text, and much longer than any header of a "
		   "database file would be, so that nobody takes it for one\n");
	expect_error(open_local(file, true), -EBADMSG, file);
	unlink(file);
	assert_true(open_local(directory, true) < 0);
	expect_error(open_local("/nonexistent/db", true), -ENOENT,
		     "/nonexistent/db");
}

static void file_is_made_only_for_who_wants_it(void **state)
{
	const char *file = path("db");

	expect_error(open_local(file, false), -ENOENT, "torusctl init");
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(open_local(file, true), 0);
	assert_int_equal(access(file, F_OK), 0);
	unlink(file);
}

/* ---- base64 -------------------------------------------------------------------------- */

static void base64_follows_the_standard(void **state)
{
	static const char *const vectors[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfb", "//77" },
	};
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Z===", "====",
		"Zg==Zg==", "Zm9v!m9v", "Zm 9", "AA==" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		CLEANUP_FREE char *text = base64_encode(vectors[i][0],
							strlen(vectors[i][0]));
		CLEANUP_FREE char *data = base64_decode(vectors[i][1]);

		assert_string_equal(text, vectors[i][1]);
		assert_string_equal(data, vectors[i][0]);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_null(base64_decode(bad[i]));
		assert_int_equal(errno, EBADMSG);
	}
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(option_wins_over_environment_over_file),
		T(file_of_root_is_no_harm_to_a_local_url),
		T(no_url_says_how_to_give_one),
		T(settings_come_from_the_file),
		T(bad_lines_are_named),
		T(urls_are_checked),
		T(files_that_are_no_metadata_are_refused),
		T(file_is_made_only_for_who_wants_it),
		T(base64_follows_the_standard),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
