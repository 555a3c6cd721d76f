//! The system's allocator with counters in front, for a test binary that has nothing else to do meanwhile.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Blocks that were ever asked for.
pub static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Octets in use.
pub static IN_USE: AtomicUsize = AtomicUsize::new(0);
/// The most that were in use since this was set.
pub static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

/// What a block takes in glibc's allocator: a header of eight octets, in steps of 16, and 32 at least (`malloc/malloc.c`).
fn chunk(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        let octets = chunk(layout);
        PEAK.fetch_max(IN_USE.fetch_add(octets, Ordering::SeqCst) + octets, Ordering::SeqCst);
        // SAFETY: what the caller promises holds for the system's allocator too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(chunk(layout), Ordering::SeqCst);
        // SAFETY: as above; the block came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
