// SPDX-License-Identifier: GPL-2.0-only
/// These functions return an ERR_PTR, never NULL: a test for NULL lets the error through.
///
// Confidence: High
// Comments: eno.cocci is about the opposite mistake
// Options: --no-includes --include-headers

virtual patch
virtual context
virtual org
virtual report

@r exists@
expression x, E;
position p1, p2;
@@

x = \(device_create@p1\|device_create_with_groups@p1\|class_create@p1\|kthread_run@p1\|kthread_create@p1\|memdup_user@p1\|memdup_user_nul@p1\|vmemdup_user@p1\|anon_inode_getfile@p1\|filp_open@p1\|platform_device_register_simple@p1\|debugfs_create_dir@p1\|debugfs_create_file@p1\)(...)
... when != x = E
    when != IS_ERR(x)
    when != IS_ERR_OR_NULL(x)
\( !x@p2 \| x@p2 == NULL \| x@p2 != NULL \)

@script:python depends on report@
p1 << r.p1;
p2 << r.p2;
@@

msg = "ERROR: returns an ERR_PTR on line %s, tested for NULL" % (p1[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p1 << r.p1;
p2 << r.p2;
@@

cocci.print_main("returns an ERR_PTR", p1)
cocci.print_secs("tested for NULL", p2)
