/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A flag of open files that the kernel's Rust bindings do not have, for bindgen cannot evaluate its cast. It is
 * taken from the kernel's header as it stands there: what C reads as a cast, Rust reads as a call.
 */
#include <linux/fs.h>
// Cut here.
// SPDX-License-Identifier: GPL-2.0

//! Made from `mymem_fmode.rs.S`.

use kernel::bindings;

pub(crate) const ATOMIC_POS: bindings::fmode_t = FMODE_ATOMIC_POS;

const fn fmode_t(bit: u32) -> bindings::fmode_t {
    bit
}
