/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the map: see map.h for the checkpoint's interface. */
#ifndef TORUS_VOLUME_MAP_CHECKPOINT_H
#define TORUS_VOLUME_MAP_CHECKPOINT_H

struct map;

/** map_checkpoint_free() - end the running checkpoint, if any, with the frozen
 * overlay left as it is. */
void map_checkpoint_free(struct map *map);

#endif
