// SPDX-License-Identifier: GPL-2.0
//! The virtual GPIO in Rust, with the spinlock and no wait queue.

module! {
    type: Module,
    name: "vgpio_rust_sl",
    authors: ["The cdevlab authors"],
    description: "Virtual GPIO lines",
    license: "GPL",
}

include!("vgpio_rust.rs");
