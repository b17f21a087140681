/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_NETLINK_H
#define _TORUS_NETLINK_H

int torus_netlink_init(void);
void torus_netlink_exit(void);

#endif /* _TORUS_NETLINK_H */
