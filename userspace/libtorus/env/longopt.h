/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long options are spelled out. getopt_long(3) takes "--fo" for "--force", and
 * what it takes for a dangerous option today is another one tomorrow, when a
 * new option has made the beginning of a word mean something else.
 */
#ifndef TORUS_ENV_LONGOPT_H
#define TORUS_ENV_LONGOPT_H

#include <getopt.h>

/**
 * longopt_check() - after getopt_long() has taken the option @taken, its value
 * in optarg. 0, or -EINVAL with error text if the word was only the beginning
 * of the option's name.
 */
int longopt_check(const struct option *taken, char *const argv[]);

#endif
