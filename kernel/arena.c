// SPDX-License-Identifier: GPL-2.0
/*
 * The arena: a memfd of the helper through which the data of reads and writes
 * passes, one copy per direction.
 *
 * The pages are held by reference and reached through their addresses, not
 * through a mapping (but for the few that rings are in, see ring.c). The seals
 * make sure that they stay the pages of that file: it can neither shrink nor
 * have holes punched, nor be written but through a mapping that exists already.
 * A page that is held can be swapped out of the page cache but not freed, so
 * even then both sides see the same memory.
 *
 * It is handed out in units of 4 KiB, contiguous in the file. Requests of 4 KiB
 * need but one: if the arena is large enough every slot of every queue has a
 * unit of its own, which takes no lock and stays in the caches. A large request
 * could wait for ever behind small ones in a fragmented arena: the last part,
 * as long as the largest request, is given only to requests of more than one
 * unit that found no other place, one at a time.
 */
#include <linux/bitmap.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "arena.h"
#include "fault.h"
#include "genl.h"

#define ARENA_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | \
		     F_SEAL_SEAL)

/* One unit in so many may be a home. */
#define HOMES_SHARE 4

static unsigned long units_of(u32 bytes)
{
	return DIV_ROUND_UP(bytes, TORUS_ARENA_UNIT);
}

/*
 * shmem_mapping() is not exported everywhere; the magic says the same, because
 * a memfd's inode is of the kernel's own tmpfs mount (hugetlbfs has another).
 */
static bool is_memfd(struct inode *inode)
{
	return S_ISREG(inode->i_mode) && inode->i_sb->s_magic == TMPFS_MAGIC &&
	       (inode->i_sb->s_flags & SB_KERNMOUNT);
}

static int check_file(struct file *file, u32 io_size_max, u32 rings_size,
		      struct netlink_ext_ack *extack)
{
	struct inode *inode = file_inode(file);
	loff_t size = i_size_read(inode);

	if (!is_memfd(inode)) {
		NL_SET_ERR_MSG(extack, "arena is not a memfd");
		return -EINVAL;
	}
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) !=
	    (FMODE_READ | FMODE_WRITE)) {
		NL_SET_ERR_MSG(extack, "arena is not open for reading and writing");
		return -EINVAL;
	}
	if ((SHMEM_I(inode)->seals & ARENA_SEALS) != ARENA_SEALS) {
		NL_SET_ERR_MSG(extack, "arena lacks a seal: SHRINK, GROW, FUTURE_WRITE or SEAL");
		return -EINVAL;
	}
	if (size > TORUS_ARENA_SIZE_LIMIT || !PAGE_ALIGNED(size) ||
	    size < 2 * (loff_t)io_size_max + rings_size) {
		NL_SET_ERR_MSG(extack,
			       "arena must be whole pages, 2 * io-size-max and rings up to 1 GiB");
		return -EINVAL;
	}
	return 0;
}

static void put_pages(struct torus_arena *arena)
{
	while (arena->nr_pages)
		put_page(arena->pages[--arena->nr_pages]);
}

static int get_pages(struct torus_arena *arena, struct address_space *mapping,
		     unsigned long count, struct netlink_ext_ack *extack)
{
	struct page *page;

	for (; arena->nr_pages < count; arena->nr_pages++) {
		page = find_get_page(mapping, arena->nr_pages);
		if (!page || !PageUptodate(page)) {
			if (page)
				put_page(page);
			put_pages(arena);
			NL_SET_ERR_MSG(extack, "arena is not all in memory: mlock it before bind");
			return -EFAULT;
		}
		arena->pages[arena->nr_pages] = page;
	}
	return 0;
}

static void divide(struct torus_arena *arena, unsigned long units,
		   u32 io_size_max, u32 rings_size, u32 homes)
{
	unsigned long least = units_of(rings_size) + 2 * units_of(io_size_max);

	arena->units = units;
	arena->reserve = units - units_of(io_size_max);
	if (homes <= units / HOMES_SHARE && least + homes <= units)
		arena->homes = homes;
	arena->first = units_of(rings_size) + arena->homes;
}

static int init_from_file(struct torus_arena *arena, struct file *file,
			  u32 io_size_max, u32 rings_size, u32 homes,
			  struct netlink_ext_ack *extack)
{
	unsigned long count, units;
	int ret;

	ret = check_file(file, io_size_max, rings_size, extack);
	if (ret)
		return ret;
	count = i_size_read(file_inode(file)) >> PAGE_SHIFT;
	units = count * (PAGE_SIZE / TORUS_ARENA_UNIT);
	arena->ino = file_inode(file)->i_ino;
	spin_lock_init(&arena->lock);

