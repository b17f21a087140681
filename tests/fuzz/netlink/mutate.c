// SPDX-License-Identifier: Apache-2.0
/*
 * Mutations by the form, from the spec alone. Whoever may not know of an
 * operation can still tell that a number is out of its range, so these hold for
 * every attribute and operation that the YAML will ever have.
 *
 * must_refuse is set where the spec, or netlink's strict validation that the
 * family has asked for, leaves no choice.
 */
#include <string.h>

#include "devices.h"
#include "mutate.h"

static struct message_field *any_field(struct message *m, struct chance *c)
{
	return m->nr_fields ? &m->fields[chance_below(c, m->nr_fields)] : NULL;
}

/* One whose attribute is a number, begun at a random place. */
static struct message_field *any_number(struct message *m, struct chance *c)
{
	unsigned int first = chance_u64(c) & 0xffff;

	for (unsigned int i = 0; i < m->nr_fields; i++) {
		struct message_field *f =
			&m->fields[(first + i) % m->nr_fields];

		if (f->attr && f->attr->kind == SPEC_NUMBER)
			return f;
	}
	return NULL;
}

static void spoil(struct message *m, const struct message_field *field,
		  bool must_refuse)
{
	m->spoilt = field->attr;
	m->must_refuse = must_refuse;
}

static uint64_t largest(const struct spec_attr *attr)
{
	if (attr->is_signed)
		return (1ull << (attr->size * 8 - 1)) - 1;
	return attr->size == 8 ? ~0ull : (1ull << attr->size * 8) - 1;
}

/* A number that the range of the attribute excludes. */
static bool outside(const struct spec_attr *attr, struct chance *c,
		    uint64_t *value)
{
	bool below = attr->has_min && (attr->min > 0 || attr->is_signed);
	bool above = attr->has_max && attr->max < largest(attr);

	if (!below && !above)
		return false;
	if (below && (!above || chance_one_in(c, 2))) {
		*value = attr->min - 1;
		if (chance_one_in(c, 4))
			*value = attr->is_signed ? 1ull << 31 : 0;
		return true;
	}
	*value = attr->max + 1;
	if (chance_one_in(c, 2))
		*value += chance_below(c, largest(attr) - attr->max);
	return true;
}

static bool out_of_range(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_number(m, c);
	uint64_t value;

	if (!field || !outside(field->attr, c, &value))
		return false;
	message_set(m, field, &value, field->attr->size);
	spoil(m, field, true);
	return true;
}

static bool edge_of_range(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_number(m, c);
	const struct spec_attr *attr;
	uint64_t value;

	if (!field)
		return false;
	attr = field->attr;
	if (chance_one_in(c, 2))
		value = attr->has_min ? (uint64_t)attr->min : 0;
	else
		value = attr->has_max ? attr->max : largest(attr);
	message_set(m, field, &value, attr->size);
	spoil(m, field, false);
	return true;
}

/*
 * But no id: of a device, it could be that of a clean cycle; of a session, that
 * of another thread's, which would not expect our sockets.
 */
static bool any_value(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_number(m, c);
	uint64_t value = chance_u64(c) >> chance_below(c, 64);

	if (!field || strstr(field->attr->name, "id"))
		return false;
	message_set(m, field, &value, field->attr->size);
	spoil(m, field, false);
	return true;
}

static bool missing(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_field(m, c);
	const struct spec_use *use;

	if (!field)
		return false;
	use = spec_use(m->op, field->attr->number);
	spoil(m, field, use->required);
	message_remove(m, field);
	return true;
}

/* Whether no attribute of that kind can have that length. */
static bool is_wrong_length(const struct spec_attr *attr, size_t len)
{
	switch (attr->kind) {
	case SPEC_NUMBER:
		return len != attr->size;
	case SPEC_FLAG:
		return len != 0;
	case SPEC_STRING:
		return !len || len > attr->max_len + 1u;
	case SPEC_BINARY:
		if (attr->entry)
			return !len || len % attr->entry->size;
		return attr->size && len != attr->size;
	}
	return false;
}

static bool other_length(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_field(m, c);
	uint8_t bytes[600];
	size_t len;

	if (!field)
		return false;
	switch (chance_below(c, 4)) {
	case 0:
		len = 0;
		break;
	case 1:
		len = field->len ? field->len - 1 : 1;
		break;
	case 2:
		len = field->len + 1 + chance_below(c, 8);
		break;
	default:
		len = chance_below(c, sizeof(bytes));
	}
	if (len > sizeof(bytes))
		len = sizeof(bytes);
	/* A string stays one, so that its length is all that is wrong. */
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, message_data(m, field),
	       field->len < len ? field->len : len);
	if (len && field->attr->kind == SPEC_STRING)
		bytes[len - 1] = 0;
	message_set(m, field, bytes, len);
	spoil(m, field, is_wrong_length(field->attr, len));
	return true;
}

