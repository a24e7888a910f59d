/* SPDX-License-Identifier: MIT */
/* daemon/shares/fair.c: see fair.h. The lists are as short as there are users and connections.
 *
 * A user who comes is fresh and goes before those who had a turn. Who has nothing left after its turn keeps its place
 * behind the others until they had theirs (as fq_codel does with flows): else it would be fresh again each time, and two
 * users who ask by turns would shut out a third. A connection goes to the end when it comes: its number is always new,
 * so a user who makes one for each question would shut out his other ones. When nothing waits at all, everything is
 * forgotten. */
#include "daemon/shares/fair.h"

#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { LEVELS = 2 }; /* users, connections */

static void group_init(struct fair_group *group)
{
	list_init(&group->link);
	list_init(&group->fresh);
	list_init(&group->served);
}

void fair_init(struct fair_queue *queue)
{
	*queue = (struct fair_queue){0};
	group_init(&queue->all);
}

static struct fair_group *find_in(struct list *groups, uint64_t key)
{
	LIST_EACH(node, groups)
	{
		struct fair_group *group = LIST_ENTRY(node, struct fair_group, link);
		if (group->key == key)
			return group;
	}
	return NULL;
}

static struct fair_group *group_in(struct fair_group *parent, uint64_t key)
{
	struct fair_group *group = find_in(&parent->served, key);
	if (!group)
		group = find_in(&parent->fresh, key);
	if (group)
		return group;
	group = mem_zalloc(1, sizeof *group);
	group_init(group);
	group->parent = parent;
	group->key = key;
	list_append(parent->parent ? &parent->served : &parent->fresh, &group->link);
	return group;
}

static void drop_groups(struct fair_group *group);

/* It is empty. */
static void group_free(struct fair_group *group)
{
	drop_groups(group);
	list_remove(&group->link);
	free(group);
}

static void drop_groups(struct fair_group *group)
{
	LIST_EACH(node, &group->fresh)
	group_free(LIST_ENTRY(node, struct fair_group, link));
	LIST_EACH(node, &group->served)
	group_free(LIST_ENTRY(node, struct fair_group, link));
}

void fair_put(struct fair_queue *queue, struct fair_item *item, const struct fair_owner *owner)
{
	REQUIRE(!item->group);
	item->group = group_in(group_in(&queue->all, owner->uid), owner->connection);
	list_append(&item->group->served, &item->link);
	for (struct fair_group *group = item->group; group; group = group->parent)
		group->n++;
}

void fair_remove(struct fair_queue *queue, struct fair_item *item)
{
	struct fair_group *group = item->group;
	list_remove(&item->link);
	item->group = NULL;
	for (; group; group = group->parent)
		group->n--;
	if (queue->all.n == 0)
		drop_groups(&queue->all);
}

/* Of the groups in this one, which has something waiting. */
static struct fair_group *group_next(const struct fair_group *group)
{
	const struct list *lists[] = {&group->fresh, &group->served};
	for (int i = 0; i < 2; i++)
		LIST_EACH(node, lists[i])
		{
			struct fair_group *next = LIST_ENTRY(node, struct fair_group, link);
			if (next->n > 0)
				return next;
		}
	return NULL;
}

/* Its turn: those before it had nothing and are forgotten, it goes to the end. */
static void group_turn(struct fair_group *group, uint64_t turn)
{
	struct fair_group *parent = group->parent;
	struct list *lists[] = {&parent->fresh, &parent->served};
	for (int i = 0; i < 2; i++)
		for (struct list *node = lists[i]->next; node != lists[i] && node != &group->link;) {
			struct fair_group *passed = LIST_ENTRY(node, struct fair_group, link);
			node = node->next;
			if (passed->n > 0)
				break;
			group_free(passed);
		}
	group->turn = turn;
	list_remove(&group->link);
	list_append(&parent->served, &group->link);
}

struct fair_item *fair_take(struct fair_queue *queue)
{
	struct fair_group *group = &queue->all;
	if (group->n == 0)
		return NULL;
	queue->turns++;
	for (int i = 0; i < LEVELS; i++) {
		group = group_next(group);
		group_turn(group, queue->turns);
	}
	struct fair_item *item = LIST_ENTRY(group->served.next, struct fair_item, link);
	fair_remove(queue, item);
	return item;
}

bool fair_next(const struct fair_queue *queue, struct fair_next *ret_next)
{
	const struct fair_group *user = group_next(&queue->all);
	if (!user)
		return false;
	*ret_next = (struct fair_next){.uid = (uid_t)user->key, .turn = user->turn};
	return true;
}
