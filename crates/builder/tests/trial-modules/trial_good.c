// SPDX-License-Identifier: GPL-2.0-or-later
/* Works: /proc/cmdline reads differently while it is active. */
#include "trial.h"

static int replacement(struct seq_file *m, void *v)
{
	seq_puts(m, "this kernel is live-patched\n");
	return 0;
}
TRIAL_LIVEPATCH("cmdline_proc_show", replacement);

static int __init trial_init(void)
{
	return klp_enable_patch(&trial_patch);
}
module_init(trial_init);
