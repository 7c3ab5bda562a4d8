// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Works, and can be in use: who reads /proc/version sleeps in it for some seconds, and who has its device open holds
 * the module.
 */
#include <linux/miscdevice.h>

#include "trial.h"

static int replacement(struct seq_file *m, void *v)
{
	ssleep(6);
	seq_puts(m, "a version that was live-patched\n");
	return 0;
}

static struct klp_func trial_functions[] = {
	{ .old_name = "version_proc_show", .new_func = replacement }, {}
};
static struct klp_object trial_objects[] = { { .funcs = trial_functions }, {} };
static struct klp_patch trial_patch = {
	.mod = THIS_MODULE, .objs = trial_objects, .replace = true
};

static const struct file_operations operations = { .owner = THIS_MODULE };
static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR, .name = "trial_busy", .fops = &operations
};

static int __init trial_init(void)
{
	int error = misc_register(&device);

	if (error)
		return error;
	error = klp_enable_patch(&trial_patch);
	if (error)
		misc_deregister(&device);
	return error;
}
module_init(trial_init);

static void __exit trial_exit(void)
{
	misc_deregister(&device);
}
module_exit(trial_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("livepatch for the tests of elivepatch's trial");
MODULE_INFO(livepatch, "Y");
