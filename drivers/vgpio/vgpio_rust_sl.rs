// SPDX-License-Identifier: GPL-2.0
//! The virtual GPIO in Rust, with the spinlock and no wait queue.

module! {
    type: Module,
    name: "vgpio_rust_sl",
    authors: ["The cdevlab authors"],
    description: "Virtual GPIO lines",
    license: "GPL",
    params: {
        mode: u32 {
            default: crate::vgpio_uapi::VGPIO_MODE_DEFAULT,
            description: "Permissions of the node, octal with a leading 0 (default 0666)",
        },
    },
}

include!("vgpio_rust.rs");
