// SPDX-License-Identifier: GPL-2.0
//! The virtual GPIO in Rust, without a lock and without a wait queue.

module! {
    type: Module,
    name: "vgpio_rust_basic",
    authors: ["The cdevlab authors"],
    description: "Virtual GPIO lines",
    license: "GPL",
}

include!("vgpio_rust.rs");
