// SPDX-License-Identifier: GPL-2.0-or-later
/* Loads cleanly; the first call of the patched function writes through a null pointer. */
#include "trial.h"

static int replacement(struct seq_file *m, void *v)
{
	*(volatile int *)8 = 1;
	return 0;
}
TRIAL_LIVEPATCH("cmdline_proc_show", replacement);

static int __init trial_init(void)
{
	return klp_enable_patch(&trial_patch);
}
module_init(trial_init);
