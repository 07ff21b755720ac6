// SPDX-License-Identifier: GPL-2.0

// Virtual GPIO, the experiment, in Rust: what vgpio.c does, in the kernel's own abstractions.
//
// One source, four modules, as there; each names itself, then includes this file. Kbuild sets:
//
//   vgpio_lock		calls exclude each other by a spinlock; without: atomics only
//   vgpio_queue	changes are events that can be read; without: they are not
//
// The rest of a call is the same in all four, so that a difference is the price of the feature.

#[cfg(vgpio_queue)]
use kernel::{
    fs::Kiocb,
    iov::IovIterDest,
    new_mutex,
    new_poll_condvar,
    sync::{
        poll::{
            PollCondVar,
            PollTable, //
        },
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex,
        MutexGuard, //
    },
    time::{
        ClockSource,
        Monotonic, //
    },
    types::ForeignOwnable,
};
use kernel::{
    bindings,
    container_of,
    error::to_result,
    fs::{
        file::flags,
        File, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    module::ModuleMetadata,
    prelude::*,
    sync::Arc,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

#[allow(dead_code, non_camel_case_types, unreachable_pub)]
mod vgpio_uapi;
#[cfg(vgpio_queue)]
use vgpio_uapi::{
    vgpio_event,
    VGPIO_FEATURE_QUEUE,
    VGPIO_RING_MAX,
    VGPIO_RING_MIN, //
};
use vgpio_uapi::{
    vgpio_info,
    vgpio_line,
    VGPIO_FEATURE_LOCK,
    VGPIO_GET,
    VGPIO_INFO,
    VGPIO_INFO_SIZE_MAX,
    VGPIO_INFO_SIZE_VER0,
    VGPIO_LINES,
    VGPIO_NOP,
    VGPIO_SET, //
};

// The header is the same as for C; that both make the same of it is checked in vgpio.c and here.
const _: () = assert!(size_of::<vgpio_line>() == 16);
const _: () = assert!(size_of::<vgpio_info>() == VGPIO_INFO_SIZE_VER0 as usize);
#[cfg(vgpio_queue)]
const _: () = assert!(size_of::<vgpio_event>() == 32);

// SAFETY: Integers only: any bytes are a valid value.
unsafe impl FromBytes for vgpio_line {}

// SAFETY: Integers only, and no holes: five of four bytes.
unsafe impl AsBytes for vgpio_info {}

// SAFETY: Integers only, and no holes: two of eight bytes, then four of four.
#[cfg(vgpio_queue)]
unsafe impl AsBytes for vgpio_event {}

/// The name of the module, and so of its node.
const NODE: &CStr = LocalModule::NAME;

/// A line that is there.
///
/// # Invariants
///
/// The number is below `VGPIO_LINES`.
#[derive(Clone, Copy)]
struct Line(u32);

impl Line {
    /// The line's bit in a word that holds them all.
    fn bit<T: From<u8>>(self) -> T {
        T::from(1 << self.0)
    }
}

impl TryFrom<&vgpio_line> for Line {
    type Error = Error;

    fn try_from(arg: &vgpio_line) -> Result<Self> {
        if arg.pin >= VGPIO_LINES || arg.reserved != 0 {
            return Err(EINVAL);
        }
        // INVARIANT: Just checked.
        Ok(Self(arg.pin))
    }
}

#[cfg(vgpio_lock)]
mod lines {
    //! The lines behind a spinlock.

    use super::*;
    use kernel::{
        new_spinlock,
        sync::SpinLock, //
    };

    /// One change in the ring; sequence s lies in slot s % ring.
    #[cfg(vgpio_queue)]
    #[derive(Clone, Copy, Default)]
    struct Slot {
        time_ns: u64,
        line: u32,
        value: bool,
    }

    struct State {
        pins: u32,
        #[cfg(vgpio_queue)]
        events: Events,
    }

    #[cfg(vgpio_queue)]
    struct Events {
        /// Number of the last change.
        sequence: u64,
        /// Descriptors open for reading; while there are none, nothing is recorded.
        listeners: usize,
        /// If somebody waits, or polls, since the last wake-up. Who is woken up and waits, or polls,
        /// again says so again.
        awaited: bool,
        /// The last changes; a power of two of them.
        slots: KVVec<Slot>,
    }

    #[pin_data]
    pub(crate) struct Lines {
        #[pin]
        state: SpinLock<State>,
        #[cfg(vgpio_queue)]
        #[pin]
        changed: PollCondVar,
    }

    impl Lines {
        #[cfg(not(vgpio_queue))]
        pub(crate) fn new() -> impl PinInit<Self, Error> {
            try_pin_init!(Self {
                state <- new_spinlock!(State { pins: 0 }),
            })
        }

        pub(crate) fn get(&self, line: Line) -> bool {
            self.state.lock().pins & line.bit::<u32>() != 0
        }

        pub(crate) fn set(&self, line: Line, value: bool) {
            let mut state = self.state.lock();

            if (state.pins & line.bit::<u32>() != 0) == value {
                return;
            }
            state.pins ^= line.bit::<u32>();

            #[cfg(vgpio_queue)]
            if state.events.count(line, value) {
                // With the lock: nobody else wakes them up, so nothing may come in between.
                self.changed.notify_all();
            }
        }
    }

    #[cfg(vgpio_queue)]
    impl Events {
        /// Gives a change its number, and records it if somebody listens. Returns whether somebody
        /// is to be woken up.
        fn count(&mut self, line: Line, value: bool) -> bool {
            self.sequence = self.sequence.wrapping_add(1);
            self.listeners != 0 && self.record(line, value)
        }

        #[inline(never)]
        fn record(&mut self, line: Line, value: bool) -> bool {
            let slot = self.slot(self.sequence);

            self.slots[slot] = Slot {
                time_ns: super::now_ns(),
                line: line.0,
                value,
            };
            core::mem::take(&mut self.awaited)
        }

        fn slot(&self, sequence: u64) -> usize {
            sequence as usize & self.slots.len().wrapping_sub(1)
        }
    }

    #[cfg(vgpio_queue)]
    impl Lines {
        pub(crate) fn new(ring: usize) -> impl PinInit<Self, Error> {
            try_pin_init!(Self {
                state <- new_spinlock!(State {
                    pins: 0,
                    events: Events {
                        sequence: 0,
                        listeners: 0,
                        awaited: false,
                        slots: KVVec::from_elem(Slot::default(), ring, GFP_KERNEL)?,
                    },
                }),
                changed <- new_poll_condvar!(),
            })
        }

        /// Changes kept for readers.
        pub(crate) fn ring(&self) -> usize {
            self.state.lock().events.slots.len()
        }

        /// Number of the last change.
        pub(crate) fn sequence(&self) -> u64 {
            self.state.lock().events.sequence
        }

        /// Counts a listener. Returns the last change that happened before it listened.
        pub(crate) fn listen(&self) -> u64 {
            let events = &mut self.state.lock().events;

            events.listeners = events.listeners.wrapping_add(1);
            events.sequence
        }

        pub(crate) fn unlisten(&self) {
            let listeners = &mut self.state.lock().events.listeners;

            *listeners = listeners.wrapping_sub(1);
        }

        /// The oldest event after `last` that is still there.
        pub(crate) fn next(&self, last: u64) -> Option<vgpio_event> {
            let events = &self.state.lock().events;

            if events.sequence <= last {
                return None;
            }
            let ring = events.slots.len() as u64;
            let oldest = events.sequence.wrapping_add(1).saturating_sub(ring);
            let sequence = oldest.max(last.wrapping_add(1));
            let slot = &events.slots[events.slot(sequence)];

            Some(vgpio_event {
                sequence,
                time_ns: slot.time_ns,
                pin: slot.line,
                value: slot.value.into(),
                ..Default::default()
            })
        }

        /// Sleeps until there is an event after `last`.
        pub(crate) fn wait(&self, last: u64) -> Result {
            let mut state = self.state.lock();
            let mut signal = false;

            while state.events.sequence <= last {
                if signal {
                    return Err(ERESTARTSYS);
                }
                state.events.awaited = true;
                signal = self.changed.wait_interruptible(&mut state);
            }
            Ok(())
        }

        /// Returns whether there is an event after `last`. If not, the file is told of the next.
        pub(crate) fn poll(&self, last: u64, file: &File, table: &PollTable<'_>) -> bool {
            table.register_wait(file, &self.changed);

            // Even if there is one: who is told of changes only does not ask again.
            let events = &mut self.state.lock().events;
            events.awaited = true;
            events.sequence > last
        }
    }
}

#[cfg(not(vgpio_lock))]
mod lines {
    //! The lines in one atomic word.

    use super::*;
    #[cfg(vgpio_queue)]
    use kernel::{
        interrupt::local_interrupt_disable,
        new_spinlock,
        sync::{
            atomic::{
                Acquire,
                AtomicFlag,
                Release, //
            },
            barrier::smp_mb,
            SpinLock, //
        },
    };
    use kernel::sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    };

    /// The lines are in the low bits of the state, the number of the last change above. 2^56
    /// changes take centuries.
    #[cfg(vgpio_queue)]
    const SEQUENCE_SHIFT: u32 = 8;
    #[cfg(vgpio_queue)]
    const _: () = assert!(VGPIO_LINES <= SEQUENCE_SHIFT);

    /// What a change adds to the state besides its line.
    #[cfg(vgpio_queue)]
    const STEP: u64 = 1 << SEQUENCE_SHIFT;
    #[cfg(not(vgpio_queue))]
    const STEP: u64 = 0;

    #[pin_data]
    pub(crate) struct Lines {
        /// Lines and sequence in one word, so that one atomic operation changes both.
        state: Atomic<u64>,
        #[cfg(vgpio_queue)]
        #[pin]
        events: Events,
    }

    impl Lines {
        #[cfg(not(vgpio_queue))]
        pub(crate) fn new() -> impl PinInit<Self, Error> {
            try_pin_init!(Self {
                state: Atomic::new(0),
            })
        }

        pub(crate) fn get(&self, line: Line) -> bool {
            self.state.load(Relaxed) & line.bit::<u64>() != 0
        }

        /// Returns the new state, or nothing if the line had that value.
        fn change(&self, line: Line, value: bool) -> Option<u64> {
            let mut old = self.state.load(Relaxed);

            while (old & line.bit::<u64>() != 0) != value {
                let changed = old.wrapping_add(STEP) ^ line.bit::<u64>();

                match self.state.cmpxchg(old, changed, Full) {
                    Ok(_) => return Some(changed),
                    Err(now) => old = now,
                }
            }
            None
        }

        #[cfg(not(vgpio_queue))]
        pub(crate) fn set(&self, line: Line, value: bool) {
            self.change(line, value);
        }
    }

    /// One change in the ring; sequence s lies in slot s % ring. Setters that race may write the
    /// three words at once, see [`Events::record`].
    #[cfg(vgpio_queue)]
    struct Slot {
        /// sequence << 8 | value << 7 | line
        id: Atomic<u64>,
        /// Low half of the sequence << 32 | low half of the time.
        time_low: Atomic<u64>,
        /// The same with the high half of the time.
        time_high: Atomic<u64>,
    }

    #[cfg(vgpio_queue)]
    const ID_VALUE_SHIFT: u32 = 7;
    #[cfg(vgpio_queue)]
    const ID_LINE_MASK: u64 = VGPIO_LINES as u64 - 1;

    #[cfg(vgpio_queue)]
    #[pin_data]
    struct Events {
        /// Descriptors open for reading; while there are none, nothing is recorded.
        listeners: Atomic<i32>,
        /// The last changes; a power of two of them.
        slots: KVVec<Slot>,
        /// If somebody waits, or polls, since the last wake-up. Who is woken up and waits, or polls,
        /// again says so again.
        awaited: AtomicFlag,
        /// To wait is to let a lock go. Of setters, only one that wakes somebody up takes it.
        #[pin]
        bed: SpinLock<()>,
        #[pin]
        recorded: PollCondVar,
    }

    /// One half of a time, marked with the change that it belongs to.
    #[cfg(vgpio_queue)]
    fn tag(sequence: u64, half: u64) -> u64 {
        sequence << 32 | half & u64::from(u32::MAX)
    }

    #[cfg(vgpio_queue)]
    impl Events {
        fn new(ring: usize) -> impl PinInit<Self, Error> {
            try_pin_init!(Self {
                listeners: Atomic::new(0),
                slots: {
                    let mut slots = KVVec::with_capacity(ring, GFP_KERNEL)?;

                    for _ in 0..ring {
                        slots.push(
                            Slot {
                                id: Atomic::new(0),
                                time_low: Atomic::new(0),
                                time_high: Atomic::new(0),
                            },
                            GFP_KERNEL,
                        )?;
                    }
                    slots
                },
                awaited: AtomicFlag::new(false),
                bed <- new_spinlock!(()),
                recorded <- new_poll_condvar!(),
            })
        }

        fn slot(&self, sequence: u64) -> &Slot {
            &self.slots[sequence as usize & self.slots.len().wrapping_sub(1)]
        }

        /// Writes the change to its slot. Any number of setters may be here at once, and one that
        /// was held up may find that others have gone round the whole ring meanwhile. Nobody waits
        /// for anybody:
        ///
        /// - Each half of the time carries the low half of its sequence, so a reader notices one
        ///   that was overwritten, by whichever setter.
        /// - The id is stored last, with release, and only ever grows: who comes late by a round
        ///   leaves the slot as it is, or, if that happened while it wrote, does not store it.
        ///
        /// So a reader that finds the id of a sequence, and then both halves of its time, has the
        /// whole event; one that finds a later id or foreign halves counts it as missed.
        fn record(&self, sequence: u64, line: Line, value: bool) {
            let slot = self.slot(sequence);
            let id = sequence << SEQUENCE_SHIFT
                | u64::from(value) << ID_VALUE_SHIFT
                | u64::from(line.0);
            let now = now_ns();
            let mut old = slot.id.load(Relaxed);

            if old > id {
                return;
            }
            slot.time_low.store(tag(sequence, now), Relaxed);
            slot.time_high.store(tag(sequence, now >> 32), Relaxed);
            while old <= id {
                // Pairs with the acquire in next(): the id shows the time with it.
                match slot.id.cmpxchg(old, id, Release) {
                    Ok(_) => break,
                    Err(now) => old = now,
                }
            }
        }

        /// Wakes up who waits. The barrier is between the record and the look for them, and pairs
        /// with the one in await_next(): either they are seen here, or they see the record.
        fn announce(&self) {
            smp_mb(Full);
            if !self.awaited.load(Relaxed) {
                return;
            }
            // A reader that looked before the record is in the queue when it lets the lock go. With
            // the lock, for nobody else wakes them up: nothing may come in between.
            let _bed = self.bed.lock();
            self.awaited.store(false, Relaxed);
            self.recorded.notify_all();
        }

        /// Says that somebody is going to look, and wants to be woken up if there is nothing.
        fn await_next(&self) {
            self.awaited.store(true, Relaxed);
            smp_mb(Full);
        }
    }

    #[cfg(vgpio_queue)]
    impl Lines {
        pub(crate) fn new(ring: usize) -> impl PinInit<Self, Error> {
            try_pin_init!(Self {
                state: Atomic::new(0),
                events <- Events::new(ring),
            })
        }

        pub(crate) fn set(&self, line: Line, value: bool) {
            if self.is_heard() {
                return self.set_heard(line, value);
            }
            if let Some(changed) = self.change(line, value) {
                // A cmpxchg that succeeds is a full barrier; it pairs with the one in listen().
                // Who is not seen here finds this change in the sequence that it starts from.
                if self.is_heard() {
                    self.publish(changed, line, value);
                }
            }
        }

        /// Readers take events in order, and a setter that lost the CPU between the change and its
        /// record would hold them up while others fill the ring. There is no abstraction for
        /// preemption alone, and what there is costs more: only when somebody listens.
        #[inline(never)]
        fn set_heard(&self, line: Line, value: bool) {
            let undisturbed = local_interrupt_disable();

            if let Some(changed) = self.change(line, value) {
                self.events.record(changed >> SEQUENCE_SHIFT, line, value);
                drop(undisturbed);
                self.events.announce();
            }
        }

        /// The rare case: they began to listen while the change was made.
        #[cold]
        fn publish(&self, changed: u64, line: Line, value: bool) {
            self.events.record(changed >> SEQUENCE_SHIFT, line, value);
            self.events.announce();
        }

        fn is_heard(&self) -> bool {
            self.events.listeners.load(Relaxed) != 0
        }

        /// Changes kept for readers.
        pub(crate) fn ring(&self) -> usize {
            self.events.slots.len()
        }

        /// Number of the last change.
        pub(crate) fn sequence(&self) -> u64 {
            self.state.load(Relaxed) >> SEQUENCE_SHIFT
        }

        /// Counts a listener. Returns the last change that happened before it listened.
        pub(crate) fn listen(&self) -> u64 {
            // Pairs with the cmpxchg in change(): either the setter sees this listener, or its
            // change is in the sequence read here and happened before the open. So every change
            // after the returned one is recorded.
            self.events.listeners.fetch_add(1, Full);
            self.sequence()
        }

        pub(crate) fn unlisten(&self) {
            // A setter that still sees us records an event for nobody; no order is needed.
            self.events.listeners.fetch_sub(1, Relaxed);
        }

        /// The oldest event after `last` that is still there.
        pub(crate) fn next(&self, last: u64) -> Option<vgpio_event> {
            let ring = self.ring() as u64;
            let mut sequence = last.wrapping_add(1);

            loop {
                let newest = self.sequence();

                if newest < sequence {
                    return None;
                }
                sequence = sequence.max(newest.wrapping_add(1).saturating_sub(ring));

                let slot = self.events.slot(sequence);
                // Pairs with the release in record().
                let id = slot.id.load(Acquire);

                // Its setter is between its change and its record; it wakes us up after that.
                if id >> SEQUENCE_SHIFT < sequence {
                    return None;
                }

                let low = slot.time_low.load(Relaxed);
                let high = slot.time_high.load(Relaxed);
                let mark = tag(sequence, 0) >> 32;

                if id >> SEQUENCE_SHIFT == sequence && low >> 32 == mark && high >> 32 == mark {
                    return Some(vgpio_event {
                        sequence,
                        time_ns: high << 32 | low & u64::from(u32::MAX),
                        pin: (id & ID_LINE_MASK) as u32,
                        value: (id >> ID_VALUE_SHIFT & 1) as u32,
                        ..Default::default()
                    });
                }
                // Overwritten under our eyes. Its successor is the oldest that can be there now.
                sequence = sequence.wrapping_add(1);
            }
        }

        /// Sleeps until there is an event after `last`.
        pub(crate) fn wait(&self, last: u64) -> Result {
            let mut bed = self.events.bed.lock();
            let mut signal = false;

            loop {
                self.events.await_next();
                if self.next(last).is_some() {
                    return Ok(());
                }
                if signal {
                    return Err(ERESTARTSYS);
                }
                signal = self.events.recorded.wait_interruptible(&mut bed);
            }
        }

        /// Returns whether there is an event after `last`. If not, the file is told of the next.
        pub(crate) fn poll(&self, last: u64, file: &File, table: &PollTable<'_>) -> bool {
            table.register_wait(file, &self.events.recorded);
            // Even if there is one: who is told of changes only does not ask again.
            self.events.await_next();
            self.next(last).is_some()
        }
    }
}

use lines::Lines;

/// CLOCK_MONOTONIC.
#[cfg(vgpio_queue)]
fn now_ns() -> u64 {
    Monotonic::ktime_get() as u64
}

/// Counted among the listeners as long as it lives.
#[cfg(vgpio_queue)]
struct Listener(Arc<Lines>);

#[cfg(vgpio_queue)]
impl Drop for Listener {
    fn drop(&mut self) {
        self.0.unlisten();
    }
}

/// One open file.
#[pin_data]
struct Open {
    lines: Arc<Lines>,
    /// One thread at a time takes events from this descriptor.
    #[cfg(vgpio_queue)]
    #[pin]
    turn: Mutex<()>,
    /// Sequence of the last event taken. Who changes it has the turn, poll looks without.
    #[cfg(vgpio_queue)]
    last: Atomic<u64>,
    /// If it was opened for reading.
    #[cfg(vgpio_queue)]
    _listener: Option<Listener>,
}

/// What write(2) and read(2) ask for; `O_ACCMODE` as a whole stands for neither.
fn is_writable(file: &File) -> bool {
    matches!(file.flags() & flags::O_ACCMODE, flags::O_WRONLY | flags::O_RDWR)
}

#[cfg(vgpio_queue)]
fn is_readable(file: &File) -> bool {
    matches!(file.flags() & flags::O_ACCMODE, flags::O_RDONLY | flags::O_RDWR)
}

/// Makes a stream of a file that is being opened: no positions, neither pread nor lseek.
fn make_stream(file: &File) {
    // SAFETY: The file is being opened, so it has its inode, and nobody else has the file yet.
    unsafe { bindings::stream_open((*file.as_ptr()).f_inode, file.as_ptr()) };
}

impl Open {
    #[cfg(not(vgpio_queue))]
    fn new(_file: &File, lines: Arc<Lines>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self { lines })
    }

    #[cfg(vgpio_queue)]
    fn new(file: &File, lines: Arc<Lines>) -> impl PinInit<Self, Error> {
        let (last, listener) = if is_readable(file) {
            (lines.listen(), Some(Listener(lines.clone())))
        } else {
            (0, None)
        };

        try_pin_init!(Self {
            lines,
            turn <- new_mutex!(()),
            last: Atomic::new(last),
            _listener: listener,
        })
    }

    fn set(&self, file: &File, arg: UserPtr) -> Result {
        // What write(2) says of such a descriptor.
        if !is_writable(file) {
            return Err(EBADF);
        }

        let arg = read_line(arg)?;
        let line = Line::try_from(&arg)?;
        if arg.value > 1 {
            return Err(EINVAL);
        }
        self.lines.set(line, arg.value != 0);
        Ok(())
    }

    fn get(&self, arg: UserPtr) -> Result {
        let line = Line::try_from(&read_line(arg)?)?;
        let value = arg.wrapping_byte_add(core::mem::offset_of!(vgpio_line, value));

        UserSlice::new(value, size_of::<u32>())
            .writer()
            .write(&u32::from(self.lines.get(line)))
    }

    #[inline(never)]
    fn info(&self, arg: UserPtr) -> Result {
        const ZEROES: [u8; 64] = [0; 64];
        let mut info = vgpio_info {
            size: size_of::<vgpio_info>() as u32,
            lines: VGPIO_LINES,
            ..Default::default()
        };

        if cfg!(vgpio_lock) {
            info.features |= VGPIO_FEATURE_LOCK;
        }
        #[cfg(vgpio_queue)]
        {
            info.features |= VGPIO_FEATURE_QUEUE;
            info.ring = self.lines.ring() as u32;
            info.event_size = size_of::<vgpio_event>() as u32;
        }

        let size = UserSlice::new(arg, size_of::<u32>()).reader().read::<u32>()?;
        if size < VGPIO_INFO_SIZE_VER0 {
            return Err(EINVAL);
        }
        if size > VGPIO_INFO_SIZE_MAX {
            return Err(E2BIG);
        }

        // The beginning, if the caller has less room than we have to say; zeroes, if it has more.
        let mut to = UserSlice::new(arg, size as usize).writer();
        to.write_slice(&info.as_bytes()[..to.len().min(size_of::<vgpio_info>())])?;
        while !to.is_empty() {
            to.write_slice(&ZEROES[..to.len().min(ZEROES.len())])?;
        }
        Ok(())
    }
}

