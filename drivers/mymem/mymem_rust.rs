// SPDX-License-Identifier: GPL-2.0

//! A memory as a device: the twin of `mymem.c`, with the lock that safe Rust has. Its section in
//! README.md says what is left out and why.

use core::{mem::offset_of, ptr};

use kernel::{
    alloc::flags::__GFP_NOWARN,
    bindings, container_of,
    error::to_result,
    fs::{
        file::flags::{O_ACCMODE, O_RDONLY, O_RDWR},
        File, Kiocb,
    },
    iov::{IovIterDest, IovIterSource},
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    new_mutex,
    prelude::*,
    sync::{
        lock::mutex::MutexGuard,
        Arc, ArcBorrow, Mutex,
    },
    transmute::{AsBytes, FromBytes},
    types::ForeignOwnable,
    uaccess::{UserPtr, UserSlice},
};

/// Of the kernel's headers.
#[allow(unused_parens)]
mod mymem_fmode;
/// The constants and structures of `mymem.h`.
#[allow(dead_code, non_camel_case_types, unreachable_pub)]
mod mymem_uapi;
use mymem_uapi::*;

module! {
    type: Mymem,
    name: "mymem_rust",
    authors: ["The cdevlab authors"],
    description: "A memory as a device",
    license: "GPL",
    params: {
        size: usize {
            default: crate::mymem_uapi::MYMEM_SIZE_DEFAULT as usize,
            description: "Bytes of the memory, 1 to 1073741824 (default 524288)",
        },
        mode: u32 {
            default: crate::mymem_uapi::MYMEM_MODE_DEFAULT,
            description: "Permissions of the node, octal with a leading 0 (default 0600)",
        },
        strict: bool {
            default: false,
            description: "Refuse what passes the end instead of doing the part before it (default 0)",
        },
    },
}

/// The name of the module, and so of its node.
const NODE: &CStr = <Mymem as kernel::ModuleMetadata>::NAME;

/// Up to here, user data goes over the stack, so that no fault happens under the lock.
const SMALL: usize = 64;

// SAFETY: It has fields of integers and no padding, which is checked where the layout is.
unsafe impl AsBytes for mymem_info {}
// SAFETY: All of its fields are integers.
unsafe impl FromBytes for mymem_add {}

const _: () = assert!(size_of::<mymem_info>() == 16 && size_of::<mymem_add>() == 32);

/// The memory, which belongs to the module and to each open file.
#[pin_data]
struct Memory {
    size: usize,
    strict: bool,
    #[pin]
    bytes: Mutex<VVec<u8>>,
}

/// What C has under this name is a macro where locks are checked.
///
/// # Safety
///
/// `lock` is initialised and stays.
#[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
unsafe fn mutex_lock_killable(lock: *mut bindings::mutex) -> kernel::ffi::c_int {
    // SAFETY: As required of the caller.
    unsafe { bindings::_mutex_lock_killable(lock, 0, ptr::null_mut()) }
}
#[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
use bindings::mutex_lock_killable;

