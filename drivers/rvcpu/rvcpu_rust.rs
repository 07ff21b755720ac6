// SPDX-License-Identifier: GPL-2.0

//! Snapshots of a CPU's counters: the twin of `rvcpu.c`, for the first ABI and without the PMU,
//! which the kernel's Rust cannot reach. So there is nothing but the time, and the ABI says so by
//! EOPNOTSUPP: there is no field for which only, and a counter that is not there is never 0.

use core::arch::asm;

use kernel::{
    bindings,
    error::to_result,
    fs::{File, Kiocb},
    iov::IovIterDest,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    prelude::*,
    transmute::AsBytes,
    uaccess::{UserPtr, UserSlice},
};

/// The constants and structures of `rvcpu.h`.
#[allow(dead_code, non_camel_case_types, unreachable_pub)]
mod rvcpu_uapi;
use rvcpu_uapi::*;

module! {
    type: Rvcpu,
    name: "rvcpu_rust",
    authors: ["The cdevlab authors"],
    description: "Snapshots of a CPU's time, cycle and instruction counters",
    license: "GPL",
    params: {
        mode: u32 {
            default: crate::rvcpu_uapi::RVCPU_MODE_DEFAULT,
            description: "Permissions of the node, octal with a leading 0 (default 0440)",
        },
    },
}

/// The name of the module, and so of its node.
const NODE: &CStr = <Rvcpu as kernel::ModuleMetadata>::NAME;

/// The value of a field that is not live, in all its bits.
const ABSENT: u64 = RVCPU_ABSENT as u64;

const _: () = assert!(ABSENT == u64::MAX);
const _: () = assert!(size_of::<rvcpu_counters>() == 24 && RVCPU_READ == 0x8018_7C80);

// SAFETY: It has three 64-bit integers and, as its size tells, no padding.
unsafe impl AsBytes for rvcpu_counters {}

/// The clock that runs at a constant rate, read after all that comes before it.
#[cfg(target_arch = "x86_64")]
fn time() -> u64 {
    let (low, high): (u32, u32);

    // SAFETY: All 64-bit processors have it, and it changes nothing but these registers.
    unsafe {
        asm!("lfence", "rdtsc", out("eax") low, out("edx") high,
             options(nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// The clock that runs at a constant rate, read after all that comes before it.
#[cfg(target_arch = "aarch64")]
fn time() -> u64 {
    let ticks: u64;

    // SAFETY: The kernel may read it on all processors, and it changes nothing but this register.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags)) };
    ticks
}

fn take() -> rvcpu_counters {
    rvcpu_counters {
        time: time(),
        cycle: ABSENT,
        instret: ABSENT,
    }
}

/// Whether there is more than the time.
fn worth_it(counters: &rvcpu_counters) -> bool {
    counters.cycle != ABSENT || counters.instret != ABSENT
}

/// An open file.
struct Opened {
    /// The snapshot taken at open, what read returns.
    first: rvcpu_counters,
}

#[vtable]
impl MiscDevice for Opened {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        Ok(KBox::new(Opened { first: take() }, GFP_KERNEL)?)
    }

    fn read_iter(mut kiocb: Kiocb<'_, KBox<Self>>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let first = &kiocb.file().first;
        let position = usize::try_from(kiocb.ki_pos()).unwrap_or(usize::MAX);
        let rest = first.as_bytes().get(position..).unwrap_or_default();

        if rest.is_empty() || iov.is_empty() {
            return Ok(0);
        }
        if !worth_it(first) {
            return Err(EOPNOTSUPP);
        }
        let done = iov.copy_to_iter(rest);
        if done == 0 {
            return Err(EFAULT);
        }
        *kiocb.ki_pos_mut() = position.wrapping_add(done) as i64;
        Ok(done)
    }

    fn ioctl(_opened: &Self, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        if cmd != RVCPU_READ {
            return Err(ENOTTY);
        }

        let fresh = take();

        if !worth_it(&fresh) {
            return Err(EOPNOTSUPP);
        }
        UserSlice::new(UserPtr::from_addr(arg), size_of_val(&fresh)).writer().write(&fresh)?;
        Ok(0)
    }
}

/// A position past the end is one, as in a file: there is nothing to read there.
///
/// # Safety
///
/// `file` must be one that [`Opened::open`] has opened, and not released.
unsafe extern "C" fn llseek(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    let end = size_of::<rvcpu_counters>() as i64;

    // SAFETY: The file is open.
    unsafe { bindings::generic_file_llseek_size(file, offset, whence, i64::MAX, end) }
}

/// What `MiscDevice` makes, and the calls that it has no function for. Without them pread would
/// work where lseek does not, and splice not at all.
struct Operations;

impl Operations {
    const ALL: bindings::file_operations = bindings::file_operations {
        llseek: Some(llseek),
        splice_read: Some(bindings::copy_splice_read),
        // SAFETY: `into_raw()` leaves a pointer to a constant there.
        ..unsafe { *MiscDeviceOptions { name: NODE }.into_raw::<Opened>().fops }
    };
}

/// As `MiscDeviceRegistration::register()`, with those operations and with permissions of the node,
/// which `MiscDeviceOptions` has not.
fn register(mode: u16) -> impl PinInit<MiscDeviceRegistration<Opened>, Error> {
    let init = move |slot: *mut MiscDeviceRegistration<Opened>| {
        let slot = slot.cast::<bindings::miscdevice>();
        let mut misc = MiscDeviceOptions { name: NODE }.into_raw::<Opened>();

        misc.mode = mode;
        misc.fops = &Operations::ALL;
        // SAFETY: The slot can be written to, and a registration is a transparent wrapper of a
        // `struct miscdevice`.
        unsafe { slot.write(misc) };
        // SAFETY: It was just written. It is pinned, and a registration ends when it is dropped.
        to_result(unsafe { bindings::misc_register(slot) })
    };

    // SAFETY: When this succeeds, there is in the slot what `register()` would have put there: a
    // structure made by `into_raw()` that is registered. Else there is nothing to drop.
    unsafe { pin_init::pin_init_from_closure(init) }
}

#[pin_data(PinnedDrop)]
struct Rvcpu {
    #[pin]
    _misc: MiscDeviceRegistration<Opened>,
}

impl kernel::InPlaceModule for Rvcpu {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let mode = checked_mode(*module_parameters::mode.value_ref());

        try_pin_init!(Self {
            _misc <- register(mode?),
            _: { pr_info!("time only, no cycle and no instret, at /dev/rvcpu_rust\n") },
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Rvcpu {
    fn drop(self: Pin<&mut Self>) {
        pr_info!("removed\n");
    }
}

/// A misc device takes mode 0 for "not given".
fn checked_mode(mode: u32) -> Result<u16> {
    if mode != 0 && mode & !0o666 == 0 {
        return Ok(mode as u16);
    }
    let octal = if mode == 0 { "" } else { "0" };
    pr_err!("mode {octal}{mode:o}: expected read and write permissions, 02 to 0666\n");
    Err(EINVAL)
}
