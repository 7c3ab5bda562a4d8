// SPDX-License-Identifier: GPL-2.0-or-later
/* Does not load: it replaces a function that no kernel has. */
#include "trial.h"

static int replacement(void)
{
	return 0;
}
TRIAL_LIVEPATCH("elivepatch_no_such_function", replacement);

static int __init trial_init(void)
{
	return klp_enable_patch(&trial_patch);
}
module_init(trial_init);