fn read_line(arg: UserPtr) -> Result<vgpio_line> {
    UserSlice::new(arg, size_of::<vgpio_line>()).reader().read()
}

#[cfg(vgpio_queue)]
impl Open {
    /// Moves what is there to the reader. Returns bytes moved, 0 if there was no event.
    fn take(&self, _turn: &MutexGuard<'_, ()>, to: &mut IovIterDest<'_>) -> Result<usize> {
        // Setters may be faster than we are: what comes from now on is the next call's.
        let end = self.lines.sequence();
        let mut last = self.last.load(Relaxed);
        let mut done = 0usize;

        while last < end && to.len() >= size_of::<vgpio_event>() {
            let Some(mut event) = self.lines.next(last) else {
                break;
            };

            let missed = event.sequence.wrapping_sub(last).wrapping_sub(1);
            event.missed = u32::try_from(missed).unwrap_or(u32::MAX);
            // Only a record that arrived whole is taken.
            if to.copy_to_iter(event.as_bytes()) != size_of::<vgpio_event>() {
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
            last = event.sequence;
            self.last.store(last, Relaxed);
            done = done.wrapping_add(size_of::<vgpio_event>());
        }
        Ok(done)
    }

    fn read(&self, to: &mut IovIterDest<'_>, nowait: bool) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        if to.len() < size_of::<vgpio_event>() {
            return Err(EINVAL);
        }

        loop {
            let turn = if nowait {
                self.turn.try_lock().ok_or(EAGAIN)?
            } else {
                self.turn.lock()
            };
            let done = self.take(&turn, to)?;

            if done != 0 {
                return Ok(done);
            }
            if nowait {
                return Err(EAGAIN);
            }
            let last = self.last.load(Relaxed);
            // Without the turn: if another thread takes what woke us up, we wait again.
            drop(turn);
            self.lines.wait(last)?;
        }
    }
}

