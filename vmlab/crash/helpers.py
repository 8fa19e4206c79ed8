"""Functions that a crash is never about: they report, are called by everybody, wait or pass on.

Regular expressions for whole names, without the compiler's suffixes (`.isra.0`, `.cold`).
"""

REPORTING = (
    # lib/dump_stack.c, arch/*/kernel: printing itself
    r"_*dump_stack(?:_lvl)?|_*dump_backtrace|_*show_(?:stack|trace|regs|registers|fault)\w*|unwind_\w+",
    r"k?unwind_\w+|walk_stackframe|arch_stack_walk\w*|_*dev_v?printk\w*",
    "_dev_(?:err|warn|info|notice|crit|emerg)|dev_vprintk_emit|_*netdev_printk",
    "dev_driver_string",
    r"dump_(?:header|page|mem)\w*|print_\w+|v?printk\w*|_printk|vprintk\w*",
    "call_console_drivers|console_unlock",
    r"(?:arch_)?trigger_\w*backtrace|nmi_\w*backtrace\w*|sched_show_\w+|show_state\w*",
    r"stack_trace_save\w*",
    "(?:hex_dump|object_err|slab_(?:err|bug|pad_check|fix)|free_consistency_checks"
    r"|check_(?:slab|object|bytes_and_report|poison_obj))\w*",
    "(?:init|on|check)_(?:object|freelist)|alloc_debug_processing|free_debug_processing",
    r"slab_debug_\w+|cache_free_debugcheck",
    # kernel/panic.c, lib/bug.c, traps and faults of x86, arm and arm64
    r"v?panic|nmi_panic|check_panic_on_warn|_*warn(?:_slowpath\w*|_printk)?",
    r"report_(?:bug|cfi\w*)|fixup_bug|handle_bug|is_valid_bugaddr",
    r"_*die\w*|oops_(?:begin|end|enter|exit)|add_taint|make_task_dead|rewind_stack\w*",
    "bust_spinlocks",
    "(?:do|_do|__do|asm|exc|asm_exc|asm_do)_(?:trap|error_trap|invalid_op"
    "|general_protection|page_fault|user_addr_fault|kern_addr_fault|double_fault"
    "|divide_error|int3|debug|nmi|coprocessor_error|stack_segment|undefinstr|DataAbort"
    r"|PrefetchAbort|mem_abort|translation_fault|alignment\w*|sea|sp_pc_abort|bad_area"
    r"|kernel_fault|tag_check_fault|el\dh?_\w+|debug_exception|df)\w*",
    "(?:async_|xen_)?(?:page_fault|invalid_op|general_protection|divide_error|double_fault"
    "|error_code|error_entry|error_exit|nmi|int3|stack_segment|trap_init|common_exception"
    "|native_iret|df_debug)",
    r"(?:exc|handle|asm_exc)_(?:page_fault|invalid_op|general_protection|\w+_fault"
    r"|double_fault|debug|int3|bug)\w*",
    r"(?:no_context|bad_area\w*|mm_fault_error|spurious_\w*fault\w*|page_fault_oops"
    "|kernelmode_fixup_or_oops|search_exception_tables|fixup_exception)",
    r"(?:gp_fault|math_error|exc_\w+|asm_exc_\w+|bug_handler|brk_handler|arm64_\w+|el1\w*"
    r"|el1h_64\w*|el0t_64\w*|ret_from_exception|call_on_(?:irq_)?stack\w*|__(?:dabt|und"
    "|pabt|irq|bad_stack)_svc|vectors|bad_mode|do_undefinstr|call_undef_hook)",
    "(?:die_kernel_fault|_*do_kernel_fault|fault_info|arm_notify_die)",
    # mm/kasan, kmsan, kcsan, kfence, kmemleak, lib/ubsan.c, kernel/kcov.c, lib/debugobjects.c
    "_*(?:kasan|asan|hwasan|kmsan|msan|kcsan|tsan|kfence|kmemleak|ubsan|sanitizer|sancov"
    r"|ksan)_\w+",
    r"check_(?:memory_region\w*|inline_region|region_inline|access|heap_object|unaligned\w*"
    "|preemption_disabled)",
    r"memory_is_\w+|_*check_region\w*",
    r"metadata_\w+|describe_\w+|val_to_string",
    r"handle_(?:overflow|object_size\w*|misaligned\w*|ubsan\w*|null_ptr\w*)|type_mismatch\w*",
    r"write_comp_data|__sanitizer_\w+|fortify_(?:panic|report)|__fortify_\w+",
    r"save_(?:stack|trace)\w*|set_track\w*",
    r"debug_(?:print_object|object\w*|check_no_obj\w*|spin_\w+|mutex_\w+|rt_mutex\w*"
    r"|rwlock\w*|dma_\w+)",
    r"_*debug_(?:check|object)\w*|lookup_object_or_alloc",
    r"instrument_\w+|_*instrumentation_\w+|should_(?:fail|failslab)\w*|fail_dump",
    "_*should_failslab",
    # trailing helpers of user copies and usercopy checks
    "_*check_(?:object_size|heap_object)|usercopy_(?:abort|warn)",
    r"_*might_(?:sleep|fault|resched)\w*|_*cant_(?:sleep|migrate)",
    "_*this_cpu_preempt_check|debug_smp_processor_id|check_preemption_disabled",
)  # fmt: skip
"""Prints, checks and faults: how the kernel came to speak of what happened."""

