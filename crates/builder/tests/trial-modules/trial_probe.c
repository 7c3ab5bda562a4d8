// SPDX-License-Identifier: GPL-2.0-or-later
/* No livepatch: a kprobe with a post handler, which keeps livepatches of its function out. */
#include <linux/kprobes.h>
#include <linux/module.h>

static void after(struct kprobe *probe, struct pt_regs *registers, unsigned long flags)
{
}
static struct kprobe trial_probe = { .symbol_name = "meminfo_proc_show", .post_handler = after };

static int __init trial_init(void)
{
	return register_kprobe(&trial_probe);
}
module_init(trial_init);

static void __exit trial_exit(void)
{
	unregister_kprobe(&trial_probe);
}
module_exit(trial_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("module for the tests of elivepatch's client");
