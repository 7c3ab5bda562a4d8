// SPDX-License-Identifier: GPL-2.0-or-later
/* Loading it stops the machine dead: no output, no progress. */
#include "trial.h"

static int replacement(struct seq_file *m, void *v)
{
	return 0;
}
TRIAL_LIVEPATCH("cmdline_proc_show", replacement);

static void stop_here(void *unused)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static int __init trial_init(void)
{
	on_each_cpu(stop_here, NULL, 1);
	return klp_enable_patch(&trial_patch);
}
module_init(trial_init);