#[vtable]
impl MiscDevice for Open {
    type Ptr = Pin<KBox<Self>>;

    fn open(file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        // SAFETY: A registration of this type is nowhere but in `Module`. The lines are made before
        // the registration and dropped after it, which waits for an open that is under way.
        let lines = unsafe {
            &(*container_of!(core::ptr::from_ref(misc).cast_mut(), Module, misc)).lines
        };

        make_stream(file);
        KBox::try_pin_init(Open::new(file, lines.clone()), GFP_KERNEL_ACCOUNT)
    }

    fn ioctl(me: Pin<&Self>, file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let arg = UserPtr::from_addr(arg);

        match cmd {
            VGPIO_SET => me.set(file, arg)?,
            VGPIO_NOP => (),
            VGPIO_GET => me.get(arg)?,
            VGPIO_INFO => me.info(arg)?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }

    #[cfg(vgpio_queue)]
    fn read_iter(kiocb: Kiocb<'_, Self::Ptr>, to: &mut IovIterDest<'_>) -> Result<usize> {
        // SAFETY: The file is there as long as the call, and of its position nothing is used.
        let file = unsafe { File::from_raw_file((*kiocb.as_raw()).ki_filp) };

        kiocb
            .file()
            .read(to, file.flags() & flags::O_NONBLOCK != 0)
    }
}

/// What poll(2) asks for; consumes nothing.
///
/// # Safety
///
/// `file` must be one that [`Open::open`] has opened, and not released, and `table` null or what the
/// caller of this operation has made.
#[cfg(vgpio_queue)]
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: The file is open, and what `open()` returned is in it until it is released.
    let me = unsafe { <Pin<KBox<Open>> as ForeignOwnable>::borrow((*file).private_data) };
    // SAFETY: The file is there as long as the call, and of its position nothing is used.
    let file = unsafe { File::from_raw_file(file) };
    // SAFETY: The caller's, for this call.
    let table = unsafe { PollTable::from_raw(table) };