static bool without_end(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_field(m, c);
	uint8_t bytes[256];
	size_t len = 1 + chance_below(c, sizeof(bytes));

	if (!field || field->attr->kind != SPEC_STRING)
		return false;
	memset(bytes, 'y', sizeof(bytes));
	message_set(m, field, bytes, len);
	spoil(m, field, true);
	return true;
}

static bool repeated(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_field(m, c), copy;

	if (!field)
		return false;
	copy = *field;
	spoil(m, field, false);
	return message_put(m, copy.attr, copy.type,
			   message_data(m, &copy), copy.len);
}

/* Each of them is checked, although only the last one counts. */
static bool repeated_out_of_range(struct message *m, struct subject *s,
				  struct chance *c)
{
	struct message_field *field = any_number(m, c), first;
	uint64_t value;

	if (!field || !outside(field->attr, c, &value))
		return false;
	first = *field;
	if (!message_put(m, first.attr, first.type, message_data(m, &first),
			 first.len))
		return false;
	message_set(m, field, &value, field->attr->size);
	spoil(m, field, true);
	return true;
}

static bool unknown_attribute(struct message *m, struct subject *s,
			      struct chance *c)
{
	uint8_t bytes[32] = {};
	uint16_t number;

	/* 0 is none; an operation does not take all that its set has. */
	do {
		number = chance_one_in(c, 4) ? chance_below(c, 1 << 14) :
			 chance_below(c, m->op->attr_max + 3);
	} while (spec_use(m->op, number));
	m->must_refuse = true;
	return message_put(m, NULL, number, bytes,
			   chance_below(c, sizeof(bytes)));
}

static bool nested_flag(struct message *m, struct subject *s, struct chance *c)
{
	struct message_field *field = any_field(m, c);

	if (!field)
		return false;
	field->type |= NLA_F_NESTED;
	spoil(m, field, true);
	return true;
}

static bool byte_order_flag(struct message *m, struct subject *s,
			    struct chance *c)
{
	struct message_field *field = any_field(m, c);

	if (!field)
		return false;
	field->type |= NLA_F_NET_BYTEORDER;
	spoil(m, field, false);
	return true;
}

static bool nested_in_itself(struct message *m, struct subject *s,
			     struct chance *c)
{
	struct message_field *field = any_field(m, c);
	uint8_t bytes[8 * NLA_HDRLEN] = {};
	unsigned int depth = 1 + chance_below(c, 8);

	if (!field)
		return false;
	for (unsigned int i = 0; i < depth; i++) {
		struct nlattr header = {
			.nla_type = field->type | NLA_F_NESTED,
			.nla_len = (depth - i) * NLA_HDRLEN,
		};

		memcpy(bytes + i * NLA_HDRLEN, &header, sizeof(header));
	}
	message_set(m, field, bytes, depth * NLA_HDRLEN);
	field->type |= NLA_F_NESTED;
	spoil(m, field, true);
	return true;
}

static bool length_beyond_message(struct message *m, struct subject *s,
				  struct chance *c)
{
	struct message_field *field = any_field(m, c);

	if (!field)
		return false;
	field->claimed = MESSAGE_ENCODED + chance_below(c, 32768);
	spoil(m, field, true);
	return true;
}

static bool length_below_header(struct message *m, struct subject *s,
				struct chance *c)
{
	struct message_field *field = any_field(m, c);

	if (!field)
		return false;
	/* 0 says that nothing is claimed. */
	field->claimed = 1 + chance_below(c, NLA_HDRLEN - 1);
	spoil(m, field, true);
	return true;
}

static bool bytes_after_the_last(struct message *m, struct subject *s,
				 struct chance *c)
{
	m->trailing = 1 + chance_below(c, 64);
	m->must_refuse = true;
	return true;
}

/*
 * The header says more than there is: netlink does not even look at it. Of
 * something that is left: nothing at all cannot be sent.
 */
static bool cut_short(struct message *m, struct subject *s, struct chance *c)
{
	m->cut = 1 + chance_below(c, m->nr_fields ? 24 : 16);
	m->cut_told = false;
	m->must_refuse = true;
	return true;
}

/* The header knows it; whole attributes may be what is missing. */
static bool cut_to_fit(struct message *m, struct subject *s, struct chance *c)
{
	m->cut = 1 + chance_below(c, m->nr_fields ? 20 : 4);
	m->cut_told = true;
	return true;
}

static bool other_command(struct message *m, struct subject *s,
			  struct chance *c)
{
	uint8_t cmd = chance_one_in(c, 2) ? chance_below(c, 20) : chance_u64(c);
	const struct spec_op *op = spec_find(cmd);

	if (op && op->nr_uses)
		return false;
	m->cmd = cmd;
	m->must_refuse = true;
	return true;
}

