//! What the kernel's attributes and macros mean for a livepatch (`include/linux/init.h`,
//! `compiler_types.h`, `sched/debug.h`, `percpu-defs.h`, `cache.h` of Linux 6.1 to 7.3).

use super::rule::Rule;

/// What an attribute of a function means.
pub(crate) fn of_function(word: &str) -> Option<Rule> {
    Some(match word {
        "__init"
        | "__exit"
        | "__meminit"
        | "__meminit_or_module"
        | "__memexit"
        | "__devinit"
        | "__devexit"
        | "__cpuinit"
        | "__cpuexit"
        | "__init_or_module"
        | "__net_init"
        | "__net_exit"
        | "__head"
        | "__init_memblock"
        | "__initfunc"
        | "__exitcall" => Rule::InitCode,
        "notrace"
        | "noinstr"
        | "__cpuidle"
        | "__naked"
        | "__no_instrument_function__"
        | "__entry_text"
        | "__notrace_funcgraph" => Rule::NotTraceable,
        "__sched"
        | "__kprobes"
        | "__ref"
        | "__refdata"
        | "__lockfunc"
        | "__irq_entry"
        | "__softirq_entry"
        | "__exception_irq_entry"
        | "__section"
        | "__init_refok" => Rule::SectionCode,
        "inline" | "__inline" | "__inline__" | "__always_inline" | "nokprobe_inline" => {
            Rule::InlineFunction
        }
        _ => return None,
    })
}

/// Whether an attribute puts data into a section of its own.
pub(crate) fn is_data_section(word: &str) -> bool {
    matches!(
        word,
        "__read_mostly"
            | "__ro_after_init"
            | "__initdata"
            | "__initconst"
            | "__initdata_memblock"
            | "__exitdata"
            | "__refdata"
            | "__meminitdata"
            | "__net_initdata"
            | "__section"
            | "__section__"
            | "__nosavedata"
            | "__bss_decrypted"
            | "__cacheline_aligned"
            | "__cacheline_aligned_in_smp"
            | "__page_aligned_data"
            | "__page_aligned_bss"
            | "__latent_entropy"
    )
}

/// What a macro at file scope stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MacroMeaning {
    /// It leaves nothing in the object, or only what no old code can miss.
    Harmless,
    /// It defines ordinary data.
    Data,
    /// It defines data in a section of its own.
    SectionData,
    /// A rule names it.
    Rule(Rule),
    /// Not known.
    Unknown,
}

/// Looks a macro up by its name.
pub(crate) fn of_macro(name: &str) -> MacroMeaning {
    use MacroMeaning::{Data, Harmless, SectionData, Unknown};
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match name {
        "static_assert" | "BUILD_BUG_ON" | "_Static_assert" | "ASSERT_STRUCT_OFFSET" => Harmless,
        _ if type_of_macro(name).is_some() => Data,
        "module_init"
        | "module_exit"
        | "builtin_platform_driver"
        | "module_platform_driver"
        | "module_pci_driver"
        | "module_usb_driver"
        | "module_i2c_driver"
        | "module_driver"
        | "module_spi_driver"
        | "__initcall"
        | "__exitcall"
        | "early_param"
        | "__setup"
        | "console_initcall"
        | "security_initcall"
        | "rootfs_initcall" => MacroMeaning::Rule(Rule::Initcall),
        "core_param" | "TRACE_DEFINE_ENUM" if name == "core_param" => {
            MacroMeaning::Rule(Rule::ModuleInformation)
        }
        _ if name.ends_with("_initcall") || name.ends_with("_initcall_sync") => {
            MacroMeaning::Rule(Rule::Initcall)
        }
        _ if begins(&["MODULE_", "module_param"]) => MacroMeaning::Rule(Rule::ModuleInformation),
        _ if begins(&["EXPORT_", "ALLOW_ERROR_INJECTION", "NOKPROBE_SYMBOL"]) => {
            MacroMeaning::Rule(Rule::Export)
        }
        _ if begins(&["KPATCH_PRE_", "KPATCH_POST_", "KLP_PRE_", "KLP_POST_"]) => {
            MacroMeaning::Rule(Rule::Callback)
        }
        _ if begins(&["TRACE_EVENT", "DEFINE_EVENT", "DECLARE_EVENT_CLASS", "TRACE_DEFINE"])
            || begins(&["DECLARE_TRACE", "DEFINE_TRACE", "EXPORT_TRACEPOINT"]) =>
        {
            MacroMeaning::Rule(Rule::Tracepoint)
        }
        _ if begins(&["DEFINE_STATIC_KEY", "DEFINE_STATIC_CALL"]) => {
            MacroMeaning::Rule(Rule::StaticKey)
        }
        _ if name.contains("PER_CPU") || begins(&["DEFINE_STATIC_SRCU", "DEFINE_SRCU"]) => {
            SectionData
        }
        _ => Unknown,
    }
}

