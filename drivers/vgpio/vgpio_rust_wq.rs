// SPDX-License-Identifier: GPL-2.0
//! The virtual GPIO in Rust, with the wait queue and no lock.

module! {
    type: Module,
    name: "vgpio_rust_wq",
    authors: ["The cdevlab authors"],
    description: "Virtual GPIO lines",
    license: "GPL",
    params: {
        mode: u32 {
            default: crate::vgpio_uapi::VGPIO_MODE_DEFAULT,
            description: "Permissions of the node, octal with a leading 0 (default 0666)",
        },
        ring: u32 {
            default: crate::vgpio_uapi::VGPIO_RING_DEFAULT,
            description: "Events kept for readers, a power of two from 16 to 4096 (default 256)",
        },
    },
}

include!("vgpio_rust.rs");