	arena->pages = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
		       kvcalloc(count, sizeof(*arena->pages), GFP_KERNEL);
	if (!arena->pages)
		return -ENOMEM;
	arena->used = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
		      bitmap_zalloc(units, GFP_KERNEL);
	if (!arena->used) {
		ret = -ENOMEM;
		goto free_pages;
	}
	ret = get_pages(arena, file->f_mapping, count, extack);
	if (ret)
		goto free_used;
	divide(arena, units, io_size_max, rings_size, homes);
	return 0;

free_used:
	bitmap_free(arena->used);
	arena->used = NULL;
free_pages:
	kvfree(arena->pages);
	arena->pages = NULL;
	return ret;
}

int torus_arena_init(struct torus_arena *arena, int fd, u32 io_size_max,
		     u32 rings_size, u32 homes, struct netlink_ext_ack *extack)
{
	struct file *file = fget(fd);
	int ret;

	if (!file) {
		NL_SET_ERR_MSG(extack, "arena-fd is not an open file of the sender");
		return -EBADF;
	}
	ret = init_from_file(arena, file, io_size_max, rings_size, homes,
			     extack);
	fput(file);
	return ret;
}

void torus_arena_release(struct torus_arena *arena)
{
	put_pages(arena);
	bitmap_free(arena->used);
	kvfree(arena->pages);
	arena->used = NULL;
	arena->pages = NULL;
}

/*
 * The first place there is: the lowest part is used most, and stays in the
 * caches. Without one, arena->units.
 */
static unsigned long find_place(struct torus_arena *arena, unsigned long count)
{
	unsigned long unit;

	unit = bitmap_find_next_zero_area(arena->used, arena->reserve,
					  arena->first, count, 0);
	if (unit < arena->reserve)
		return unit;
	if (count > 1 && !test_bit(arena->reserve, arena->used))
		return arena->reserve;
	return arena->units;
}

long torus_arena_get(struct torus_arena *arena, u32 bytes)
{
	unsigned long count = units_of(bytes);
	long unit;

	spin_lock_bh(&arena->lock);
	unit = find_place(arena, count);
	if (unit < arena->units) {
		bitmap_set(arena->used, unit, count);
	} else {
		arena->starved = true;
		unit = -ENOSPC;
	}
	spin_unlock_bh(&arena->lock);
	return unit;
}

bool torus_arena_put(struct torus_arena *arena, unsigned long unit, u32 bytes)
{
	bool starved;

	/* A home: it is no one else's, and nobody waits for it. */
	if (unit < arena->first)
		return false;
	spin_lock_bh(&arena->lock);
	bitmap_clear(arena->used, unit, units_of(bytes));
	starved = arena->starved;
	arena->starved = false;
	spin_unlock_bh(&arena->lock);
	return starved;
}

/* Copies between @len bytes at @data and the arena from byte @pos on. */
static void copy_linear(struct torus_arena *arena, u64 pos, void *data,
			unsigned int len, bool to_arena)
{
	while (len) {
		unsigned int in_page = offset_in_page(pos);
		unsigned int n = min_t(unsigned int, len, PAGE_SIZE - in_page);
		struct page *page = arena->pages[pos >> PAGE_SHIFT];
		void *addr = kmap_local_page(page);

		if (to_arena)
			memcpy(addr + in_page, data, n);
		else
			memcpy(data, addr + in_page, n);
		kunmap_local(addr);
		data += n;
		pos += n;
		len -= n;
	}
}

static void copy_request(struct torus_arena *arena, unsigned long unit,
			 struct request *rq, bool to_arena)
{
	u64 pos = (u64)unit * TORUS_ARENA_UNIT;
	struct req_iterator iter;
	struct bio_vec bvec;

	rq_for_each_segment(bvec, rq, iter) {
		void *data = bvec_kmap_local(&bvec);

		copy_linear(arena, pos, data, bvec.bv_len, to_arena);
		if (!to_arena)
			flush_dcache_page(bvec.bv_page);
		kunmap_local(data);
		pos += bvec.bv_len;
	}
}

void torus_arena_write(struct torus_arena *arena, unsigned long unit,
		       struct request *rq)
{
	copy_request(arena, unit, rq, true);
}

void torus_arena_read(struct torus_arena *arena, unsigned long unit,
		      struct request *rq)
{
	copy_request(arena, unit, rq, false);
}