/// The type of the variable that a macro defines in ordinary data: the word that names it.
pub(crate) fn type_of_macro(name: &str) -> Option<&'static str> {
    Some(match name {
        "DEFINE_MUTEX" => "mutex",
        "DEFINE_SPINLOCK" => "spinlock_t",
        "DEFINE_RAW_SPINLOCK" => "raw_spinlock_t",
        "DEFINE_RWLOCK" => "rwlock_t",
        "DEFINE_SEQLOCK" => "seqlock_t",
        "DEFINE_SEMAPHORE" => "semaphore",
        "DECLARE_RWSEM" => "rw_semaphore",
        "DECLARE_WAIT_QUEUE_HEAD" => "wait_queue_head_t",
        "DECLARE_COMPLETION" => "completion",
        "DECLARE_WORK" => "work_struct",
        "DECLARE_DELAYED_WORK" => "delayed_work",
        "DECLARE_TASKLET" => "tasklet_struct",
        "DEFINE_TIMER" => "timer_list",
        "LIST_HEAD" => "list_head",
        "HLIST_HEAD" | "DEFINE_HASHTABLE" => "hlist_head",
        "LLIST_HEAD" => "llist_head",
        "DEFINE_IDA" => "ida",
        "DEFINE_IDR" => "idr",
        "DEFINE_XARRAY" | "DEFINE_XARRAY_ALLOC" => "xarray",
        "DEFINE_RATELIMIT_STATE" => "ratelimit_state",
        "DECLARE_BITMAP" => "long",
        "ATOMIC_NOTIFIER_HEAD" => "atomic_notifier_head",
        "BLOCKING_NOTIFIER_HEAD" => "blocking_notifier_head",
        "RAW_NOTIFIER_HEAD" => "raw_notifier_head",
        _ => return None,
    })
}

/// Whether a macro that declares a function leaves a function that can be replaced.
pub(crate) fn defines_replaceable_function(name: &str) -> Option<bool> {
    let begins = |prefix| name.starts_with(prefix);
    if begins("SYSCALL_DEFINE") || begins("COMPAT_SYSCALL_DEFINE") {
        Some(true)
    } else if begins("DEFINE_IDTENTRY") || begins("DEFINE_SYSVEC") || begins("DEFINE_FREDENTRY") {
        Some(false)
    } else {
        None
    }
}

/// Whether the changed code locks or counts: old and new code run side by side for a while.
pub(crate) fn is_locking(word: &str) -> bool {
    let lock = word.ends_with("_lock") || word.ends_with("_unlock");
    let variants =
        ["_lock_bh", "_lock_irq", "_lock_irqsave", "_lock_nested", "_lock_interruptible"];
    let unlocks = ["_unlock_bh", "_unlock_irq", "_unlock_irqrestore", "_trylock"];
    lock || variants.iter().chain(&unlocks).any(|ending| word.ends_with(ending))
        || matches!(
            word,
            "down_read" | "down_write" | "up_read" | "up_write" | "guard" | "scoped_guard"
        )
}

/// Whether it shows the loop of a kernel thread.
pub(crate) fn is_thread_loop(word: &str) -> bool {
    matches!(word, "kthread_should_stop" | "kthread_freezable_should_stop")
}

/// Whether it uses a static key or a static call.
pub(crate) fn is_static_key(word: &str) -> bool {
    matches!(
        word,
        "static_branch_likely"
            | "static_branch_unlikely"
            | "static_branch_maybe"
            | "static_key_false"
            | "static_key_true"
            | "static_call"
            | "static_call_cond"
    )
}

/// The file whose functions look up a table at a place that is such a constant, by an inline function
/// that a hunk rarely shows; its `__init` code changes with it, so that the build has no way around.
pub(crate) const FULL_OF_RUNTIME_CONSTANTS: &str = "fs/dcache.c";

/// Whether a function that uses it holds a constant that kernels from 6.11 on write into their own
/// code (`asm/runtime-const.h`): the macros themselves, and what `asm/uaccess_64.h` and `fs/dcache.c`
/// make of them and the compiler inlines.
pub(crate) fn holds_runtime_constant(word: &str) -> bool {
    matches!(
        word,
        "runtime_const_ptr"
            | "runtime_const_shift_right_32"
            | "access_ok"
            | "__access_ok"
            | "valid_user_address"
            | "mask_user_address"
            | "masked_user_access_begin"
            | "masked_user_read_access_begin"
            | "masked_user_write_access_begin"
            | "scoped_user_read_access"
            | "scoped_user_write_access"
            | "scoped_user_rw_access"
            | "user_access_begin"
            | "user_read_access_begin"
            | "user_write_access_begin"
            | "d_hash"
    )
}

/// Whether it is assembly within a function, or a macro that is nothing else.
pub(crate) fn is_assembly(word: &str) -> bool {
    word.starts_with("_ASM_")
        || matches!(
            word,
            "asm"
                | "__asm__"
                | "asm_inline"
                | "asm_volatile_goto"
                | "asm_goto_output"
                | "alternative"
                | "alternative_2"
                | "alternative_io"
                | "alternative_call"
                | "alternative_input"
        )
}
