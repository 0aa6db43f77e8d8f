//! The rule on memory: what an input makes the function allocate is in proportion to the input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Without `realloc`: a buffer that grows counts together with the one that it is moved to, as at worst it is.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does all of it.
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

/// What any input may cost, however short: a few structures, hashes, and attributes. Measured: 630 bytes.
const FLAT: usize = 4 << 10;

/// Runs `work` on an input of `len` bytes; it may have up to `factor` bytes in use at once for each of them.
pub fn bounded<T>(len: usize, factor: usize, work: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    let peak = PEAK.load(Relaxed) - before;
    let allowed = factor * len + FLAT;
    assert!(peak <= allowed, "{peak} bytes in use for an input of {len}; {allowed} are allowed");
    result
}
