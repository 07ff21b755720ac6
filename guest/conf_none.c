// SPDX-License-Identifier: GPL-2.0
/*
 * For a driver without ioctls, or one whose header the host does not know: the linker takes this from the
 * library when no table was given. No weak symbols: the compiler would believe what it sees in them.
 */
#include "conf.h"

const struct uapi_ioctl uapi_ioctls[] = { { NULL, 0 } };
const unsigned int uapi_n_ioctls = 0;
const struct uapi_field uapi_fields[] = { { 0, 0, 0 } };
const unsigned int uapi_n_fields = 0;
const unsigned long long uapi_numbers[] = { 0 };
const unsigned int uapi_n_numbers = 0;
