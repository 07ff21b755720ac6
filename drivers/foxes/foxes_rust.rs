// SPDX-License-Identifier: GPL-2.0

//! A stream of foxes that looks endless and is not: the twin of `foxes.c`.
//!
//! A file knows how many bytes it may still deliver, which also tells where in a fox it is. What
//! is not in that figure, it takes from the device before it copies, and gives back what was not
//! copied. So no fox is delivered twice or lost, whatever happens to the copy.

use core::{cmp::min, ptr};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    error::to_result,
    fs::{file::flags, File, Kiocb, LocalFile},
    iov::IovIterDest,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    new_condvar, new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{lock::spinlock::SpinLockBackend, lock::Guard, Arc, CondVar, SpinLock},
    task::might_sleep,
};

/// The constants of `foxes.h`.
#[allow(dead_code, unreachable_pub)]
mod foxes_uapi;
use foxes_uapi::*;

module! {
    type: FoxesModule,
    name: "foxes_rust",
    authors: ["The cdevlab authors"],
    description: "A stream of foxes that ends",
    license: "GPL",
    params: {
        foxes: i64 {
            default: crate::foxes_uapi::FOXES_DEFAULT as i64,
            description: "Foxes until the end, 1 to 1073741824 (default 200)",
        },
        mode: u32 {
            default: crate::foxes_uapi::FOXES_MODE_DEFAULT,
            description:
                "Permissions of the node, octal with a leading 0, for reading (default 0444)",
        },
    },
}

/// The name of the module, and so of its node.
const NODE: &CStr = <FoxesModule as kernel::ModuleMetadata>::NAME;

/// The parameter "scope": what `module_param(scope, charp, 0444)` is in C, for `module!` has no
/// strings.
mod scope {
    use super::*;
    use core::cell::UnsafeCell;
    use kernel::{module_param::KernelParam, str::as_char_ptr_in_const_context};

    struct Value(UnsafeCell<*const c_char>);

    // SAFETY: The kernel writes it before `init()` is called, and never again.
    unsafe impl Sync for Value {}

    static VALUE: Value = Value(UnsafeCell::new(as_char_ptr_in_const_context(
        FOXES_SCOPE_DEFAULT,
    )));

    #[link_section = "__param"]
    #[used(compiler)]
    static PARAMETER: KernelParam = KernelParam::new(bindings::kernel_param {
        name: as_char_ptr_in_const_context(c"scope"),
        mod_: (&raw const bindings::__this_module).cast_mut(),
        ops: &raw const bindings::param_ops_charp,
        perm: 0o444,
        level: -1,
        flags: 0,
        __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
            arg: VALUE.0.get().cast(),
        },
    });

    const TEXT: &[u8] =
        b"parm=scope:Whose they are: each open's own, or one supply for the device (default open)\0";

    #[link_section = ".modinfo"]
    #[used(compiler)]
    static DESCRIPTION: [u8; TEXT.len()] = *TEXT.first_chunk().unwrap();

    /// What was given at load.
    pub(super) fn value() -> &'static CStr {
        // SAFETY: It is the default or what the kernel put there, a string that is there until the
        // module is unloaded.
        unsafe { CStr::from_char_ptr(*VALUE.0.get()) }
    }
}

/// Bytes of a fox.
const FOX: u64 = FOXES_FOX_SIZE as u64;

// The page of foxes begins and ends with a whole one.
const _: () = assert!(FOXES_FOX.to_bytes().len() == FOXES_FOX_SIZE as usize);
const _: () = assert!(PAGE_SIZE % FOXES_FOX_SIZE as usize == 0);

/// What the device has, where foxes are the device's.
struct Supply {
    /// Foxes that no file has begun.
    left: u64,
    /// Foxes that were taken out of `left` by a copy under way, which may bring some back.
    in_flight: u64,
    /// Reads that would find the end but for those in flight.
    waiting: u32,
}

