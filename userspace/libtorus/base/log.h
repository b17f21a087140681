/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging that never blocks the caller for long: one line, one write, to the
 * sink that the program installed (standard error with syslog priorities
 * under systemd; the simulator's trace in a simulation).
 */
#ifndef TORUS_BASE_LOG_H
#define TORUS_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
		 LOG_LEVEL_DEBUG };

typedef void (*log_sink_fn)(enum log_level level, const char *line);

/**
 * log_sink_stderr() - the sink at start: standard error, with priorities where
 * systemd's journal listens. A line that would block is dropped and counted.
 */
void log_sink_stderr(enum log_level level, const char *line);

/** log_set_sink() - send lines to @sink; NULL discards them. */
void log_set_sink(log_sink_fn sink);

/** log_set_level() - drop lines less important than @level (at start: INFO). */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
