/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef FAULTS_H
#define FAULTS_H

#include <linux/ioctl.h>

/* Does what the build is named after. */
#define FAULTS_DO _IO('f', 1)

#endif