PRIMITIVES = (
    # kernel/locking, include/linux/spinlock*.h, lib/dec_and_lock.c, kernel/irq/, arch asm
    r"_*(?:raw_|queued_|native_queued_|pv_queued_)*(?:spin|read|write)_(?:\w*lock\w*"
    "|release|acquire)",
    r"_*(?:pv_)?queued_\w*lock\w*",
    r"(?:do_|arch_|_)*(?:raw_)?(?:spin|read|write)_\w*lock\w*|ticket_spin_\w+|rwlock_bug",
    r"spin_(?:bug|dump)|seqcount_lockdep\w*",
    r"_*lock_(?:acquire|release|downgrade|set_class|is_held|repin|pin)\w*",
    r"lock_(?:acquire|release)\w*|lockdep_(?!rtnl)\w+|_*lockdep_\w+|register_lock_class",
    r"hlock_class|_*fs_reclaim_\w+|touch_\w*lockdep_map",
    r"local_lock\w*|look_up_lock_class|validate_chain",
    r"check_(?:prev\w*|noncircular|deadlock|usage\w*|irq_usage|wait_context|unlock|lock|flags"
    r"|chain_key)\w*",
    r"mark_(?:lock|held_locks|usage)\w*|reacquire_held_locks|find_lock_in_\w+|assign_lock_key",
    r"valid_state|bad_chain|trace_(?:hard|soft)irqs\w*",
    r"_*(?:ww_|rt_)?mutex_(?:\w*lock\w*|trylock|optimistic\w*|handoff\w*)|mutex_\w*lock\w*",
    r"_*down(?:_(?:read|write|interruptible|killable|trylock|timeout)\w*)?",
    "_*up(?:_(?:read|write))?",
    r"rwsem_\w+|_*rwbase_\w+|console_lock|_*percpu_(?:down|up)_\w+|percpu_rwsem_\w+",
    r"call_rwsem_\w+|_*ldsem_\w+|_*ww_mutex\w*|_*rt_(?:spin|read|write)_\w+",
    r"_*local_(?:bh|irq)_\w+|(?:_raw_)?irqentry_\w+|preempt_(?:count\w*|schedule\w*)",
    r"_*rcu_read_(?:un)?lock\w*|rcu_(?:lockdep|is_watching|dynticks|note)\w*|seq_lock\w*",
    r"_*bit_spin_\w+|hlist_bl_(?:un)?lock",
    r"\w+_(?:read|write)_(?:try|un)?lock\w*|folio_unlock",
    r"_*lock_(?:page|buffer|slab|timer_base|hrtimer_base)\w*|folio_lock\w*|_*folio_lock\w*",
    # lib/list_debug.c, lib/refcount.c, include/linux/{list,kref,atomic,percpu,bitops}.h
    r"_*list_(?:add|del|entry|move|splice|replace|empty|first)\w*",
    r"h?list_\w*(?:add|del|unhashed|empty)\w*|_*hlist_\w+",
    r"_*refcount_\w+|kref_(?:get|put|sub|init)\w*|(?:arch_|raw_|_)*atomic(?:64|_long)?_\w+",
    r"(?:arch_)?(?:test|set|clear|change|_*test_and)_(?:and_\w+_)?bit\w*",
    r"_*(?:find_(?:first|next|last)_(?:zero_)?bit)\w*|variable_test_bit|constant_test_bit",
    r"_*(?:read|write)_once\w*|percpu_ref_(?:get|put|tryget)\w*|percpu_counter_\w+",
    r"this_cpu_\w+|_*per_cpu_\w+|_*x?chg\w*|cmpxchg\w*",
    # lib/string.c, lib/usercopy.c, lib/iov_iter.c's lowest, arch/*/lib
    "_*(?:mem(?:cpy|set|move|cmp|chr|scan|dup)|str(?:n?cpy|scpy|lcpy|n?cat|n?len|n?cmp"
    r"|r?chr|n?str|sep|spn|pbrk|n?casecmp|lcat|im|reverse))\w{0,20}",
    r"_*set_page_owner|_*sb_(?:start|end)_\w+|iput(?:_not_last)?|dput|_*mntput\w*|(?:drop|clear|set|inc)_nlink",
    r"_*filemap_fdatawait\w*|_*file(?:map)?_(?:fdata)?write_and_wait\w*",
    r"k?v?asprintf\w*|kasprintf|nla_(?:strcmp|strscpy|strlcpy|memcpy|memcmp|get_\w+|find)",
    r"(?:kv?)?mem(?:cpy|set|move|dup)\w*|kstrdup\w*|kmemdup\w*|strndup_user|memdup_user\w*",
    "v?s(?:n|cn)?printf|format_decode|string(?:_nocheck)?|pointer|number",
    r"_*(?:arch_)?(?:raw_)?copy_(?:to|from|in)_(?:user|iter|kernel)\w*|_*copy_user\w*|copyin",
    r"copyout\w*|rep_(?:movs|stos)_\w+|clear_(?:user|page)\w*|_*clear_user\w*|copy_page\w*",
    r"_*(?:get|put)_user\w*|fault_in_\w+|probe_kernel_\w+",
    "_*raw_(?:read|write)[bwlq]",
    r"_*(?:read|write|in|out|ioread|iowrite)(?:8|16|32|64|[bwlq])(?:_\w+)?",
    "logic_(?:in|out)[bwl]",
    # mm/sl[aou]b.c, mm/page_alloc.c, mm/vmalloc.c, mm/util.c: handing out and taking back memory
    "_*(?:devm_|sock_|mempool_)?(?:k|kv|kz|kvz|v|vz|kc|kvc|kre|kvre|krz)(?:m|z|c"
    "|re)?alloc(?:_(?:node|noprof|array|track_caller|bulk|large|user|atomic|slab|order"
    r"|reserve|cache)\w*)?",
    "_*k?v?free(?:_sensitive|_rcu|_const|_bulk|_debugcheck|_call_rcu)?|kzfree|_*vunmap",
    r"free_large_kmalloc|_*phys_addr(?:_\w+)?|_*virt_to_\w+|create_object|delete_object\w*",
    r"_*kmem_cache_(?:alloc|free|zalloc|shrink|destroy)\w*|_*slab_(?:alloc|free|post|pre)\w*",
    r"_*(?:do_)?slab_free\w*|_*cache_(?:alloc|free|grow|flusharray)\w*|cache_grow_begin",
    r"new_slab\w*|allocate_slab|get_(?:partial|freepointer)\w*|_*kmalloc\w*|_*krealloc\w*",
    r"mempool_\w+|fallback_alloc|freelist_\w+|setup_object\w*|shuffle_freelist",
    "deactivate_slab|put_cpu_partial|unfreeze_partials",
    r"prepare_alloc_pages|_*alloc_pages\w*|_*alloc_frozen_pages\w*|alloc_(?:slab_)?page(?:_\w+)?",
    r"get_page_from_freelist|prep_new_page|post_alloc_hook|_*free_pages?\w*",
    r"free_(?:pcp|hot_cold|unref|frozen|one)_?\w*|bad_page\w*|_*free_page_ok|folio_alloc\w*",
    r"_*folio_alloc\w*|_*get_free_pages?|get_zeroed_page|free_pcppages_bulk|rmqueue\w*|expand",
    r"_*rmqueue\w*",
    r"_*vmalloc\w*|_*vmap\w*|quarantine_\w+|qlist_(?:move|put|init)\w*|percpu_alloc",
    r"pcpu_\w+",
    # include/linux/sched.h: asking what runs
    r"entry_SYSCALL\w+|ret_from_(?:fork|intr|exception)\w*|retint_\w+|common_interrupt",
    "(?:asm_)?common_interrupt",
    r"rb_(?:erase|insert_color|next|prev|first|last)\w*",
    r"_*rb_(?:erase|insert|rotate|change)\w*|____rb_erase_color|rb_erase_cached",
    r"rb_insert_color\w*",
    r"idr_(?:find|get|alloc|remove|preload)\w*|_*radix_tree_(?:lookup|insert|delete|next)\w*",
    r"xas_\w+|xa_\w+|xarray_\w+|_*xa_\w+|assert_\w+|ida_\w+",
    r"__x86_indirect_\w+|__x86_return_thunk|__indirect_thunk\w*|retbleed_\w+|crc\w+",
    r"ass(?:ert)?fail|_*sha\d\w*transform\w*",
    # drivers/base, lib/kobject.c, fs/sysfs, fs/kernfs: what drivers call to come and go
    r"_*wake_up\w*|_*swake_up\w*|complete(?:_all|_with_flags)?|ref_tracker_\w+|add_uevent_var",
    r"warn_bogus_irq_\w+|sized_str\w+|read_word_at_a_time",
    r"_*(?:dev_)?kfree_skb\w*|consume_skb|_*skb_(?:put|push|pull)(?:_data|_zero|_u8)?",
    "skb_release_(?:all|head_state)|sk_skb_reason_drop|skb_(?:over_|under_)?panic",
    r"_*(?:del|add|mod|try_to_del)_timer\w*|_*timer_(?:delete|shutdown|reduce)\w*",
    r"hrtimer_(?:cancel|start\w*|try_to_cancel)|timer_is_static_object|work_is_static_object",
    "lock_timer_base|init_timer_key|timer_init_key",
    r"sk_(?:stop|reset)_timer\w*|rollback_registered\w*|unregister_netdev(?:ice)?\w*",
    r"i2c_(?:add|del)_\w*adapter|__unregister_client|(?:device|bus|driver)_for_each_\w+",
    r"media_device_unregister\w*|hwrng_unregister|tty_unregister_device",
    r"_*kobject_\w+|kset_\w+|_*sysfs_\w+|dpm_sysfs_\w+",
    r"kernfs_(?:remove|find|get_active|drain)\w*",
    r"device_(?:add|del|register|unregister|create|destroy|release|remove|initialize|links)\w*",
    r"(?:get|put)_device\w*|get_device_parent\w*|klist_\w+|devres_release\w*|release_nodes",
    r"remove_nodes|cleanup_glue_dir|proc_(?:create|mkdir|register|symlink)\w*",
    # fs/buffer.c, mm/filemap.c, mm/truncate.c
    r"mark_buffer_dirty\w*|_*find_(?:lock_)?(?:get_)?(?:entries|entry|page|block)\w*",
    r"truncate_(?:inode_pages|pagecache)\w*|_*filemap_get_\w+|pagecache_get_page",
    r"(?:do_)?read_cache_page\w*|do_read_cache_folio",
    # kernel/workqueue.c, kernel/rcu, drivers/usb/core/urb.c
    r"_*(?:flush|cancel|queue)_(?:delayed_)?work\w*|_*cancel_delayed_work_sync",
    "drain_workqueue|start_flush_work|is_chained_work|try_to_grab_pending",
    r"synchronize_\w*_expedited|rcu_barrier\w*|usb_(?:kill|unlink|poison|unpoison)_(?:anchored_)?urbs?",
    r"usb_(?:start_wait_urb|bulk_msg|interrupt_msg|control_msg\w*|internal_control_msg)",
    r"usb_get_(?:descriptor|string|langid)|usb_string\w*|kthread_(?:stop|park|flush_\w+)",
    "destroy_workqueue",
    r"trace_(?:event|raw|clock)_\w+|perf_trace_\w+|ftrace_(?:stub|call|caller|regs\w*)",
)  # fmt: skip
"""What everybody calls: locks, lists, strings, memory. The caller is meant."""