impl Memory {
    fn new(size: usize, strict: bool) -> Result<Arc<Self>> {
        let bytes = VVec::zeroed(size, GFP_KERNEL | __GFP_NOWARN)
            .inspect_err(|_| pr_err!("no memory for {size} bytes\n"))?;

        Arc::pin_init(
            pin_init!(Self {
                size,
                strict,
                bytes <- new_mutex!(bytes),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the lock. The wait for it is ended by a kill, which [`Mutex::lock`] does not offer.
    fn lock(&self) -> Result<MutexGuard<'_, VVec<u8>>> {
        let raw = ptr::from_ref(&self.bytes).cast_mut().cast::<bindings::mutex>();

        // SAFETY: A `Lock` is `repr(C)` and begins with the C mutex, initialised and pinned.
        to_result(unsafe { mutex_lock_killable(raw) })?;
        // SAFETY: This task has the mutex since the line above.
        Ok(unsafe { MutexGuard::<'_, VVec<u8>>::new(&self.bytes, ()) })
    }

    /// Where a transfer begins, and how much of it lies inside the memory.
    fn span(&self, pos: i64, len: usize) -> Result<(usize, usize)> {
        let pos = usize::try_from(pos).map_err(|_| EINVAL)?;
        let room = self.size.saturating_sub(pos);

        if len > room && self.strict {
            return Err(EINVAL);
        }
        Ok((pos, len.min(room)))
    }

    fn info(&self, user: UserPtr) -> Result {
        let room = UserSlice::new(user, size_of::<u32>()).reader().read::<u32>()?;

        if room < MYMEM_INFO_SIZE_VER0 {
            return Err(EINVAL);
        }
        if room > MYMEM_INFO_SIZE_MAX {
            return Err(E2BIG);
        }

        let info = mymem_info {
            size: size_of::<mymem_info>() as u32,
            flags: MYMEM_FLAG_LOCK_MUTEX
                | if self.strict { MYMEM_FLAG_STRICT } else { 0 },
            bytes: self.size as u64,
        };
        let mut writer = UserSlice::new(user, room as usize).writer();

        // There is always room for it as long as the structure has not grown.
        writer.write(&info)?;
        while !writer.is_empty() {
            writer.write(&0u8)?;
        }
        Ok(())
    }

    fn clear(&self) -> Result {
        self.lock()?.fill(0);
        Ok(())
    }

    fn add(&self, user: UserPtr) -> Result {
        let add: mymem_add = UserSlice::new(user, size_of::<mymem_add>()).reader().read()?;
        let answer = user.wrapping_byte_add(offset_of!(mymem_add, old));
        let offset = usize::try_from(add.offset).map_err(|_| EINVAL)?;

        if offset % MYMEM_ADD_ALIGN as usize != 0 || add.reserved != 0 {
            return Err(EINVAL);
        }

        let mut bytes = self.lock()?;
        let number = bytes.get_mut(offset..).and_then(|rest| rest.first_chunk_mut());
        let number: &mut [u8; 8] = number.ok_or(EINVAL)?;
        let old = u64::from_ne_bytes(*number);

        // The answer first: a fault leaves the number as it was.
        UserSlice::new(answer, size_of::<u64>()).writer().write(&old)?;
        *number = old.wrapping_add(add.value).to_ne_bytes();
        Ok(())
    }
}

#[vtable]
impl MiscDevice for Memory {
    type Ptr = Arc<Self>;

    fn open(file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Arc<Self>> {
        let misc = ptr::from_ref(misc).cast_mut();

        // Threads that share a descriptor get a piece each, as with a regular file.
        // SAFETY: Nobody else has the file before `open()` returns.
        unsafe { (*file.as_ptr()).f_mode |= mymem_fmode::ATOMIC_POS };
        // SAFETY: The one registration of a `Memory` is the field of `Mymem`, which outlives it.
        let mymem = unsafe { &*container_of!(misc, Mymem, misc) };

        Ok(mymem.memory.clone())
    }

    fn read_iter(mut kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let memory = kiocb.file();
        let (pos, len) = memory.span(kiocb.ki_pos(), iov.len())?;
        let mut small = [0; SMALL];

        if len == 0 {
            return Ok(0);
        }

        let done = {
            let bytes = memory.lock()?;
            let from = bytes.get(pos..pos.wrapping_add(len)).ok_or(EINVAL)?;

            if let Some(small) = small.get_mut(..len) {
                small.copy_from_slice(from);
                drop(bytes);
                iov.copy_to_iter(small)
            } else {
                iov.copy_to_iter(from)
            }
        };

        moved(&mut kiocb, done)
    }

    fn write_iter(mut kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let memory = kiocb.file();
        let (pos, len) = memory.span(kiocb.ki_pos(), iov.len())?;
        let mut small = [0; SMALL];

        if len == 0 {
            return if iov.is_empty() { Ok(0) } else { Err(ENOSPC) };
        }

        let done = if let Some(small) = small.get_mut(..len) {
            let done = iov.copy_from_iter(small);
            let mut bytes = memory.lock()?;
            let to = bytes.get_mut(pos..pos.wrapping_add(done)).ok_or(EINVAL)?;

            to.copy_from_slice(small.get(..done).ok_or(EINVAL)?);
            done
        } else {
            iov.copy_from_iter(memory.lock()?.get_mut(pos..pos.wrapping_add(len)).ok_or(EINVAL)?)
        };

        moved(&mut kiocb, done)
    }

    fn ioctl(me: ArcBorrow<'_, Self>, file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let user = UserPtr::from_addr(arg);
        let access = file.flags() & O_ACCMODE;

        match cmd {
            // Tells what was there, and changes it.
            MYMEM_ADD if access == O_RDWR => me.add(user)?,
            MYMEM_CLEAR if access != O_RDONLY => me.clear()?,
            MYMEM_INFO => me.info(user)?,
            MYMEM_ADD | MYMEM_CLEAR => return Err(EBADF),
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }
}

/// Ends a transfer: the position goes on by what was copied.
fn moved(kiocb: &mut Kiocb<'_, Arc<Memory>>, done: usize) -> Result<usize> {
    if done == 0 {
        return Err(EFAULT);
    }
    // It lies inside the memory.
    *kiocb.ki_pos_mut() = kiocb.ki_pos().wrapping_add(done as i64);
    Ok(done)
}

/// The end of the memory is the end of the file, and all before it is data.
///
/// # Safety
///
/// `file` must be one that [`Memory::open`] has opened, and not released.
unsafe extern "C" fn llseek(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    // SAFETY: The file is open, and what `open()` returned is in it until it is released.
    let memory = unsafe { Arc::<Memory>::borrow((*file).private_data) };
    let size = memory.size as i64;

    // SAFETY: The file is open.
    unsafe { bindings::generic_file_llseek_size(file, offset, whence, size, size) }
}

/// What `MiscDevice` makes, and the calls that it has no function for. Without them pread would
/// work where lseek does not, and splice not at all.
struct Operations;

impl Operations {
    const ALL: bindings::file_operations = bindings::file_operations {
        llseek: Some(llseek),
        splice_read: Some(bindings::copy_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        // SAFETY: `into_raw()` leaves a pointer to a constant there.
        ..unsafe { *MiscDeviceOptions { name: NODE }.into_raw::<Memory>().fops }
    };
}

/// As `MiscDeviceRegistration::register()`, with those operations and with permissions of the node,
/// which `MiscDeviceOptions` has not.
fn register(mode: u16) -> impl PinInit<MiscDeviceRegistration<Memory>, Error> {
    let init = move |slot: *mut MiscDeviceRegistration<Memory>| {
        let slot = slot.cast::<bindings::miscdevice>();
        let mut misc = MiscDeviceOptions { name: NODE }.into_raw::<Memory>();

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
struct Mymem {
    #[pin]
    misc: MiscDeviceRegistration<Memory>,
    memory: Arc<Memory>,
}

impl kernel::InPlaceModule for Mymem {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let size = *module_parameters::size.value_ref();
        let strict = *module_parameters::strict.value_ref();
        let mode = *module_parameters::mode.value_ref();

        try_pin_init!(Self {
            memory: Memory::new(checked_size(size)?, strict)?,
            misc <- register(checked_mode(mode)?),
            _: {
                let dialect = if strict { ", strict" } else { "" };
                pr_info!("{size} bytes at /dev/mymem_rust, lock mutex{dialect}\n");
            },
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Mymem {
    fn drop(self: Pin<&mut Self>) {
        pr_info!("removed\n");
    }
}

fn checked_size(size: usize) -> Result<usize> {
    let (min, max) = (MYMEM_SIZE_MIN as usize, MYMEM_SIZE_MAX as usize);

    if size < min || size > max {
        pr_err!("size {size}: expected {min} to {max} bytes\n");
        return Err(EINVAL);
    }
    Ok(size)
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
