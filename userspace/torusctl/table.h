/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table for people (libsmartcols, as lsblk prints) or, with --json, one
 * object per row with plain numbers.
 */
#ifndef TORUSCTL_TABLE_H
#define TORUSCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table;

enum column_kind {
	COLUMN_TEXT,
	COLUMN_SIZE,		/* bytes: "1.5 GiB"; JSON: a number */
	COLUMN_NUMBER,
	COLUMN_TIME,		/* seconds: "5 min"; JSON: a number, or null
				 * when it is not known (UINT64_MAX) */
	COLUMN_FLAG,		/* yes or no; JSON: true or false */
};

struct column {
	const char *title;	/* "SIZE"; JSON: "size" */
	enum column_kind kind;
};

/** table_new() - @name: of the array in JSON. Exits when out of memory. */
struct table *table_new(const char *name, bool json,
			const struct column *columns, unsigned int count);

/** duration_format() - seconds as "40 s", "5 min", "3 h", "2 days"; or of
 * UINT64_MAX "unknown". */
void duration_format(uint64_t seconds, char *text, size_t len);

/** chunks_word() - "chunk" of one, else "chunks". */
const char *chunks_word(uint64_t count);

/** table_row() - begin a row; cells are filled from left to right. */
void table_row(struct table *table);
void table_text(struct table *table, const char *text);	/* NULL: empty */
void table_number(struct table *table, uint64_t value);	/* all other kinds */
void table_unknown(struct table *table);	/* "-"; JSON: null; no flags */

/**
 * table_print() - to standard output, and free it. Standard error says so if
 * there is nothing in it; JSON shows that by itself.
 */
void table_print(struct table *table);

#endif
