// SPDX-License-Identifier: Apache-2.0
/*
 * The etcd backend when things go wrong: servers that are away, paused,
 * restarted, set back, that want a password or a certificate, or that are no
 * etcd at all. Starts its own etcd on free ports of loopback, where
 * TORUS_TEST_ETCD is set (tests/integration/meta does): elsewhere only those
 * tests run that need none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "env/env_uring.h"
#include "meta/url.h"
#include "shell.h"

static char directory[] = "/tmp/torus-etcd-XXXXXX";
static bool have_etcd;
static struct env *env;
static struct meta *m;
static struct meta_settings settings;
static int port, peer_port;
static pid_t etcd_pid;
static bool tls;

/* ---- an etcd ------------------------------------------------------------------------ */

static int listen_somewhere(int *at)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*at = ntohs(sa.sin_port);
	return fd;
}

static int free_port(void)
{
	int found;

	close(listen_somewhere(&found));
	return found;
}

static void exec_etcd(void)
{
	char client[64], peer[64], cluster[80], data[64], ca[64], cert[64],
		key[64];
	int null = open("/dev/null", O_RDWR);
	int log = open("/dev/null", O_WRONLY);

	snprintf(client, sizeof(client), "http%s://127.0.0.1:%d",
		 tls ? "s" : "", port);
	snprintf(peer, sizeof(peer), "http://127.0.0.1:%d", peer_port);
	snprintf(cluster, sizeof(cluster), "default=%s", peer);
	snprintf(data, sizeof(data), "%s/data", directory);
	snprintf(ca, sizeof(ca), "%s/ca.pem", directory);
	snprintf(cert, sizeof(cert), "%s/cert.pem", directory);
	snprintf(key, sizeof(key), "%s/key.pem", directory);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	execlp("etcd", "etcd", "--data-dir", data, "--unsafe-no-fsync",
	       "--listen-client-urls", client, "--advertise-client-urls",
	       client, "--listen-peer-urls", peer,
	       "--initial-advertise-peer-urls", peer, "--initial-cluster",
	       cluster, tls ? "--client-cert-auth" : NULL,
	       "--trusted-ca-file", ca, "--cert-file", cert, "--key-file", key,
	       NULL);
	_exit(127);
}

static void pause_ms(int ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000l };

	nanosleep(&ts, NULL);
}

static bool accepts(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;

	close(fd);
	return yes;
}

static void start_etcd(void)
{
	int i, status;

	etcd_pid = fork();
	if (etcd_pid == 0)
		exec_etcd();
	for (i = 0; i < 400 && !accepts(); i++) {
		assert_int_equal(waitpid(etcd_pid, &status, WNOHANG), 0);
		pause_ms(50);
	}
	assert_true(accepts());
}

