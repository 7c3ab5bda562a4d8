// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Works, and takes the place of whatever is active: /proc/cmdline reads as with trial_good, and
 * /proc/version differently as well.
 */
#include "trial.h"

static int replacement_of_cmdline(struct seq_file *m, void *v)
{
	seq_puts(m, "this kernel is live-patched\n");
	return 0;
}

static int replacement_of_version(struct seq_file *m, void *v)
{
	seq_puts(m, "a version that was live-patched\n");
	return 0;
}

static struct klp_func trial_functions[] = {
	{ .old_name = "cmdline_proc_show", .new_func = replacement_of_cmdline },
	{ .old_name = "version_proc_show", .new_func = replacement_of_version },
	{}
};
static struct klp_object trial_objects[] = { { .funcs = trial_functions }, {} };
static struct klp_patch trial_patch = {
	.mod = THIS_MODULE, .objs = trial_objects, .replace = true
};

static int __init trial_init(void)
{
	return klp_enable_patch(&trial_patch);
}
module_init(trial_init);

static void __exit trial_exit(void) {}
module_exit(trial_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("livepatch for the tests of elivepatch's trial");
MODULE_INFO(livepatch, "Y");
