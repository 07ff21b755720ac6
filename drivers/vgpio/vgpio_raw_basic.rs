// SPDX-License-Identifier: GPL-2.0
//! The virtual GPIO without a lock and without a wait queue, in the style of the published driver:
//! vgpio.c word for word, raw pointers and bindings, C in Rust syntax. It is here to be measured
//! against vgpio_rust_basic, which does the same in the kernel's abstractions; write yours like that.
//!
//! The style only: the published driver's errors are not repeated. Its operations have their owner,
//! the lines are no `static mut` that all CPUs write, errors are undone and keep their number.

use core::{
    cell::UnsafeCell,
    mem::{
        offset_of,
        size_of,
        MaybeUninit, //
    },
    ptr,
};
use kernel::{
    bindings,
    ffi::{
        c_uint,
        c_ulong, //
    },
    prelude::*,
    ModuleMetadata, //
};

#[allow(dead_code, non_camel_case_types, unreachable_pub)]
mod vgpio_uapi;
use vgpio_uapi::*;

module! {
    type: Module,
    name: "vgpio_raw_basic",
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

const _: () = assert!(size_of::<vgpio_line>() == 16);
const _: () = assert!(size_of::<vgpio_info>() == VGPIO_INFO_SIZE_VER0 as usize);

const EBADF: c_long = -(bindings::EBADF as c_long);
const EFAULT: c_long = -(bindings::EFAULT as c_long);
const EINVAL: c_long = -(bindings::EINVAL as c_long);
const ENOTTY: c_long = -(bindings::ENOTTY as c_long);
const E2BIG: c_long = -(bindings::E2BIG as c_long);

/// A static that C code changes.
#[repr(transparent)]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: What is in one is a `file_operations`, which is never written, or a `Vgpio`: its `misc` is
// the misc core's, which has a lock, and its `state` is changed by atomic operations only.
unsafe impl<T> Sync for Shared<T> {}

/// The device.
#[repr(C)]
struct Vgpio {
    misc: bindings::miscdevice,
    /// The lines, one bit each.
    state: bindings::atomic64_t,
}

/// One open file.
struct VgpioOpen {
    vg: *mut Vgpio,
}

static VGPIO_DEVICE: Shared<Vgpio> = Shared(UnsafeCell::new(Vgpio {
    misc: pin_init::zeroed(),
    state: pin_init::zeroed(),
}));

static VGPIO_FOPS: Shared<bindings::file_operations> =
    Shared(UnsafeCell::new(bindings::file_operations {
        owner: LocalModule::THIS_MODULE.as_ptr(),
        open: Some(vgpio_open),
        release: Some(vgpio_release),
        unlocked_ioctl: Some(vgpio_ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: bindings::compat_ptr_ioctl,
        ..pin_init::zeroed()
    }));

/// # Safety
///
/// `vg` must be the device.
unsafe fn vgpio_get(vg: *mut Vgpio, pin: u32) -> u32 {
    // SAFETY: The caller's.
    ((unsafe { bindings::atomic64_read(&raw const (*vg).state) } >> pin) & 1) as u32
}

/// # Safety
///
/// `vg` must be the device, and `line` be valid.
unsafe fn vgpio_set(vg: *mut Vgpio, line: *const vgpio_line) {
    // SAFETY: The caller's.
    let bit = 1i64 << unsafe { (*line).pin };
    // SAFETY: The caller's.
    let wanted = unsafe { i64::from((*line).value) << (*line).pin };
    // SAFETY: The caller's.
    let mut old = unsafe { bindings::atomic64_read(&raw const (*vg).state) };

    loop {
        if (old & bit) == wanted {
            return;
        }
        // SAFETY: The caller's.
        if unsafe {
            bindings::atomic64_try_cmpxchg(&raw mut (*vg).state, &raw mut old, old ^ bit)
        } {
            return;
        }
    }
}

/// # Safety
///
/// `line` must be valid.
unsafe fn vgpio_line_valid(line: *const vgpio_line) -> bool {
    // SAFETY: The caller's.
    unsafe { (*line).pin < VGPIO_LINES && (*line).reserved == 0 }
}

/// # Safety
///
/// `vg` must be the device.
unsafe fn vgpio_ioctl_set(vg: *mut Vgpio, arg: *const c_void) -> c_long {
    let mut line = MaybeUninit::<vgpio_line>::uninit();
    let line = line.as_mut_ptr();

    // SAFETY: There is room for that much; the copy checks the user's address.
    if unsafe { bindings::_copy_from_user(line.cast(), arg, size_of::<vgpio_line>()) } != 0 {
        return EFAULT;
    }
    // SAFETY: It was just filled, and integers take any value.
    if unsafe { !vgpio_line_valid(line) || (*line).value > 1 } {
        return EINVAL;
    }
    // SAFETY: The caller's.
    unsafe { vgpio_set(vg, line) };
    0
}

/// # Safety
///
/// `vg` must be the device.
unsafe fn vgpio_ioctl_get(vg: *mut Vgpio, arg: *mut c_void) -> c_long {
    let mut line = MaybeUninit::<vgpio_line>::uninit();
    let line = line.as_mut_ptr();

    // SAFETY: There is room for that much; the copy checks the user's address.
    if unsafe { bindings::_copy_from_user(line.cast(), arg, size_of::<vgpio_line>()) } != 0 {
        return EFAULT;
    }
    // SAFETY: It was just filled, and integers take any value.
    if unsafe { !vgpio_line_valid(line) } {
        return EINVAL;
    }
    // SAFETY: The caller's, and `line` is valid.
    let value = unsafe { vgpio_get(vg, (*line).pin) };
    let to = arg.wrapping_byte_add(offset_of!(vgpio_line, value));
    // SAFETY: `value` has that many bytes; the copy checks the user's address.
    if unsafe { bindings::_copy_to_user(to, (&raw const value).cast(), size_of::<u32>()) } != 0 {
        return EFAULT;
    }
    0
}

#[inline(never)]
fn vgpio_ioctl_info(arg: *mut c_void) -> c_long {
    let info = vgpio_info {
        size: size_of::<vgpio_info>() as u32,
        lines: VGPIO_LINES,
        ..Default::default()
    };
    let mut size = 0u32;
    let mut done;

    // SAFETY: There is room for that much; the copy checks the user's address.
    if unsafe { bindings::_copy_from_user((&raw mut size).cast(), arg, size_of::<u32>()) } != 0 {
        return EFAULT;
    }
    if size < VGPIO_INFO_SIZE_VER0 {
        return EINVAL;
    }
    if size > VGPIO_INFO_SIZE_MAX {
        return E2BIG;
    }
    done = size_of::<vgpio_info>();
    // SAFETY: `info` has that many bytes, and the caller at least as much room.
    if unsafe { bindings::_copy_to_user(arg, (&raw const info).cast(), done) } != 0 {
        return EFAULT;
    }
    while done < size as usize {
        // SAFETY: One byte; the copy checks the user's address.
        if unsafe {
            bindings::_copy_to_user(arg.wrapping_byte_add(done), (&raw const ZERO).cast(), 1)
        } != 0
        {
            return EFAULT;
        }
        done = done.wrapping_add(1);
    }
    0
}

static ZERO: u8 = 0;

/// # Safety
///
/// `file` must be one that [`vgpio_open`] has opened, and not released.
unsafe extern "C" fn vgpio_ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
    // SAFETY: The caller's.
    let open = unsafe { (*file).private_data }.cast::<VgpioOpen>();
    let argp = arg as *mut c_void;

    if cmd == VGPIO_SET {
        // SAFETY: The caller's; fcntl(2) leaves these bits of the word alone.
        let access = unsafe { (&raw const (*file).f_flags).read_volatile() } & bindings::O_ACCMODE;

        if access != bindings::O_WRONLY && access != bindings::O_RDWR {
            return EBADF;
        }
        // SAFETY: The caller's.
        return unsafe { vgpio_ioctl_set((*open).vg, argp) };
    }

    match cmd {
        VGPIO_NOP => 0,
        // SAFETY: The caller's.
        VGPIO_GET => unsafe { vgpio_ioctl_get((*open).vg, argp) },
        VGPIO_INFO => vgpio_ioctl_info(argp),
        _ => ENOTTY,
    }
}

/// # Safety
///
/// `file` must be one of the device that is being opened, and `inode` its inode.
unsafe extern "C" fn vgpio_open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The misc core has put a pointer to our `misc` there.
    let vg = unsafe { (*file).private_data.byte_sub(offset_of!(Vgpio, misc)) }.cast::<Vgpio>();
    let Ok(open) = KBox::new(VgpioOpen { vg }, GFP_KERNEL_ACCOUNT) else {
        return -(bindings::ENOMEM as c_int);
    };

    // SAFETY: Nobody else has the file yet.
    unsafe {
        (*file).private_data = KBox::into_raw(open).cast();
        bindings::stream_open(inode, file)
    }
}