static void stop_etcd(void)
{
	if (!etcd_pid)
		return;
	kill(etcd_pid, SIGKILL);
	waitpid(etcd_pid, NULL, 0);
	etcd_pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

static void remove_data(void)
{
	char data[64];

	snprintf(data, sizeof(data), "%s/data", directory);
	nftw(data, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int group_setup(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	have_etcd = getenv("TORUS_TEST_ETCD") != NULL;
	assert_non_null(mkdtemp(directory));
	return 0;
}

static int group_teardown(void **state)
{
	return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
	memset(&settings, 0, sizeof(settings));
	settings.timeout_ms = 1000;
	tls = false;
	port = free_port();
	peer_port = free_port();
	env = env_uring_new(&(struct env_uring_config){ 0 });
	assert_non_null(env);
	m = NULL;
	return 0;
}

static int teardown(void **state)
{
	if (m)
		m->ops->close(m);
	env_uring_free(env);
	stop_etcd();
	remove_data();
	return 0;
}

static void open_meta(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

static void open_meta(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(settings.url, sizeof(settings.url), format, ap);
	va_end(ap);
	if (m)
		m->ops->close(m);
	assert_int_equal(meta_open(env, &settings, &m), 0);
}

/* ---- waiting for answers ---------------------------------------------------------------- */

static struct {
	int count, err;
	bool succeeded, found;
	int64_t revision, lease;
	char value[64], text[ERROR_TEXT_MAX];
} a;

static struct {
	int count, resets;
	char text[256];
} ev;

static int losses;

static void turn_until(const int *counter, int value, int seconds)
{
	uint64_t end = env_now(env) + seconds * NSEC_PER_SEC;

	while (*counter < value) {
		if (env_now(env) > end)
			fail_msg("nothing happened in %d s", seconds);
		assert_int_equal(env_uring_turn(env, NSEC_PER_SEC / 10), 0);
	}
}

static void note(int err)
{
	a.count++;
	a.err = err;
	snprintf(a.text, sizeof(a.text), "%s", err ? error_text(err) : "");
}

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv)
{
	note(err);
	a.revision = revision;
	a.found = kv != NULL;
	snprintf(a.value, sizeof(a.value), "%s", kv ? kv->value : "");
}

static void committed(void *ctx, int err, bool succeeded, int64_t revision)
{
	note(err);
	a.succeeded = succeeded;
	a.revision = revision;
}

static void leased(void *ctx, int err, int64_t lease)
{
	note(err);
	a.lease = lease;
}

static void lost(void *ctx, int64_t lease)
{
	losses++;
}

static void event(void *ctx, enum meta_event_type type,
		  const struct meta_kv *kv)
{
	ev.count++;
	if (type == META_EVENT_RESET)
		ev.resets++;
	else
		snprintf(ev.text + strlen(ev.text),
			 sizeof(ev.text) - strlen(ev.text), "%s=%.20s ",
			 kv->key, kv->value ? kv->value : "");
}

static int get(const char *key)
{
	int before = a.count;

	m->ops->get(m, key, got, NULL);
	turn_until(&a.count, before + 1, 20);
	return a.err;
}

static int put(const char *key, const char *value)
{
	struct meta_txn txn = { .put_count = 1 };
	int before = a.count;

	txn.put[0] = (struct meta_put){ key, value, 0 };
	m->ops->txn(m, &txn, committed, NULL);
	turn_until(&a.count, before + 1, 20);
	return a.err;
}

/* A server that listens may not have its leader yet. */
static void open_ready(void)
{
	int i;

	open_meta("etcd://127.0.0.1:%d", port);
	for (i = 0; i < 100 && get("ready") != 0; i++)
		pause_ms(50);
	assert_int_equal(a.err, 0);
}

static void start_ready(void)
{
	if (!have_etcd)
		skip();
	start_etcd();
	open_ready();
}

static void expect_text(const char *part)
{
	if (!strstr(a.text, part))
		fail_msg("\"%s\" does not say \"%s\"", a.text, part);
}

/* ---- away, paused, restarted --------------------------------------------- */

static void unreachable_server_is_named(void **state)
{
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	open_meta("etcd://%s", address);
	assert_int_equal(get("x"), -ECONNREFUSED);
	expect_text(address);
	/* Surely not applied, so not -ETIMEDOUT. */
	assert_int_equal(put("x", "1"), -ECONNREFUSED);
	open_meta("etcd://no-such-host.invalid:1");
	assert_int_equal(put("x", "1"), -EHOSTUNREACH);
	expect_text("no-such-host.invalid");
}

static void next_endpoint_is_tried(void **state)
{
	start_ready();
	open_meta("etcd://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", free_port(),
		  free_port(), port);
	assert_int_equal(put("x", "1"), 0);
	assert_true(a.succeeded);
	open_meta("etcd://127.0.0.1:%d,127.0.0.1:%d", free_port(), port);
	memset(&ev, 0, sizeof(ev));
	m->ops->watch(m, "x", a.revision, event, NULL);
	turn_until(&ev.count, 1, 10);
	assert_string_equal(ev.text, "x=1 ");
}

static void paused_server_leaves_a_write_open(void **state)
{
	uint64_t begin;

	start_ready();
	assert_int_equal(put("x", "1"), 0);
	assert_int_equal(kill(etcd_pid, SIGSTOP), 0);
	/* The signal is on its way; all threads have stopped after this. */
	assert_int_equal(waitpid(etcd_pid, NULL, WUNTRACED), etcd_pid);
	begin = env_now(env);
	assert_int_equal(put("x", "2"), -ETIMEDOUT);
	expect_text("not known");
	assert_int_equal(get("x"), -ETIMEDOUT);
	assert_true(env_now(env) - begin < 5 * NSEC_PER_SEC);
	kill(etcd_pid, SIGCONT);
	assert_int_equal(put("y", "1"), 0);
}

static void watch_survives_a_restart(void **state)
{
	start_ready();
	assert_int_equal(put("w/a", "1"), 0);
	memset(&ev, 0, sizeof(ev));
	m->ops->watch(m, "w/", a.revision, event, NULL);
	turn_until(&ev.count, 1, 10);
	stop_etcd();
	assert_int_equal(get("x"), -ECONNREFUSED);
	start_etcd();
	/* A write that fails may land all the same: the server is up first. */
	while (get("x"))
		pause_ms(50);
	assert_int_equal(put("w/b", "2"), 0);
	turn_until(&ev.count, 2, 20);
	assert_string_equal(ev.text, "w/a=1 w/b=2 ");
	assert_int_equal(ev.resets, 0);
}

static void server_that_went_back_is_noticed(void **state)
{
	int i;

	start_ready();
	for (i = 0; i < 30; i++)
		assert_int_equal(put("w/a", "old"), 0);
	memset(&ev, 0, sizeof(ev));
	m->ops->watch(m, "w/", a.revision + 1, event, NULL);
	assert_int_equal(put("w/a", "newer"), 0);
	turn_until(&ev.count, 1, 10);
	stop_etcd();
	remove_data();
	start_etcd();
	turn_until(&ev.resets, 1, 20);
	while (put("w/b", "2"))
		pause_ms(50);
	while (!strstr(ev.text, "w/b=2"))
		turn_until(&ev.count, ev.count + 1, 10);
	assert_int_equal(ev.resets, 1);
}

static void lease_is_lost_when_nobody_confirms_it(void **state)
{
	int before;

	start_ready();
	before = a.count;
	losses = 0;
	m->ops->lease_grant(m, 2, leased, lost, NULL);
	turn_until(&a.count, before + 1, 10);
	assert_int_equal(a.err, 0);
	stop_etcd();
	turn_until(&losses, 1, 20);
	assert_int_equal(env_uring_turn(env, NSEC_PER_SEC), 0);
	assert_int_equal(losses, 1);
}

/* ---- no etcd at all ------------------------------------------------------ */

static struct fake {
	int fd, port;
	pthread_t thread;
	atomic_int txns, ranges;
	const char *range_answer;	/* NULL: hang up */
	const char *txn_answer;
	bool hang_up;			/* after each answer */
} fakes[2];

static bool reply(int fd, const char *answer)
{
	char text[512];
	int len;

	if (!answer)
		return false;
	len = snprintf(text, sizeof(text), "HTTP/1.1 %s", answer);
	return write(fd, text, len) == len;
}

/* Requests of these tests are small: they come in one piece. */
static void serve(struct fake *f, int fd)
{
	char text[4096];
	bool more = true;
	ssize_t n;

	while (more && (n = read(fd, text, sizeof(text) - 1)) > 0) {
		text[n] = 0;
		if (strstr(text, "/v3/kv/txn")) {
			f->txns++;
			more = reply(fd, f->txn_answer);
		} else {
			f->ranges++;
			more = reply(fd, f->range_answer);
		}
		more = more && !f->hang_up;
	}
	close(fd);
}

static void *fake_run(void *arg)
{
	struct fake *f = arg;
	int fd;

	while ((fd = accept(f->fd, NULL, NULL)) >= 0)
		serve(f, fd);
	return NULL;
}

static void fake_start(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	f->fd = listen_somewhere(&f->port);
	assert_int_equal(pthread_create(&f->thread, NULL, fake_run, f), 0);
}

static void fake_stop(struct fake *f)
{
	/* Connections that curl keeps would keep the thread. */
	m->ops->close(m);
	m = NULL;
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
}

static void sent_write_is_never_repeated(void **state)
{
	fake_start(&fakes[0]);
	fake_start(&fakes[1]);
	open_meta("etcd://127.0.0.1:%d,127.0.0.1:%d", fakes[0].port,
		  fakes[1].port);
	assert_int_equal(put("x", "1"), -ETIMEDOUT);
	assert_int_equal(fakes[0].txns + fakes[1].txns, 1);
	/* A read is, everywhere. */
	assert_int_equal(get("x"), -ECONNRESET);
	assert_true(fakes[0].ranges >= 1);
	assert_true(fakes[1].ranges >= 1);
	fake_stop(&fakes[0]);
	m = NULL;
	open_meta("etcd://127.0.0.1:%d", fakes[1].port);
	fake_stop(&fakes[1]);
}

#define OK "200 OK\r\nContent-Type: application/json\r\n"
#define REVISION_1 OK "Content-Length: 27\r\n\r\n{\"header\":{\"revision\":\"1\"}}"

/* curl repeats by itself what dies on a connection that it has kept. */
static void write_on_a_kept_connection_is_not_repeated(void **state)
{
	fake_start(&fakes[0]);
	fakes[0].range_answer = REVISION_1;
	open_meta("etcd://127.0.0.1:%d", fakes[0].port);
	assert_int_equal(get("x"), 0);
	/* The only thread of the fake must be free for another connection. */
	fakes[0].range_answer = NULL;
	assert_int_equal(get("x"), -ECONNRESET);
	assert_int_equal(put("x", "1"), -ETIMEDOUT);
	assert_int_equal(fakes[0].txns, 1);
	fake_stop(&fakes[0]);
}

static void answers_that_are_none_are_refused(void **state)
{
	static const char *const answers[] = {
		OK "Content-Length: 5\r\n\r\nhello",
		OK "Content-Length: 2\r\n\r\n[]",
		OK "Content-Length: 0\r\n\r\n",
		OK "Content-Length: 21\r\n\r\n{\"kvs\":[{\"key\":\"!\"}]}",
		OK "Content-Length: 39\r\n\r\n"
		"{\"kvs\":[{\"key\":\"Zg==\",\"value\":\"Zm!v\"}]}",
		"404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
	};
	size_t i;

	fake_start(&fakes[0]);
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		fakes[0].range_answer = answers[i];
		open_meta("etcd://127.0.0.1:%d", fakes[0].port);
		assert_true(get("x") < 0);
		assert_true(a.err == -EBADMSG || i == 5);
	}
	fake_stop(&fakes[0]);
}

/* curl takes headers without an end for an answer without a body. */
static void answer_that_breaks_off_is_none(void **state)
{
	static const char *const answers[] = {
		"200 OK\r\nContent-Ty",
		OK "Content-Length: 27\r\n",
		OK "Content-Length: 27\r\n\r\n{\"header\":",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		fake_start(&fakes[0]);
		fake_start(&fakes[1]);
		fakes[0].hang_up = fakes[1].hang_up = true;
		fakes[0].range_answer = fakes[0].txn_answer = answers[i];
		fakes[1].range_answer = REVISION_1;
		open_meta("etcd://127.0.0.1:%d,127.0.0.1:%d", fakes[0].port,
			  fakes[1].port);
		assert_int_equal(put("x", "1"), -ETIMEDOUT);
		assert_int_equal(fakes[0].txns + fakes[1].txns, 1);
		assert_int_equal(get("x"), 0);
		fake_stop(&fakes[0]);
		m = NULL;
		open_meta("etcd://127.0.0.1:%d", fakes[1].port);
		fake_stop(&fakes[1]);
	}
}

static void trouble_inside_etcd_leaves_a_write_open(void **state)
{
	fake_start(&fakes[0]);
	fakes[0].txn_answer = "503 Service Unavailable\r\nContent-Length: 54\r\n"
		"\r\n{\"error\":\"etcdserver: leader changed\",\"code\":14}      ";
	open_meta("etcd://127.0.0.1:%d", fakes[0].port);
	assert_int_equal(put("x", "1"), -ETIMEDOUT);
	expect_text("leader changed");
	assert_int_equal(fakes[0].txns, 1);
	fake_stop(&fakes[0]);
}

/* ---- passwords and certificates ------------------------------------------ */

static void password_is_asked_for(void **state)
{
	start_ready();
	assert_int_equal(shell("export ETCDCTL_API=3 "
		"ETCDCTL_ENDPOINTS=http://127.0.0.1:%d; exec >/dev/null; "
		"etcdctl user add root:secret && "
		"etcdctl user grant-role root root && etcdctl auth enable",
		port), 0);
	assert_int_equal(get("x"), -EACCES);
	assert_int_equal(put("x", "1"), -EACCES);
	snprintf(settings.user, sizeof(settings.user), "root");
	snprintf(settings.password, sizeof(settings.password), "wrong");
	open_meta("etcd://127.0.0.1:%d", port);
	assert_int_equal(put("x", "1"), -EACCES);
	expect_text("user root");
	snprintf(settings.password, sizeof(settings.password), "secret");
	open_meta("etcd://127.0.0.1:%d", port);
	assert_int_equal(put("w/a", "1"), 0);
	memset(&ev, 0, sizeof(ev));
	m->ops->watch(m, "w/", a.revision, event, NULL);
	turn_until(&ev.count, 1, 10);
	/* A restarted server does not know the token any more. */
	stop_etcd();
	start_etcd();
	while (put("w/b", "2") == -ECONNREFUSED || a.err == -EHOSTUNREACH ||
	       a.err == -ETIMEDOUT)
		pause_ms(50);
	assert_int_equal(a.err, 0);
	while (!strstr(ev.text, "w/b=2"))
		turn_until(&ev.count, ev.count + 1, 20);
	assert_int_equal(ev.resets, 0);
}

static void make_certificates(void)
{
	static const char script[] = "exec >/dev/null 2>&1; "
		"new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';"
		"openssl req -x509 $new -keyout ca.key -out ca.pem "
		"-subj /CN=ca -days 2 && "
		"openssl req $new -keyout key.pem -out cert.csr "
		"-subj /CN=127.0.0.1 && "
		"{ echo subjectAltName=IP:127.0.0.1; "
		"echo extendedKeyUsage=serverAuth,clientAuth; } >ext && "
		"openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key "
		"-CAcreateserial -out cert.pem -days 2 -extfile ext";

	assert_int_equal(shell("cd %s && %s", directory, script), 0);
}

static void certificates_are_checked_both_ways(void **state)
{
	if (!have_etcd || shell("command -v openssl >/dev/null") != 0)
		skip();
	make_certificates();
	tls = true;
	start_etcd();
	snprintf(settings.ca, sizeof(settings.ca), "%s/ca.pem", directory);
	snprintf(settings.cert, sizeof(settings.cert), "%s/cert.pem", directory);
	snprintf(settings.key, sizeof(settings.key), "%s/key.pem", directory);
	open_ready();
	assert_int_equal(put("w/a", "1"), 0);
	memset(&ev, 0, sizeof(ev));
	m->ops->watch(m, "w/", a.revision, event, NULL);
	turn_until(&ev.count, 1, 10);
	/* Without the client's certificate, and without the server's CA. */
	settings.cert[0] = settings.key[0] = 0;
	open_meta("etcd://127.0.0.1:%d", port);
	assert_true(put("x", "1") < 0);
	snprintf(settings.ca, sizeof(settings.ca),
		 "/etc/ssl/certs/ca-certificates.crt");
	if (access(settings.ca, R_OK) == 0) {
		open_meta("etcd://127.0.0.1:%d", port);
		assert_int_equal(put("x", "1"), -EACCES);
	}
	snprintf(settings.ca, sizeof(settings.ca), "/nonexistent.pem");
	assert_int_equal(meta_open(env, &settings, &(struct meta *){ 0 }),
			 -ENOENT);
	assert_non_null(strstr(error_text(-ENOENT), "etcd_ca"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unreachable_server_is_named),
		T(next_endpoint_is_tried),
		T(paused_server_leaves_a_write_open),
		T(watch_survives_a_restart),
		T(server_that_went_back_is_noticed),
		T(lease_is_lost_when_nobody_confirms_it),
		T(sent_write_is_never_repeated),
		T(write_on_a_kept_connection_is_not_repeated),
		T(answers_that_are_none_are_refused),
		T(answer_that_breaks_off_is_none),
		T(trouble_inside_etcd_leaves_a_write_open),
		T(password_is_asked_for),
		T(certificates_are_checked_both_ways),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