/// The device.
#[pin_data]
struct Foxes {
    /// A page full of foxes, the source of all copies.
    page: KVec<u8>,
    /// Bytes that a file can deliver when it is opened; none: they are the device's.
    per_open: Option<u64>,
    #[pin]
    supply: SpinLock<Supply>,
    #[pin]
    landed: CondVar,
}

impl Foxes {
    fn new(foxes: u64, of_device: bool) -> Result<Arc<Self>> {
        let mut page = KVec::with_capacity(PAGE_SIZE, GFP_KERNEL)?;

        while page.len() < PAGE_SIZE {
            page.extend_from_slice(FOXES_FOX.to_bytes(), GFP_KERNEL)?;
        }
        let supply = Supply {
            left: if of_device { foxes } else { 0 },
            in_flight: 0,
            waiting: 0,
        };
        let per_open = (!of_device).then_some(foxes.wrapping_mul(FOX));

        Arc::pin_init(
            pin_init!(Foxes {
                page,
                per_open,
                supply <- new_spinlock!(supply),
                landed <- new_condvar!(),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the foxes that a file with `left` bytes needs to deliver `length`, as far as there
    /// are. `EAGAIN`: it is not known yet whether this is the end.
    fn take(&self, left: u64, length: u64) -> Result<u64> {
        if length <= left {
            return Ok(0);
        }
        let mut supply = self.supply.lock();
        let taken = min(length.wrapping_sub(left).div_ceil(FOX), supply.left);

        supply.left = supply.left.wrapping_sub(taken);
        supply.in_flight = supply.in_flight.wrapping_add(taken);
        if taken == 0 && left == 0 && supply.in_flight != 0 {
            return Err(EAGAIN);
        }
        Ok(taken)
    }

    /// A copy is over that took so many, and so many go back.
    fn land(&self, taken: u64, back: u64) {
        let mut supply = self.supply.lock();

        supply.in_flight = supply.in_flight.wrapping_sub(taken);
        supply.left = supply.left.wrapping_add(back);
        if supply.waiting != 0 {
            self.landed.notify_all();
        }
    }

    /// Waits until it is known whether this is the end.
    fn wait_until_known(&self) -> Result {
        let mut supply = self.supply.lock();

        while supply.left == 0 && supply.in_flight != 0 {
            supply.waiting = supply.waiting.wrapping_add(1);
            let interrupted = self.landed.wait_interruptible(&mut supply);
            supply.waiting = supply.waiting.wrapping_sub(1);
            if interrupted {
                return Err(ERESTARTSYS);
            }
        }
        Ok(())
    }
}

/// Where in the stream a file is.
struct Place {
    /// Bytes that are this file's; where foxes are the device's, the rest of one, between two reads.
    left: u64,
    /// A read goes on.
    busy: bool,
    /// Reads that wait for the end of that one.
    waiting: u32,
}

/// One open file.
#[pin_data(PinnedDrop)]
struct Reader {
    foxes: Arc<Foxes>,
    #[pin]
    place: SpinLock<Place>,
    #[pin]
    free: CondVar,
}

/// The turn to read: one at a time, for a fox that was begun is gone on with by the next.
///
/// Not a `Mutex` that is kept: to wait for that cannot be interrupted.
struct Turn<'a> {
    reader: &'a Reader,
    left: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut place = self.reader.place.lock();

        place.left = self.left;
        place.busy = false;
        if place.waiting != 0 {
            // All: one alone could be just about to give up for a signal.
            self.reader.free.notify_all();
        }
    }
}

impl Reader {
    fn wait_for_turn(&self, place: &mut Guard<'_, Place, SpinLockBackend>) -> Result {
        while place.busy {
            place.waiting = place.waiting.wrapping_add(1);
            let interrupted = self.free.wait_interruptible(place);
            place.waiting = place.waiting.wrapping_sub(1);
            if interrupted {
                return Err(ERESTARTSYS);
            }
        }
        Ok(())
    }

    fn turn(&self, no_wait: bool) -> Result<Turn<'_>> {
        let mut place = self.place.lock();

        if place.busy {
            if no_wait {
                return Err(EAGAIN);
            }
            self.wait_for_turn(&mut place)?;
        }
        place.busy = true;
        Ok(Turn {
            reader: self,
            left: place.left,
        })
    }
}

impl Turn<'_> {
    /// Copies until the buffer is full, or the end, or a bad address, or a signal. Gives the bytes,
    /// 0 at the end, or `EAGAIN` when others decide whether it is.
    fn deliver(&mut self, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let foxes = &*self.reader.foxes;
        let mut done = 0_usize;
        let so_far = |done: usize, error| if done != 0 { Ok(done) } else { Err(error) };

        loop {
            // Bytes that were delivered of the fox that is next: streams end with a whole one.
            let phase = (self.left.wrapping_neg() % FOX) as usize;
            let room = min(iov.len(), PAGE_SIZE.wrapping_sub(phase)) as u64;
            let taken = match foxes.per_open {
                Some(_) => 0,
                None => match foxes.take(self.left, room) {
                    Ok(taken) => taken,
                    Err(error) => return so_far(done, error),
                },
            };
            self.left = self.left.wrapping_add(taken.wrapping_mul(FOX));
            let length = min(room, self.left) as usize;
            if length == 0 {
                return Ok(done);
            }

            let from = foxes.page.get(phase..).unwrap_or_default();
            let copied = iov.copy_to_iter(from.get(..length).unwrap_or_default());
            self.left = self.left.wrapping_sub(copied as u64);
            done = done.wrapping_add(copied);
            if taken != 0 {
                // The file keeps the fox that it has begun.
                foxes.land(taken, self.left / FOX);
                self.left %= FOX;
            }

            if copied != length {
                return so_far(done, EFAULT);
            }
            if iov.is_empty() || kernel::current!().signal_pending() {
                return Ok(done);
            }
            might_sleep();
        }
    }
}