WAITING = (
    r"_*schedule\w*|__sched_text_start|context_switch|_*io_schedule\w*",
    r"schedule_(?:timeout|preempt|hrtimeout|idle)\w*|_*cond_resched\w*|_*switch_to\w*",
    r"_*might_\w+|_*schedule_bug|_*schedule",
    r"_*(?:do_)?wait_(?:for_common|for_completion|on_bit|woken|event)\w*",
    r"wait_for_(?:common|completion)\w*|do_wait_for_common|out_of_line_wait_\w+|bit_wait\w*",
    r"_*wait_on_(?:bit|buffer|page|folio|rcu_gp)\w*|_*wait_rcu_gp|folio_wait_bit\w*",
    r"prepare_to_wait\w*|finish_wait|rt_mutex_schedule|freezer_\w+|try_to_freeze\w*|msleep\w*",
    r"usleep_range\w*|_*down_common|_*synchronize_(?:hardirq)|swake_\w+|_*mutex_\w*lock\w*",
    r"context_tracking_\w+|finish_task_switch|process_timeout",
)  # fmt: skip
"""What a task does that waits: who called it is meant."""

IN_INTERRUPT = (
    r"rcu_(?:check_callbacks|sched_clock_irq|dump_cpu_stacks|pending|check_gp\w*)",
    r"(?:print|check)_(?:cpu|other_cpu)_stall\w*|update_process_times",
    r"tick_(?:sched|periodic|nohz|handle)\w*|_*hrtimer_run_queues|hrtimer_interrupt",
    r"hrtimer_run_\w+|local_apic_timer_interrupt",
    "_*(?:smp_|sysvec_|asm_sysvec_|asm_)?(?:trace_)?apic_timer_interrupt",
    r"watchdog_(?:timer_fn|overflow_callback|\w+_check)|_*perf_event_(?:overflow|nmi_handler)",
    r"intel_pmu_\w+|nmi_handle|default_do_nmi|do_nmi|end_repeat_nmi|asm_sysvec\w+|sysvec_\w+",
    r"instr_sysvec\w+|arch_timer_\w+",
    "handle_(?:percpu_devid_irq|domain_irq|irq_event|IRQ_event|fasteoi_irq|edge_irq"
    r"|level_irq)\w*",
    r"generic_handle_\w+|_*handle_(?:domain_)?irq\w*|gic_handle_\w+",
    r"smp_(?:irq_work|reschedule)\w*|irq_work_\w+|timer_interrupt|_*run_hrtimer|do_IRQ",
    r"_*irq_svc|_*irq_usr|interrupt_entry|run_posix_cpu_timers|account_\w+",
)  # fmt: skip
"""The timer's interrupt, in which a stall is found: what it stopped is meant."""

