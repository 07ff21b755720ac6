// SPDX-License-Identifier: GPL-2.0

//! A device that one at a time can have open, decided by one compare-and-exchange: the twin of
//! `greeter.c` with the policy `busy`.
//!
//! An open never waits, so this one is a misc device.

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    error::to_result,
    fs::{file::flags, File, Kiocb},
    iov::IovIterDest,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    prelude::*,
    sync::atomic::{Acquire, Atomic, AtomicFlag, Relaxed, Release},
    types::ForeignOwnable,
};

/// The constants of `greeter.h`.
#[allow(dead_code, unreachable_pub)]
mod greeter_uapi;
use greeter_uapi::*;

module! {
    type: GreeterModule,
    name: "greeter_rust",
    authors: ["The cdevlab authors"],
    description: "A device that one at a time can have open",
    license: "GPL",
    params: {
        mode: u32 {
            default: crate::greeter_uapi::GREETER_MODE_DEFAULT,
            description: "Permissions of the node, octal with a leading 0 (default 0444)",
        },
    },
}

/// The name of the module, and so of its node.
const NODE: &CStr = <GreeterModule as kernel::ModuleMetadata>::NAME;

/// Whether somebody has it.
static TAKEN: AtomicFlag = AtomicFlag::new(false);

/// Successful opens.
static GREETINGS: Atomic<u64> = Atomic::new(0);

/// One open: who has it gives it back by dropping this.
struct Greeter {
    /// Which open since the load of the module this is.
    number: u64,
}

impl Greeter {
    fn take() -> Result<Self> {
        match TAKEN.cmpxchg(false, true, Acquire) {
            Ok(_) => Ok(Greeter { number: 0 }),
            Err(_) => Err(EBUSY),
        }
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        // What the holder did is done for the one who takes it next.
        TAKEN.store(false, Release);
    }
}

/// Digits of the largest number.
const DIGITS: usize = 20;

/// Writes `text` to the beginning of `to`, and returns what is behind.
fn put<'a>(to: &'a mut [u8], text: &[u8]) -> &'a mut [u8] {
    match to.split_at_mut_checked(text.len()) {
        Some((head, tail)) => {
            head.copy_from_slice(text);
            tail
        }
        None => &mut [],
    }
}

/// The line of the open with that number. Not by `fmt`, which would cost more than all the rest of
/// a read.
fn line(number: u64, buffer: &mut [u8; GREETER_LINE_MAX as usize]) -> &[u8] {
    let mut digits = [0; DIGITS];
    let mut left = number;
    let mut used = 0;

    for digit in digits.iter_mut().rev() {
        *digit = b'0' | (left % 10) as u8;
        left /= 10;
        used += 1;
        if left == 0 {
            break;
        }
    }
    let number = digits.get(DIGITS.saturating_sub(used)..).unwrap_or_default();

    let mut rest = put(&mut buffer[..], GREETER_LINE_BEGIN.to_bytes());
    rest = put(rest, number);
    let unused = put(rest, GREETER_LINE_END.to_bytes()).len();
    let length = buffer.len().saturating_sub(unused);
    buffer.get(..length).unwrap_or_default()
}

#[vtable]
impl MiscDevice for Greeter {
    type Ptr = KBox<Self>;

    fn open(file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        // The kernel would refuse it after this, and it would have been taken and counted.
        if file.flags() & flags::O_DIRECT != 0 {
            return Err(EINVAL);
        }
        let mut greeter = KBox::new(Self::take()?, GFP_KERNEL_ACCOUNT)?;

        greeter.number = GREETINGS.fetch_add(1, Relaxed).wrapping_add(1);
        Ok(greeter)
    }

    fn read_iter(mut kiocb: Kiocb<'_, KBox<Self>>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let mut buffer = [0; GREETER_LINE_MAX as usize];
        let line = line(kiocb.file().number, &mut buffer);
        let position = usize::try_from(kiocb.ki_pos()).unwrap_or(usize::MAX);
        let rest = line.get(position..).unwrap_or_default();

        if rest.is_empty() || iov.is_empty() {
            return Ok(0);
        }
        // Not `simple_read_from_buffer()`: it takes a bad address for the end.
        let done = iov.copy_to_iter(rest);
        if done == 0 {
            return Err(EFAULT);
        }
        *kiocb.ki_pos_mut() = position.wrapping_add(done) as i64;
        Ok(done)
    }
}

/// The end of the line is the end of the file.
///
/// # Safety
///
/// `file` must be one that [`Greeter::open`] has opened, and not released.
unsafe extern "C" fn llseek(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    // SAFETY: The file is open, and what `open()` returned is in it until it is released.
    let greeter = unsafe { <KBox<Greeter> as ForeignOwnable>::borrow((*file).private_data) };
    let mut buffer = [0; GREETER_LINE_MAX as usize];
    let end = line(greeter.number, &mut buffer).len() as i64;

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
        ..unsafe { *MiscDeviceOptions { name: NODE }.into_raw::<Greeter>().fops }
    };
}

/// As `MiscDeviceRegistration::register()`, with those operations and with permissions of the node:
/// `MiscDeviceOptions` has none, and without them it is root's only.
fn register(mode: u16) -> impl PinInit<MiscDeviceRegistration<Greeter>, Error> {
    let init = move |slot: *mut MiscDeviceRegistration<Greeter>| {
        let slot = slot.cast::<bindings::miscdevice>();
        let mut misc = MiscDeviceOptions { name: NODE }.into_raw::<Greeter>();

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
struct GreeterModule {
    #[pin]
    _misc: MiscDeviceRegistration<Greeter>,
}

impl kernel::InPlaceModule for GreeterModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let mode = checked_mode(*module_parameters::mode.value_ref());

        try_pin_init!(Self {
            _misc <- register(mode?),
            _: { pr_info!("/dev/greeter_rust, policy busy\n") },
        })
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

#[pinned_drop]
impl PinnedDrop for GreeterModule {
    fn drop(self: Pin<&mut Self>) {
        pr_info!("removed\n");
    }
}
