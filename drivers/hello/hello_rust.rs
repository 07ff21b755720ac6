// SPDX-License-Identifier: GPL-2.0

//! Says hello when it is loaded and goodbye when it is unloaded, and nothing else: the twin of
//! `hello.c`, for the comparison of the machine code.

use kernel::prelude::*;

module! {
    type: Hello,
    name: "hello_rust",
    authors: ["The cdevlab authors"],
    description: "Says hello and goodbye",
    license: "GPL",
}

struct Hello;

impl kernel::Module for Hello {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("Hello, World!\n");
        Ok(Hello)
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        pr_info!("Goodbye, World!\n");
    }
}