/// Whether the file is non-blocking, which `Kiocb` does not tell.
fn no_wait(kiocb: &Kiocb<'_, Pin<KBox<Reader>>>) -> bool {
    // SAFETY: The call that the kiocb describes has the file, and this is its thread.
    let file = unsafe { LocalFile::from_raw_file((*kiocb.as_raw()).ki_filp) };

    file.flags() & flags::O_NONBLOCK != 0
}

#[vtable]
impl MiscDevice for Reader {
    type Ptr = Pin<KBox<Self>>;

    fn open(file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Pin<KBox<Self>>> {
        // To root the node's mode does not say it.
        if matches!(file.flags() & flags::O_ACCMODE, flags::O_WRONLY | flags::O_RDWR) {
            return Err(EACCES);
        }
        let foxes = DEVICE.lock().clone().ok_or(ENODEV)?;
        let place = Place {
            left: foxes.per_open.unwrap_or(0),
            busy: false,
            waiting: 0,
        };
        let reader = KBox::pin_init(
            pin_init!(Reader {
                foxes,
                place <- new_spinlock!(place),
                free <- new_condvar!(),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;

        // SAFETY: The file is being opened. The inode is not looked at.
        to_result(unsafe { bindings::stream_open(ptr::null_mut(), file.as_ptr()) })?;
        Ok(reader)
    }

    fn read_iter(
        kiocb: Kiocb<'_, Pin<KBox<Self>>>,
        iov: &mut IovIterDest<'_>,
    ) -> Result<usize> {
        let reader = kiocb.file().get_ref();

        if iov.is_empty() {
            return Ok(0);
        }
        let no_wait = no_wait(&kiocb);
        loop {
            let result = reader.turn(no_wait)?.deliver(iov);

            if no_wait || result != Err(EAGAIN) {
                return result;
            }
            reader.foxes.wait_until_known()?;
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Reader {
    fn drop(self: Pin<&mut Self>) {
        // A fox counts when its last byte is delivered: one that was begun is somebody else's now.
        if self.foxes.per_open.is_none() && self.place.lock().left != 0 {
            self.foxes.land(0, 1);
        }
    }
}

/// What `MiscDevice` makes, and splice, for which it has no function.
struct Operations;

impl Operations {
    const ALL: bindings::file_operations = bindings::file_operations {
        splice_read: Some(bindings::copy_splice_read),
        // SAFETY: `into_raw()` leaves a pointer to a constant there.
        ..unsafe { *MiscDeviceOptions { name: NODE }.into_raw::<Reader>().fops }
    };
}

/// As `MiscDeviceRegistration::register()`, with those operations and with permissions of the node:
/// `MiscDeviceOptions` has none, and without them it is root's only.
fn register(mode: u16) -> impl PinInit<MiscDeviceRegistration<Reader>, Error> {
    let init = move |slot: *mut MiscDeviceRegistration<Reader>| {
        let slot = slot.cast::<bindings::miscdevice>();
        let mut misc = MiscDeviceOptions { name: NODE }.into_raw::<Reader>();

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

kernel::sync::global_lock! {
    // SAFETY: Initialised by the module's `init()`, before the device is registered.
    unsafe(uninit) static DEVICE: Mutex<Option<Arc<Foxes>>> = None;
}

/// The device is there to be opened: files find it by this.
struct Published;

impl Published {
    fn new(foxes: Arc<Foxes>) -> Self {
        *DEVICE.lock() = Some(foxes);
        Published
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        *DEVICE.lock() = None;
    }
}

/// Fields go in this order.
#[pin_data(PinnedDrop)]
struct FoxesModule {
    #[pin]
    _misc: MiscDeviceRegistration<Reader>,
    _published: Published,
}

impl kernel::InPlaceModule for FoxesModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: This function is called once.
        unsafe { DEVICE.init() };

        let foxes = *module_parameters::foxes.value_ref();
        let mode = *module_parameters::mode.value_ref();

        try_pin_init!(Self {
            _published: Published::new(Foxes::new(checked_foxes(foxes)?, checked_scope()?)?),
            _misc <- register(checked_mode(mode)?),
            _: {
                let whose = if checked_scope()? { "all opens" } else { "each open" };
                pr_info!("{foxes} foxes for {whose} at /dev/foxes_rust\n");
            },
        })
    }
}

fn checked_foxes(foxes: i64) -> Result<u64> {
    if (i64::from(FOXES_MIN)..=i64::from(FOXES_MAX)).contains(&foxes) {
        return Ok(foxes as u64);
    }
    pr_err!("foxes {foxes}: expected {FOXES_MIN} to {FOXES_MAX}\n");
    Err(EINVAL)
}

/// Whether they are the device's.
fn checked_scope() -> Result<bool> {
    let value = scope::value();

    if value == FOXES_SCOPE_DEVICE {
        return Ok(true);
    }
    if value == FOXES_SCOPE_OPEN {
        return Ok(false);
    }
    pr_err!("scope \"{value}\": expected open or device\n");
    Err(EINVAL)
}

/// A misc device takes mode 0 for "not given".
fn checked_mode(mode: u32) -> Result<u16> {
    if mode != 0 && mode & !FOXES_MODE_ALLOWED == 0 {
        return Ok(mode as u16);
    }
    let octal = if mode == 0 { "" } else { "0" };
    pr_err!("mode {octal}{mode:o}: expected read permissions, 04 to 0{FOXES_MODE_ALLOWED:o}\n");
    Err(EINVAL)
}

#[pinned_drop]
impl PinnedDrop for FoxesModule {
    fn drop(self: Pin<&mut Self>) {
        pr_info!("removed\n");
    }
}