/* The attributes of one operation with the number of another. */
static bool command_of_another(struct message *m, struct subject *s,
			       struct chance *c)
{
	const struct spec_op *op = &spec_ops[chance_below(c, spec_nr_ops)];

	if (op == m->op || !op->nr_uses)
		return false;
	m->cmd = op->cmd;
	return true;
}

static bool other_version(struct message *m, struct subject *s,
			  struct chance *c)
{
	m->version = chance_u64(c);
	return true;
}

static bool reserved_bits(struct message *m, struct subject *s,
			  struct chance *c)
{
	m->reserved = 1 + chance_below(c, 65535);
	m->must_refuse = true;
	return true;
}

static bool flags_of_old(struct message *m, struct subject *s, struct chance *c)
{
	uint16_t flag = 1 << (4 + chance_below(c, 12));

	if (m->flags & flag)
		return false;
	m->flags |= flag;
	m->must_refuse = true;
	return true;
}

/* It is no request: nobody looks at it, and its ack says nothing. */
static bool no_request(struct message *m, struct subject *s, struct chance *c)
{
	m->flags &= ~NLM_F_REQUEST;
	m->unheard = true;
	return true;
}

static bool dump_of_one(struct message *m, struct subject *s, struct chance *c)
{
	if (!m->nr_fields)
		return false;
	m->flags |= NLM_F_DUMP;
	m->must_refuse = true;
	return true;
}

static bool other_family(struct message *m, struct subject *s, struct chance *c)
{
	m->family += 400 + chance_below(c, 60000 - m->family);
	m->must_refuse = true;
	return true;
}

static bool very_long(struct message *m, struct subject *s, struct chance *c)
{
	static const uint8_t zeros[MESSAGE_BYTES - 1024];
	struct message_field *field = any_field(m, c);

	if (!field)
		return false;
	message_set(m, field, zeros,
		    1024 + chance_below(c, sizeof(zeros) - 1024));
	spoil(m, field, field->attr->kind != SPEC_BINARY ||
	      is_wrong_length(field->attr, field->len) || field->len > 2048);
	return true;
}

static bool turned_bits(struct message *m, struct subject *s, struct chance *c)
{
	m->flips = 1 + chance_below(c, DEVICES_FLIPS);
	m->flip_seed = chance_u64(c);
	return true;
}

const struct mutation mutations_of_form[] = {
	{ "out of range", out_of_range },
	{ "out of range (2)", out_of_range },
	{ "edge of the range", edge_of_range },
	{ "any value", any_value },
	{ "attribute missing", missing },
	{ "other length", other_length },
	{ "other length (2)", other_length },
	{ "string without end", without_end },
	{ "attribute twice", repeated },
	{ "twice, once out of range", repeated_out_of_range },
	{ "unknown attribute", unknown_attribute },
	{ "nested flag", nested_flag },
	{ "byte order flag", byte_order_flag },
	{ "nested in itself", nested_in_itself },
	{ "length beyond the message", length_beyond_message },
	{ "length below a header", length_below_header },
	{ "bytes after the last", bytes_after_the_last },
	{ "cut short", cut_short },
	{ "cut to fit", cut_to_fit },
	{ "command that is none", other_command },
	{ "command of another", command_of_another },
	{ "other version", other_version },
	{ "reserved bits", reserved_bits },
	{ "flags of old", flags_of_old },
	{ "no request", no_request },
	{ "dump with attributes", dump_of_one },
	{ "other family", other_family },
	{ "very long", very_long },
	{ "turned bits", turned_bits },
};
const unsigned int nr_mutations_of_form =
	sizeof(mutations_of_form) / sizeof(*mutations_of_form);

unsigned int mutate_count(void)
{
	return nr_mutations_of_form + nr_mutations_of_meaning;
}

const struct mutation *mutate_number(unsigned int n)
{
	if (n < nr_mutations_of_form)
		return &mutations_of_form[n];
	return &mutations_of_meaning[n - nr_mutations_of_form];
}

int mutate(struct message *m, struct subject *s, struct chance *c)
{
	for (unsigned int tries = 0; tries < 20; tries++) {
		unsigned int n = chance_one_in(c, 2) ?
			chance_below(c, nr_mutations_of_form) :
			nr_mutations_of_form +
			chance_below(c, nr_mutations_of_meaning);

		m->mutation = mutate_number(n)->name;
		if (mutate_number(n)->apply(m, s, c))
			return n;
		m->must_refuse = false;
		m->spoilt = NULL;
	}
	m->mutation = NULL;
	return -1;
}

void mutate_attr(struct message *m, uint16_t number)
{
	struct message_field *field = message_find(m, number);

	if (!field)
		return;
	m->mutation = "nested flag";
	field->type |= NLA_F_NESTED;
	spoil(m, field, true);
}
