// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <ctype.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

#define TABLE_COLUMNS_MAX 16

struct table {
	const char *name;
	struct libscols_table *scols;
	struct libscols_line *line;
	bool json;
	enum column_kind kinds[TABLE_COLUMNS_MAX];
	unsigned int columns, cell;
};

static void out_of_memory(void)
{
	fprintf(stderr, "torusctl: out of memory\n");
	exit(3);
}

static int json_type(enum column_kind kind)
{
	if (kind == COLUMN_TEXT)
		return SCOLS_JSON_STRING;
	return kind == COLUMN_FLAG ? SCOLS_JSON_BOOLEAN : SCOLS_JSON_NUMBER;
}

static void add_column(struct table *t, const struct column *c)
{
	bool right = c->kind != COLUMN_TEXT && c->kind != COLUMN_FLAG;
	struct libscols_column *cl;
	char title[64];
	size_t i;

	snprintf(title, sizeof(title), "%s", c->title);
	for (i = 0; t->json && title[i]; i++)
		title[i] = (char)tolower((unsigned char)title[i]);
	cl = scols_table_new_column(t->scols, title, 0,
				    right ? SCOLS_FL_RIGHT : 0);
	if (!cl || scols_column_set_json_type(cl, json_type(c->kind)))
		out_of_memory();
	t->kinds[t->columns++] = c->kind;
}

void duration_format(uint64_t seconds, char *text, size_t len)
{
	static const struct { uint64_t seconds; const char *unit; } units[] = {
		{ 86400, "days" }, { 3600, "h" }, { 60, "min" }, { 1, "s" },
	};
	size_t i = 0;

	if (seconds == UINT64_MAX) {
		snprintf(text, len, "unknown");
		return;
	}
	/* At least two of a unit, since they are rounded. */
	while (i < 3 && seconds < 2 * units[i].seconds)
		i++;
	snprintf(text, len, "%" PRIu64 " %s",
		 (seconds + units[i].seconds / 2) / units[i].seconds,
		 units[i].unit);
}

const char *chunks_word(uint64_t count)
{
	return count == 1 ? "chunk" : "chunks";
}

struct table *table_new(const char *name, bool json,
			const struct column *columns, unsigned int count)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t || count > TABLE_COLUMNS_MAX)
		out_of_memory();
	t->scols = scols_new_table();
	if (!t->scols || scols_table_set_name(t->scols, name))
		out_of_memory();
	t->name = name;
	t->json = json;
	scols_table_enable_json(t->scols, json);
	for (unsigned int i = 0; i < count; i++)
		add_column(t, &columns[i]);
	return t;
}

void table_row(struct table *t)
{
	t->line = scols_table_new_line(t->scols, NULL);
	t->cell = 0;
	if (!t->line)
		out_of_memory();
}

void table_text(struct table *t, const char *text)
{
	if (scols_line_set_data(t->line, t->cell++, text ? text : ""))
		out_of_memory();
}

void table_number(struct table *t, uint64_t value)
{
	enum column_kind kind = t->kinds[t->cell];
	char text[32];

	if (kind == COLUMN_FLAG && t->json)
		snprintf(text, sizeof(text), "%d", value != 0);
	else if (kind == COLUMN_FLAG)
		snprintf(text, sizeof(text), "%s", value ? "yes" : "no");
	else if (kind == COLUMN_SIZE && !t->json)
		size_format(value, text, sizeof(text));
	else if (kind == COLUMN_TIME && !t->json)
		duration_format(value, text, sizeof(text));
	else if (kind == COLUMN_TIME && value == UINT64_MAX)
		snprintf(text, sizeof(text), "null");
	else
		snprintf(text, sizeof(text), "%" PRIu64, value);
	table_text(t, text);
}

void table_unknown(struct table *t)
{
	table_text(t, t->json ? "null" : "-");
}

void table_print(struct table *t)
{
	/* Nothing at all would leave open whether somebody looked. */
	if (!t->json && !t->line)
		fprintf(stderr, "no %s\n", t->name);
	scols_print_table(t->scols);
	scols_unref_table(t->scols);
	free(t);
}