    // Has no events to wait for.
    if !is_readable(file) {
        return 0;
    }

    if me.lines.poll(me.last.load(Relaxed), file, &table) {
        bindings::POLLIN | bindings::POLLRDNORM
    } else {
        0
    }
}

/// What `MiscDevice` makes, and the calls that it has no function for.
struct Operations;

impl Operations {
    const ALL: bindings::file_operations = bindings::file_operations {
        #[cfg(vgpio_queue)]
        poll: Some(poll),
        #[cfg(vgpio_queue)]
        splice_read: Some(bindings::copy_splice_read),
        // SAFETY: `into_raw()` leaves a pointer to a constant there.
        ..unsafe { *MiscDeviceOptions { name: NODE }.into_raw::<Open>().fops }
    };
}

/// As `MiscDeviceRegistration::register()`, with those operations and with permissions of the node:
/// `MiscDeviceOptions` has none, and without them it is root's only.
fn register(mode: u16) -> impl PinInit<MiscDeviceRegistration<Open>, Error> {
    let init = move |slot: *mut MiscDeviceRegistration<Open>| {
        let slot = slot.cast::<bindings::miscdevice>();
        let mut misc = MiscDeviceOptions { name: NODE }.into_raw::<Open>();

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

/// Dropped in this order: the node goes before what its calls need.
#[pin_data]
struct Module {
    #[pin]
    misc: MiscDeviceRegistration<Open>,
    lines: Arc<Lines>,
    _farewell: Farewell,
}

struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        pr_info!("removed\n");
    }
}

impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let mode = checked_mode();

        try_pin_init!(Self {
            lines: mode.and_then(|_| make_lines())?,
            misc <- register(mode?),
            _farewell: {
                pr_info!("{} lines at /dev/{}\n", VGPIO_LINES, NODE);
                Farewell
            },
        })
    }
}

/// A misc device takes mode 0 for "not given".
fn checked_mode() -> Result<u16> {
    let mode = module_parameters::mode.value();

    if mode != 0 && mode & !0o666 == 0 {
        return Ok(mode as u16);
    }
    let octal = if mode == 0 { "" } else { "0" };
    pr_err!("mode {octal}{mode:o}: expected read and write permissions, 02 to 0666\n");
    Err(EINVAL)
}

#[cfg(not(vgpio_queue))]
fn make_lines() -> Result<Arc<Lines>> {
    Arc::pin_init(Lines::new(), GFP_KERNEL)
}

#[cfg(vgpio_queue)]
fn make_lines() -> Result<Arc<Lines>> {
    let ring = module_parameters::ring.value();

    if !ring.is_power_of_two() || !(VGPIO_RING_MIN..=VGPIO_RING_MAX).contains(&ring) {
        pr_err!(
            "ring {}: expected a power of two from {} to {}\n",
            ring,
            VGPIO_RING_MIN,
            VGPIO_RING_MAX
        );
        return Err(EINVAL);
    }
    Arc::pin_init(Lines::new(ring as usize), GFP_KERNEL)
}
