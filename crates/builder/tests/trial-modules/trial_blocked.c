// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Its transition never ends: a kernel thread sleeps for ever in the function that is replaced.
 * msleep() sleeps uninterruptibly, so the livepatch core cannot wake the thread either.
 */
#include "trial.h"

static void replacement(unsigned int milliseconds)
{
	schedule_timeout_uninterruptible(msecs_to_jiffies(milliseconds) + 1);
}
TRIAL_LIVEPATCH("msleep", replacement);

static int sleeper(void *unused)
{
	for (;;)
		msleep(1000 * 1000);
	return 0;
}

static int __init trial_init(void)
{
	struct task_struct *thread = kthread_run(sleeper, NULL, "trial_sleeper");

	if (IS_ERR(thread))
		return PTR_ERR(thread);
	/* The thread must be in msleep() before the transition looks at it. */
	schedule_timeout_uninterruptible(HZ / 4);
	return klp_enable_patch(&trial_patch);
}
module_init(trial_init);
