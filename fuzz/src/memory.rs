//! Checks that the memory which an input makes the function allocate is in proportion to the input's length.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// An allocator that counts the bytes in use. It has no `realloc` of its own, so a buffer that grows and its new copy both count,
/// which is the worst case.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The bytes that even the shortest input may use: a few structures, hashes and attributes. Measured: 630 bytes.
const FLAT: usize = 4 << 10;

/// Runs `work` on an input of `len` bytes, and checks that it never uses more than `factor` bytes for each of them, plus [`FLAT`].
pub fn bounded<T>(len: usize, factor: usize, work: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    let peak = PEAK.load(Relaxed) - before;
    let allowed = factor * len + FLAT;
    assert!(peak <= allowed, "{peak} bytes in use for an input of {len}; {allowed} are allowed");
    result
}