DISPATCHERS = (
    # entry of system calls and their common layers
    "(?:do_(?:fast_)?syscall|entry_|ia32_|sysenter|system_call|syscall_(?:return|exit"
    r"|enter)|tracesys|ret_fast_syscall|int80)\w*",
    r"sysenter_do_call|invoke_syscall|_*invoke_syscall|ksys_ioctl|el0_svc\w*|x64_sys_call",
    r"x32_sys_call|stub_\w+",
    r"vfs_(?:ioctl|read|write|readv|writev|fsync|fallocate|iter_\w+)|do_vfs_ioctl",
    r"\w+_compat_ioctl|compat_blkdev_ioctl|blkdev_(?:common_|compat_)?ioctl",
    r"_*vfs_(?:read|write)|new_sync_(?:read|write)|do_(?:iter|readv|writev|loop_readv)_\w*",
    r"do_iter_(?:read|write)\w*|call_(?:read|write)_iter|_*do_sys_(?:read|write)",
    r"_*sock_(?:sendmsg|recvmsg|release|ioctl|do_ioctl|poll|close|read_iter|write_iter)\w*",
    "_*sys_(?:connect|sendto|accept4?|bind|setsockopt|getsockopt)",
    "(?:SyS|sys|_*x64_sys|_*arm64_sys|_*ia32_sys|_*se_sys|_*do_sys|compat_sys"
    "|_*ia32_compat_sys|C_SYSC|compat_SyS)_(?:ioctl|read|write|pread64|pwrite64|readv"
    "|writev|sendmsg|sendmmsg|recvmsg|sendto|recvfrom|connect|bind|accept4?|setsockopt"
    "|getsockopt|close|open|openat|mount|umount|exit_group|exit)",
    # what runs callbacks
    "process_one_work|process_scheduled_works|worker_thread|task_work_run|kthread",
    r"ret_from_fork\w*|kthread_worker_fn|rescuer_thread|smpboot_thread_fn|call_timer_fn",
    r"expire_timers|_*run_timers?\w*|run_timer_\w+|_*do_softirq\w*|run_ksoftirqd",
    r"handle_softirqs|tasklet_action\w*",
    r"rcu_(?:do_batch|core|process_callbacks|cpu_kthread)\w*|do_one_initcall|kernel_init\w*",
    r"blk_mq_run_\w+|_*blk_mq_run_hw_queue|irq_exit\w*|_*irq_exit_rcu|invoke_softirq",
    r"netif_receive_skb\w*|_*netif_receive_skb\w*|process_backlog|_*napi_poll|net_rx_action",
    r"nfnetlink_rcv_msg|rtnetlink_rcv_msg|genl_(?:family_)?rcv_msg\w*|netlink_rcv_skb",
    r"_*fput|____fput|exit_to_user\w*|prepare_exit_to_usermode|get_signal|do_signal|exit_mm",
    "mmput|_*mmput",
)  # fmt: skip
"""Functions that lead to many others: what they called stands for a stall."""
