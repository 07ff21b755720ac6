// SPDX-License-Identifier: GPL-2.0
//! The virtual GPIO in Rust, without a lock and without a wait queue.

module! {
    type: Module,
    name: "vgpio_rust_basic",
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
