/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all test livepatches share: a replacement for one function of vmlinux. */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#define TRIAL_LIVEPATCH(function, replacement)                                  \
	static struct klp_func trial_functions[] = {                            \
		{ .old_name = function, .new_func = replacement }, {}           \
	};                                                                      \
	static struct klp_object trial_objects[] = {                            \
		{ .funcs = trial_functions }, {}                                \
	};                                                                      \
	static struct klp_patch trial_patch = {                                 \
		.mod = THIS_MODULE, .objs = trial_objects                       \
	};                                                                      \
	static void __exit trial_exit(void) {}                                  \
	module_exit(trial_exit);                                                \
	MODULE_LICENSE("GPL");                                                  \
	MODULE_DESCRIPTION("livepatch for the tests of elivepatch's trial");    \
	MODULE_INFO(livepatch, "Y")