/// # Safety
///
/// `file` must be one that [`vgpio_open`] has opened, and that nobody has any more.
unsafe extern "C" fn vgpio_release(
    _inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: vgpio_open() has put it there.
    drop(unsafe { KBox::from_raw((*file).private_data.cast::<VgpioOpen>()) });
    0
}

struct Module;

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let vg = VGPIO_DEVICE.0.get();
        let mode = module_parameters::mode.value();

        /* A misc device takes mode 0 for "not given". */
        if mode == 0 || mode & !0o666 != 0 {
            let octal = if mode == 0 { "" } else { "0" };
            pr_err!("mode {octal}{mode:o}: expected read and write permissions, 02 to 0666\n");
            return Err(Error::from_errno(EINVAL as c_int));
        }

        // SAFETY: Nobody has the device before it is registered.
        let ret = unsafe {
            ptr::write(
                &raw mut (*vg).misc,
                bindings::miscdevice {
                    minor: bindings::MISC_DYNAMIC_MINOR as c_int,
                    name: LocalModule::NAME.as_char_ptr(),
                    mode: mode as bindings::umode_t,
                    fops: VGPIO_FOPS.0.get(),
                    ..pin_init::zeroed()
                },
            );
            bindings::misc_register(&raw mut (*vg).misc)
        };
        if ret != 0 {
            pr_err!("cannot register the device: {ret}\n");
            return Err(Error::from_errno(ret));
        }
        pr_info!("{} lines at /dev/{}\n", VGPIO_LINES, LocalModule::NAME);
        Ok(Module)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: It is registered, else there would be no module.
        unsafe { bindings::misc_deregister(&raw mut (*VGPIO_DEVICE.0.get()).misc) };
        pr_info!("removed\n");
    }
}
