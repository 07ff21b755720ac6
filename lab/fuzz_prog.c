// SPDX-License-Identifier: GPL-2.0
/* Programs as text are the same here and in the guest. */
#include "../guest/fuzz_prog.c"
